"""Which cells of a map see past the end of what runs: the others see the image alone, whatever lies around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fullconv.geometry.grid import Grid
from fullconv.maps.ways import Way

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Edges:
    """Of rows and of columns, whether the field of their cells lies inside the image.

    Attributes:
        rows, cols: (rows,) and (cols,), True inside.
    """

    rows: Mask
    cols: Mask

    @staticmethod
    def of(way: Way, grid: Grid) -> Edges:
        """Of the cells of a map.

        Args:
            way: what runs.
            grid: in pixels as they are read.
        """
        return Edges(_inside(way, grid, 0), _inside(way, grid, 1))

    def interior(self, rows: npt.NDArray[np.integer], cols: npt.NDArray[np.integer]) -> Mask:
        """Whether cells lie inside by both sides; (cells,)."""
        inside: Mask = self.rows[rows] & self.cols[cols]
        return inside


def _inside(way: Way, grid: Grid, side: int) -> Mask:
    count, length = (grid.rows, grid.cols)[side], grid.image[side]
    step, size = float(grid.stride[side]), float(grid.field[side])
    number = np.arange(count)
    starts = float(grid.centre0[side]) - (size - 1) / 2 + number * step
    firsts, lasts = np.zeros(count), np.empty(count)
    for shift in range(way.shifts[side]):  # each runs on an image that starts so much later, and may be cut at its end
        first = shift * int(grid.stride[side])
        moved = tuple(end - first if i == side else end for i, end in enumerate(grid.image))
        run = way.model.fitting((moved[0], moved[1]), way.output)[side]
        firsts[shift :: way.shifts[side]] = first
        lasts[shift :: way.shifts[side]] = min(length, first + run)
    inside: Mask = (starts >= firsts) & (starts + size <= lasts)
    return inside
