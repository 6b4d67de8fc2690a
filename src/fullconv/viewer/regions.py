"""Regions of a class as a list: those that ``fullconv export --what regions`` writes, with their outlines; found once, and kept for what is said of them."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.exports.outlines import rings_of
from fullconv.exports.regions import regions_of
from fullconv.geometry.grid import Grid
from fullconv.maps.classmap import ClassMap

Array = npt.NDArray[Any]
ORDERS = ("best", "mean", "cells")
_RUNS = 1_000_000  # of all regions of a list
_LISTED = 500
_CORNERS = 200_000  # of all outlines of a list that are sent
_BAND = 256  # rows of cells that are read at once


@dataclass(frozen=True, slots=True)
class Listing:
    """All regions of a class at a threshold, in no order.

    Attributes:
        threshold: the least score.
        at: (n, 2) row and column of each one's best cell.
        best, mean: (n,) scores.
        cells: (n,) how many.
        ends: (n + 1,) where each one's runs begin, and end.
        runs: (m, 3) row, first column, last column (excluded).
    """

    plane: int
    threshold: float
    at: Array
    best: Array
    mean: Array
    cells: Array
    ends: Array
    runs: Array

    @staticmethod
    def of(found: ClassMap, plane: int, threshold: float) -> Listing:
        """Of a map as it is now.

        Raises:
            BadInput: they lie in too many stretches of cells.
        """
        at, runs, cells, ends = array("i"), array("i"), array("q"), array("q", [0])
        best, mean = array("d"), array("d")
        for region in regions_of(found, (plane,), threshold, _RUNS):
            at.extend(region.at)
            runs.extend(region.flat)
            cells.append(region.cells)
            best.append(region.best)
            mean.append(region.mean)
            ends.append(len(runs) // 3)
        places, stretches = np.array(at, np.int32).reshape(-1, 2), np.array(runs, np.int32).reshape(-1, 3)
        return Listing(
            plane, threshold, places, np.array(best), np.array(mean), np.array(cells), np.array(ends), stretches
        )

    def find(self, row: int, col: int, cells: int) -> int:
        """The region with this best cell and so many cells.

        Raises:
            IndexError: there is none.
        """
        (found,) = np.nonzero((self.at == (row, col)).all(axis=1) & (self.cells == cells))
        if not found.size:
            raise IndexError(f"no region of {cells} cells about cell ({row}, {col}) at {self.threshold:g} any more")
        return int(found[0])

    def of_region(self, i: int) -> Array:
        """(n, 3) its runs."""
        return self.runs[self.ends[i] : self.ends[i + 1]]

    def first(self, order: str, grid: Grid) -> dict[str, Any]:
        """The first ones in an order, as the page is told of them."""
        keys = {"best": self.best, "mean": self.mean, "cells": self.cells}
        sorts = [-keys[name] for name in (order, *(name for name in ORDERS if name != order))]
        ranked = np.lexsort((*self.at.T[::-1], *sorts[::-1]))[:_LISTED].tolist()
        listed, room = [], _CORNERS
        for i in ranked:
            runs = self.of_region(i)
            # A row of a region has at most four corners a run: what is not sent is not made.
            rings = [ring.reshape(-1).tolist() for ring in rings_of(runs)] if len(runs) <= room else None
            room -= 0 if rings is None else sum(map(len, rings)) // 2
            corners = np.array([[runs[:, 1].min(), runs[:, 0].min()], [runs[:, 2].max(), runs[:, 0].max() + 1]])
            listed.append({
                "row": int(self.at[i, 0]), "col": int(self.at[i, 1]), "score": float(self.best[i]), "box": placed(grid, corners).reshape(-1).tolist(),
                "region": {"mean": float(self.mean[i]), "cells": int(self.cells[i]), "rings": rings},
            })  # fmt: skip
        return {"count": len(self.cells), "threshold": self.threshold, "finds": listed}


def placed(grid: Grid, corners: Array) -> Array:
    """(n, 2) corners of cells (col, row) as pixels of the image (x, y): a cell's square is as wide as the stride."""
    step, first = (np.array([float(pair[1]), float(pair[0])]) for pair in (grid.stride, grid.centre0))
    placed: Array = first + (1 - step) / 2 + corners * step
    return placed


def crops_of(found: ClassMap, plane: int, runs: Array, at: tuple[int, int], most: int) -> list[tuple[int, int, float]]:
    """Cells of a region whose crops lie side by side, the best cell's among them, with the scores of a class; at most so many, spread over it."""
    grid = found.grid
    step = [max(1, int(-(-crop // stride))) for crop, stride in zip(grid.crop, grid.stride, strict=True)]
    while True:
        rows = runs[(runs[:, 0] - at[0]) % step[0] == 0].astype(np.int64)
        firsts = rows[:, 1] + (at[1] - rows[:, 1]) % step[1]
        counts = np.maximum(0, -(-(rows[:, 2] - firsts) // step[1]))
        if counts.sum() <= most:
            break
        step = [2 * side for side in step]
    down = np.repeat(rows[:, 0], counts)
    nth = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    across = np.repeat(firsts, counts) + step[1] * nth
    order = np.lexsort((across, down))
    down, across = down[order], across[order]
    scores = np.empty(len(down), np.float32)
    for band in np.unique(down // _BAND).tolist():
        here = np.flatnonzero(down // _BAND == band)
        top, bottom = int(down[here[0]]), int(down[here[-1]]) + 1
        left, right = int(across[here].min()), int(across[here].max()) + 1
        part = np.asarray(found.scores[plane, top:bottom, left:right])
        scores[here] = part[down[here] - top, across[here] - left]
    return list(zip(down.tolist(), across.tolist(), scores.tolist(), strict=True))
