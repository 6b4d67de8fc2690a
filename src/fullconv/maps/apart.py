"""Any part of two maps of one image, beside each other: what a cell of the coarser one is in both. ``against`` counts all of them; this is for looking."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.maps.classmap import ClassMap
from fullconv.maps.nearest import Nearest
from fullconv.maps.shared import Shared

Array = npt.NDArray[Any]
Span = tuple[int, int]
ALONE, SAME, OTHER = range(3)


def coarser_of(maps: Sequence[ClassMap]) -> int:
    """Whose cells are compared: the coarser map's, of equal ones the first's."""
    areas = [found.grid.stride[0] * found.grid.stride[1] for found in maps]
    return 1 if areas[1] > areas[0] else 0


def have_scores(maps: Sequence[ClassMap]) -> bool:
    """Whether the scores of two maps can be compared: they are of one kind, and of all classes."""
    one_kind = len({found.score_kind for found in maps}) == 1
    return one_kind and all(found.record is None or found.record.keep != "top1" for found in maps)


class Apart:
    """Two maps.

    Attributes:
        grid: the cells that are compared.
        has_scores: whether their scores can be.
    """

    def __init__(self, shared: Shared, first: ClassMap, second: ClassMap) -> None:
        self._shared, self._maps = shared, (first, second)
        self._base = coarser_of(self._maps)
        self.grid, self.has_scores = self._maps[self._base].grid, have_scores(self._maps)
        self._near = Nearest.of(self.grid, self._maps[1 - self._base].grid)

    def kinds_in(self, rows: Span, cols: Span) -> Array:
        """(rows, cols) of some cells: ``ALONE`` (an answer in one map only), ``SAME`` winner, ``OTHER`` winner; -1 without an answer in either."""
        first, second = (self._winners(which, rows, cols) for which in (0, 1))
        one, other = first >= 0, second >= 0
        both = np.where(first == second, SAME, OTHER)
        return np.where(one & other, both, np.where(one | other, ALONE, -1))

    def gap_in(self, first: int, second: int, rows: Span, cols: Span) -> npt.NDArray[np.float32]:
        """(rows, cols) of some cells: the second map's score of a class less the first's, each by its number there; NaN where one has none."""
        gap: npt.NDArray[np.float32] = self._scores(1, second, rows, cols) - self._scores(0, first, rows, cols)
        return gap

    def scores_at(self, row: int, col: int) -> tuple[Array, Array]:
        """The scores (classes,) of either map at a cell, NaN where it has none."""
        first, second = (self._scores(which, slice(None), (row, row + 1), (col, col + 1)) for which in (0, 1))
        return first[:, 0, 0], second[:, 0, 0]

    def _winners(self, which: int, rows: Span, cols: Span) -> Array:
        """Winners of a map at the compared cells, by number of the shared list."""
        found = self._maps[which]
        own = self._at(which, rows, cols, lambda *window: found.winners_in(*window)[0], -1)
        place = np.arange(len(found.labels)) if which == 0 else self._shared.second
        return np.where(own < 0, -1, place[own])

    def _scores(self, which: int, number: int | slice, rows: Span, cols: Span) -> Array:
        scores = self._maps[which].scores
        return self._at(which, rows, cols, lambda *window: np.asarray(scores[(number, *window)]), np.nan)

    def _at(self, which: int, rows: Span, cols: Span, read: Callable[[slice, slice], Array], nothing: float) -> Array:
        """(..., rows, cols): what a map has at the compared cells."""
        if which == self._base:
            return read(slice(*rows), slice(*cols))
        y, x = (near.index[slice(*span)] for near, span in zip(self._near, (rows, cols), strict=True))
        beyond = (y < 0)[:, None] | (x < 0)[None]
        window = [_span(at) for at in (y, x)]
        index = np.ix_(*(np.maximum(at - part.start, 0) for at, part in zip((y, x), window, strict=True)))
        found: Array = np.where(beyond, nothing, read(*window)[(..., *index)])
        return found.astype(np.float32) if np.isnan(nothing) else found


def _span(at: Array) -> slice:
    """From the first that is there to the last; any one where none is."""
    there = at[at >= 0]
    return slice(int(there.min()), int(there.max()) + 1) if len(there) else slice(0, 1)
