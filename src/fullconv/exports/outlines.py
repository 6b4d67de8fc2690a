"""Outlines of regions from their runs of cells, over corners of cells: no polygon is put together of others."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def rings_of(runs: Array) -> list[Array]:
    """The outline of a region and its holes, each (n, 2) corners (col, row), the outline first, without the first corner again at the end.

    Args:
        runs: (runs, 3) row, first column, last column (excluded), of cells that hang together by their sides; two of a row do not touch.

    Where cells touch by a corner alone, the outline or a hole goes through it and another hole ends at it, so that no ring touches itself.
    """
    rows, firsts, lasts = runs.astype(np.int64).T
    count = len(rows)
    # Sides of runs: 2i the left one of run i, which is gone up, 2i + 1 the right one, which is gone down. Both have an end above and an end below.
    sides = np.arange(2 * count)
    cols, left = np.stack([firsts, lasts], axis=1).reshape(-1), sides % 2 == 0
    lines = np.concatenate([np.repeat(rows, 2), np.repeat(rows, 2) + 1])
    side, arrives = np.tile(sides, 2), np.concatenate([left, ~left])
    # On the line between two rows, ends of one kind at one column are a side that goes on, and what is left are pairs with a straight line between them.
    order = np.lexsort((~left[side], cols[side], lines))
    lines, side, arrives = lines[order], side[order], arrives[order]
    same = np.zeros(len(order), np.bool_)
    same[:-1] = (np.diff(lines) == 0) & (np.diff(cols[side]) == 0) & (left[side[1:]] == left[side[:-1]])
    ends = np.flatnonzero(~(same | np.roll(same, 1)))
    pairs = np.concatenate([np.flatnonzero(same)[:, None] + [[0, 1]], ends.reshape(-1, 2)])
    come = np.where(arrives[pairs[:, 0]], pairs[:, 0], pairs[:, 1])
    go = pairs.sum(axis=1) - come
    after, turns, line = np.empty(2 * count, np.int64), np.empty(2 * count, np.bool_), np.empty(2 * count, np.int64)
    after[side[come]], turns[side[come]], line[side[come]] = side[go], np.arange(len(pairs)) >= same.sum(), lines[come]
    rings = [_ring(ring, cols, turns, line, after) for ring in _cycles(after.tolist())]
    return sorted(rings, key=lambda ring: tuple(ring.min(axis=0)))


def _cycles(after: list[int]) -> list[Array]:
    """The sides of each ring, one behind the other."""
    seen, rings = bytearray(len(after)), []
    for start in range(len(after)):
        if seen[start]:
            continue
        ring, at = [], start
        while not seen[at]:
            seen[at] = 1
            ring.append(at)
            at = after[at]
        rings.append(np.array(ring))
    return rings


def _ring(sides: Array, cols: Array, turns: Array, line: Array, after: Array) -> Array:
    """Its corners: two where a side ends and the next one begins elsewhere."""
    sides = sides[turns[sides]]
    return np.stack(
        [np.stack([cols[sides], cols[after[sides]]], axis=1).reshape(-1), np.repeat(line[sides], 2)], axis=1
    )
