"""Two results of one image as one that is looked at: the second's scores less the first's, and where their winners part.

Cells and shared classes are those of ``fullconv compare``: the coarser map's cells, each with the other's whose centre is nearest.
A cell of level k stands for 2^k × 2^k: for the mean of their differences, and for a parting where any of them parts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.errors import BadInput
from fullconv.maps.apart import ALONE, OTHER, SAME, Apart
from fullconv.maps.shared import Shared
from fullconv.results.layout import LEAST, NO_CLASS
from fullconv.results.levels import halved, levels_of
from fullconv.viewer.exhibit import Exhibit

Array = npt.NDArray[Any]
Span = tuple[int, int]
SIDE = 256
KINDS = (
    ("an answer in one map only", (150, 150, 150)),
    ("the same winner", (0, 114, 178)),
    ("another winner", (213, 94, 0)),
)  # in the order of ``maps.apart``, in the colours of ``fullconv compare``
_AT_ONCE = 1 << 23  # scores that are read of a map at once
_MOST = 1 << 26  # cells that a tile is made of
_ORDER = (OTHER, ALONE, SAME)  # by which one of several cells is shown
_NO_SCORES = "the scores of these two are not compared: they are of other kinds, or of winners alone"


class Difference:
    """A second result against a first.

    Attributes:
        first, second: the two.
        shared: the classes of either.
        grid: the cells that are compared.
        levels: (rows, cols) of every level, the finest first.
        has_scores: whether their scores are of one kind, and all there.
    """

    def __init__(self, first: Exhibit, second: Exhibit) -> None:
        self.first, self.second = first, second
        if first.found.grid.image != second.found.grid.image:
            raise BadInput(f"{first.source} and {second.source}: are of images of other sizes")
        self.shared = Shared.of((first.source, second.source), first.found.labels, second.found.labels)
        self._apart = Apart(self.shared, first.found, second.found)
        self.grid, self.has_scores = self._apart.grid, self._apart.has_scores
        self.levels = levels_of(self.grid, LEAST)
        areas = [each.found.grid.stride[0] * each.found.grid.stride[1] for each in (first, second)]
        self._dense = max(1, round(max(areas) / min(areas)))  # cells of the finer map a cell
        self._planes = [(i, int(np.flatnonzero(self.shared.second == i)[0])) for i in self.shared.common]

    @property
    def labels(self) -> tuple[str, ...]:
        """Of the classes that both have."""
        return tuple(self.shared.labels[i] for i in self.shared.common)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is to be known of the two."""
        said = self.shared.remarks
        return said if self.has_scores else (*said, _NO_SCORES)

    @property
    def most(self) -> float:
        """How far scores can lie apart, as far as that is known."""
        ends = [each.range() for each in (self.first, self.second)]
        return max(high for _, high in ends) - min(low for low, _ in ends)

    def scores(self, level: int, row: int, col: int, plane: int) -> Array:
        """(rows, cols) float32 of a tile of one class.

        Raises:
            IndexError: there is none.
            BadInput: it would be made of too many cells, or the two have no scores to compare.
        """
        if not self.has_scores:
            raise BadInput(_NO_SCORES)
        if not 0 <= plane < len(self._planes):
            raise IndexError(f"no class {plane}")
        made = []
        for rows, cols in self._stripes(level, row, col, 1):
            part = self._apart.gap_in(*self._planes[plane], rows, cols)[None]
            for _ in range(level):
                part = halved(part)
            made.append(part[0])
        return np.concatenate(made)

    def kinds(self, level: int, row: int, col: int) -> Array:
        """(rows, cols) uint16 of a tile: 0 an answer in one only, 1 one winner, 2 another winner, 65535 none."""
        made = []
        for rows, cols in self._stripes(level, row, col, self._classes):
            rank = np.full(np.diff((rows, cols))[:, 0], len(_ORDER), np.uint8)
            found = self._apart.kinds_in(rows, cols)
            for place, kind in enumerate(_ORDER):
                rank[found == kind] = place
            for _ in range(level):
                rank = np.pad(rank, [(0, length % 2) for length in rank.shape], constant_values=len(_ORDER))
                rank = np.minimum(
                    np.minimum(rank[::2, ::2], rank[1::2, ::2]), np.minimum(rank[::2, 1::2], rank[1::2, 1::2])
                )
            made.append(np.array([*_ORDER, NO_CLASS], np.uint16)[rank])
        return np.concatenate(made)

    def cell(self, row: int, col: int) -> tuple[list[float], list[float]]:
        """Both maps' scores of the shared classes at a cell."""
        first, second = self._apart.scores_at(row, col)
        return [float(first[i]) for i, _ in self._planes], [float(second[i]) for _, i in self._planes]

    @property
    def _classes(self) -> int:
        return max(len(each.found.labels) for each in (self.first, self.second))

    def _stripes(self, level: int, row: int, col: int, classes: int) -> list[tuple[Span, Span]]:
        """The cells of a tile as parts of whole cells of its level, of so many as are read at once of so many classes."""
        if not 0 <= level < len(self.levels):
            raise IndexError(f"no level {level}")
        height, width = self.levels[level]
        top, left = row * SIDE, col * SIDE
        if not (0 <= top < height and 0 <= left < width):
            raise IndexError(f"no tile {row}, {col} of level {level}")
        step, dense = 2**level, self._dense
        bottom, right = min((top + SIDE) * step, self.grid.rows), min((left + SIDE) * step, self.grid.cols)
        top, left = top * step, left * step
        if (bottom - top) * (right - left) > _MOST:
            raise BadInput("a difference has no coarser levels of its own: zoom in")
        tall = max(1, _AT_ONCE // (classes * dense * (right - left) * step)) * step
        return [((at, min(at + tall, bottom)), (left, right)) for at in range(top, bottom, tall)]
