"""Pixels around a part of an image that does not decode: all that do, and a mask of those that do not."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from fullconv.rasters.source import Array, Unreadable
from fullconv.rasters.view import View

Range = tuple[int, int]
Mask = npt.NDArray[np.bool_]


def read_around(view: View, rows: Range, cols: Range) -> tuple[Array, Mask, str]:
    """A window of which a part does not decode.

    It is halved along the source's own blocks, until what does not decode is one of them.

    Returns:
        (H, W, channels) as ``View.read``, zeros where pixels do not decode; which of them are missing; and why.
    """
    rows, cols = ((max(0, a), min(b, length)) for (a, b), length in zip((rows, cols), view.size, strict=True))
    whole: Array | None = None
    missing = np.zeros((rows[1] - rows[0], cols[1] - cols[0]), np.bool_)
    reasons: list[str] = []
    for (y0, y1), (x0, x1), read in _pieces(view, rows, cols):
        at = slice(y0 - rows[0], y1 - rows[0]), slice(x0 - cols[0], x1 - cols[0])
        if isinstance(read, Unreadable):
            missing[at] = True
            reasons.append(str(read))
            continue
        pixels, gone = read
        if whole is None:
            whole = np.zeros((*missing.shape, pixels.shape[2]), pixels.dtype)
        whole[at] = pixels
        if gone is not None:
            missing[at] |= gone
    if whole is None:
        whole = np.zeros((*missing.shape, view.channels), np.uint8)
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    return whole, missing, f"{reasons[0]}{more}" if reasons else ""


def _pieces(
    view: View, rows: Range, cols: Range
) -> Iterator[tuple[Range, Range, tuple[Array, Mask | None] | Unreadable]]:
    """What can be read of a window, piece by piece, and what cannot."""
    waiting = [(rows, cols)]
    while waiting:
        rows, cols = waiting.pop()
        try:
            yield rows, cols, view.read(rows, cols)
        except Unreadable as error:
            view.reopen()  # a library may give up on a file after one part that does not decode
            parts = _halves(rows, cols, view.block)
            if len(parts) == 1:
                yield rows, cols, error
            else:
                waiting += parts


def _halves(rows: Range, cols: Range, block: tuple[int, int]) -> list[tuple[Range, Range]]:
    """A window in two along an edge of the source's blocks, its longer side (in blocks) halved; itself where it lies in one block."""
    counts = [(-(-last // size) - first // size) for (first, last), size in zip((rows, cols), block, strict=True)]
    if max(counts) == 1:
        return [(rows, cols)]
    side = 0 if counts[0] >= counts[1] else 1
    first, last = (rows, cols)[side]
    edge = (first // block[side] + counts[side] // 2) * block[side]
    parts = ((first, edge), (edge, last))
    return [(part, cols) if side == 0 else (rows, part) for part in parts]
