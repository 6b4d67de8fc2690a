"""Local maxima of a map, best first, and of what lies too near together the best.

A peak is a cell that no neighbour (of eight) exceeds. Neighbours of the same score are one plateau, which is one peak, or none where
any of its cells has a higher neighbour: a slope is no peak, however long it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Places = npt.NDArray[np.intp]
Cell = tuple[int, int, float]  # row, column, score
Box = tuple[float, float, float, float]  # x0, y0, x1, y1
Block = tuple[int, int, Array]  # first row, first column, scores (rows, cols)
_AROUND = [step for step in product((-1, 0, 1), repeat=2) if step != (0, 0)]


def local_maxima(blocks: Iterable[Block], threshold: float, reach: tuple[int, int]) -> list[Cell]:
    """Peaks with a score of at least ``threshold``, best first; two of them are at least ``reach`` rows or columns apart.

    A plateau's peak is the cell of it that is nearest to its middle. The map may come in blocks of any size and order: only cells above
    the threshold are held, and of those inside a block only the ones that may be peaks.
    """
    parts = [_candidates(block, threshold) for block in blocks]
    if not parts:
        return []
    rows, cols, scores, beaten = (np.concatenate([part[i] for part in parts]) for i in range(4))
    rows, cols, scores = _peaks_of(rows, cols, scores, beaten)
    half = np.array([reach[1], reach[0]]) / 2
    middles = np.stack([cols, rows], axis=1)
    kept = best_apart(np.concatenate([middles - half, middles + half], axis=1), scores, 0.0)
    return [(int(rows[i]), int(cols[i]), float(scores[i])) for i in kept]


def best_apart(boxes: npt.ArrayLike, scores: npt.ArrayLike, overlap: float) -> list[int]:
    """Which boxes stay, best first, when of two that overlap the better one does (of equals, the one that is given first).

    Args:
        boxes: (n, 4), x0, y0, x1, y1.
        scores: (n,).
        overlap: intersection over union above which two boxes are one find; 0: any that share an area are.
    """
    sides = np.asarray(boxes, np.float64).reshape(-1, 4)
    order = np.argsort(-np.asarray(scores, np.float64), kind="stable")
    if not order.size:
        return []
    # Boxes are looked up by the square of a coarse grid in which their middle lies; those that overlap lie in squares side by side.
    size = np.maximum((sides[:, 2:] - sides[:, :2]).max(axis=0), 1e-9)
    squares = np.floor((sides[:, :2] + sides[:, 2:]) / 2 / size).astype(np.int64)
    taken: dict[tuple[int, int], list[tuple[float, float, float, float]]] = {}
    around = list(product((-1, 0, 1), repeat=2))
    kept: list[int] = []
    for i, (x, y), box in zip(order.tolist(), squares[order].tolist(), sides[order].tolist(), strict=True):
        if any(_shared(box, other) > overlap for dx, dy in around for other in taken.get((x + dx, y + dy), ())):
            continue
        taken.setdefault((x, y), []).append(box)
        kept.append(i)
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


def _shared(one: Box, other: Box) -> float:
    """Intersection over union of two boxes."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    if wide <= 0 or high <= 0:
        return 0.0
    both = (one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1])
    return wide * high / (both - wide * high)


def _candidates(block: Block, threshold: float) -> tuple[Places, Places, Array, npt.NDArray[np.bool_]]:
    """Cells of a block above the threshold that may be peaks, or that decide whether cells of other blocks are.

    Row, column, score, and whether a neighbour within the block is higher.
    """
    top, left, scores = block
    high, wide = scores.shape
    around = np.full((high + 2, wide + 2), -np.inf, np.float32)
    around[1:-1, 1:-1] = np.where(scores >= threshold, scores, -np.inf)  # NaN is no neighbour
    own = around[1:-1, 1:-1]
    beaten, level = np.zeros((2, high, wide), np.bool_)
    for down, right in _AROUND:
        other = around[1 + down : 1 + down + high, 1 + right : 1 + right + wide]
        beaten |= other > own
        level |= other == own
    kept = ~beaten | level
    kept[[0, -1]] = kept[:, [0, -1]] = True
    rows, cols = np.nonzero(kept & np.isfinite(own) | kept & (own == np.inf))
    return rows + top, cols + left, scores[rows, cols], beaten[rows, cols]


def _peaks_of(rows: Places, cols: Places, scores: Array, beaten: npt.NDArray[np.bool_]) -> tuple[Places, Places, Array]:
    """One cell of every plateau that nothing beats, of cells that come with whether a neighbour in their block beats them."""
    wide = int(cols.max(initial=0)) + 3
    key = (rows + 1) * wide + cols + 1
    order = np.argsort(key, kind="stable")
    key, rows, cols, scores, beaten = key[order], rows[order], cols[order], scores[order], beaten[order].copy()
    plateau = np.arange(len(key))
    pairs = []
    for down, right in _AROUND:
        at = np.searchsorted(key, key + down * wide + right)
        at[at == len(key)] = 0
        there = np.flatnonzero(key[at] == key + down * wide + right) if len(key) else at
        other = at[there]
        beaten[there] |= scores[other] > scores[there]
        same = scores[other] == scores[there]
        pairs.append((there[same], other[same]))
    one, two = (np.concatenate([pair[i] for pair in pairs]) for i in (0, 1))
    while True:  # the least number of a plateau goes through it, and further by what its cells have learnt
        before = plateau.copy()
        np.minimum.at(plateau, one, plateau[two])
        plateau = plateau[plateau]
        if (plateau == before).all():
            break
    lost = np.zeros(len(key), np.bool_)
    lost[plateau[beaten]] = True
    alive = np.flatnonzero(~lost[plateau])
    if not alive.size:
        return rows[alive], cols[alive], scores[alive]
    _, number, count = np.unique(plateau[alive], return_inverse=True, return_counts=True)
    away = np.zeros(len(alive))
    for side in (rows[alive], cols[alive]):
        away += (side - (np.bincount(number, side) / count)[number]) ** 2
    first = np.lexsort((away, number))
    chosen = alive[first[np.flatnonzero(np.diff(number[first], prepend=-1))]]
    return rows[chosen], cols[chosen], scores[chosen]
