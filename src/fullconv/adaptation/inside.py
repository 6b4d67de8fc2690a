"""Which cells a head is fitted on: those that see the image alone. Near its border a map sees zeros on one side, as crops do on all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fullconv.geometry.grid import Grid
from fullconv.maps.ways import Way
from fullconv.stream.edges import Edges
from fullconv.stream.where import Where

_MIDDLE = 4  # of a small map no more than one part in so many is left out on a side
Mask = npt.NDArray[np.bool_]


@dataclass(slots=True)
class Inside:
    """Cells away from the image's border, or those near it, among what ``where`` admits.

    Attributes:
        rows, cols: (rows,) and (cols,), whether they are away from it.
        near: whether the others are meant.
    """

    where: Where | None
    rows: Mask
    cols: Mask
    near: bool = False
    fingerprint: str = ""

    @staticmethod
    def of(way: Way, grid: Grid, where: Where | None) -> Inside:
        """Of the cells of a map, in pixels as they are read; of a map that is hardly larger than a field, those of its middle."""
        edges = Edges.of(way, grid)
        return Inside(where, edges.rows | _middle(grid.rows), edges.cols | _middle(grid.cols))

    def cells(self, grid: Grid, rows: tuple[int, int], cols: tuple[int, int]) -> Mask:
        mask = self.rows[slice(*rows), None] & self.cols[None, slice(*cols)]
        mask = ~mask if self.near else mask
        return mask if self.where is None else mask & self.where.cells(grid, rows, cols)


def _middle(count: int) -> Mask:
    number = np.arange(count)
    return (number >= count // _MIDDLE) & (number < count - count // _MIDDLE)
