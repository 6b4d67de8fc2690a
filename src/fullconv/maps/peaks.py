"""Local maxima of a map, best first: of two nearer than a reach only the better one is found."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Cell = tuple[int, int, float]  # row, column, score
Block = tuple[int, int, Array]  # first row, first column, scores (rows, cols)


def local_maxima(blocks: Iterable[Block], threshold: float, reach: tuple[int, int]) -> list[Cell]:
    """Cells with a score of at least ``threshold``; two of them are at least ``reach`` rows or columns apart.

    The map may come in blocks of any size and order: only cells above the threshold are held.
    """
    found = [_above(block, threshold) for block in blocks]
    rows, cols, scores = (np.concatenate([part[i] for part in found]) if found else np.empty(0) for i in range(3))
    order = np.lexsort((cols, rows, -scores))  # best first, of equals the one that is read first
    taken: dict[tuple[int, int], list[tuple[int, int]]] = {}
    kept: list[Cell] = []
    for i in order:
        row, col = int(rows[i]), int(cols[i])
        place = row // reach[0], col // reach[1]
        near = (
            other
            for down in (-1, 0, 1)
            for right in (-1, 0, 1)
            for other in taken.get((place[0] + down, place[1] + right), ())
        )
        if all(abs(row - r) >= reach[0] or abs(col - c) >= reach[1] for r, c in near):
            taken.setdefault(place, []).append((row, col))
            kept.append((row, col, float(scores[i])))
    return kept


def highest(blocks: Iterable[Block]) -> Cell | None:
    """The best cell, None where no cell has an answer."""
    best: Cell | None = None
    for top, left, scores in blocks:
        if np.isnan(scores).all():
            continue
        at = int(np.nanargmax(scores))
        row, col = divmod(at, scores.shape[1])
        score = float(scores[row, col])
        if best is None or score > best[2]:
            best = top + row, left + col, score
    return best


def _above(block: Block, threshold: float) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Array]:
    top, left, scores = block
    rows, cols = np.nonzero(scores >= threshold)
    return rows + top, cols + left, scores[rows, cols]
