"""Which cell of another map lies at each cell of a map, by their centres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fullconv.geometry.grid import Grid

Indices = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Nearest:
    """The rows, or columns, of another map at those of a map.

    Attributes:
        index: the nearest of the other map, -1 where none lies within half a step of it.
        off: pixels between the two centres, at most.
    """

    index: Indices
    off: float

    @staticmethod
    def of(grid: Grid, other: Grid) -> tuple[Nearest, Nearest]:
        """Of rows and of columns."""
        return _along(grid, other, 0), _along(grid, other, 1)


def _along(grid: Grid, other: Grid, side: int) -> Nearest:
    count, least = ((each.rows, each.cols)[side] for each in (grid, other))
    step, origin = grid.stride[side], grid.centre0[side]
    at = [
        (origin + i * step - other.centre0[side]) / other.stride[side] for i in range(count)
    ]  # exact, in the other's steps
    found = np.array([round(place) for place in at], np.intp)
    inside = (found >= 0) & (found < least)
    apart = [float(abs(place - round(place)) * other.stride[side]) for place in at]
    off = max((each for each, there in zip(apart, inside, strict=True) if there), default=0.0)
    return Nearest(np.where(inside, found, -1), off)
