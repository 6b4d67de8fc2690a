"""Scores as bands of a raster: of some classes, or, of a map that keeps no more, the winning class and its score."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
import numpy.typing as npt

from fullconv.maps.classmap import ClassMap, Scores

STEP = 512  # rows and columns that are read at once
_BANDS = 16  # bands that are
_WINNERS = 64 << 20  # bytes of scores whose winners are looked for at once


class Bands:
    """The bands of a map, and their values, a few at a time."""

    def __init__(self, found: ClassMap, classes: tuple[int, ...]) -> None:
        self._found, self._classes = found, classes
        keep = None if found.record is None else found.record.keep
        self.winners = keep == "top1" and len(classes) == len(found.labels) > 1
        self.names = ["winning class", "its score"] if self.winners else [found.labels[index] for index in classes]

    def read(self, rows: slice, cols: slice) -> Iterator[tuple[int, Scores]]:
        """(first band, its and the next bands' values), NaN without an answer."""
        if self.winners:
            winners, best = winners_in(self._found, rows, cols)
            yield 0, np.stack([np.where(winners < 0, np.float32(np.nan), winners).astype(np.float32), best])
            return
        for first in range(0, len(self._classes), _BANDS):
            some = self._classes[first : first + _BANDS]
            yield first, np.asarray(self._found.scores[list(some), rows, cols])


def windows(rows: int, cols: int, step: int = STEP) -> Iterator[tuple[slice, slice]]:
    """A raster in pieces."""
    for top, left in product(range(0, rows, step), range(0, cols, step)):
        yield slice(top, min(top + step, rows)), slice(left, min(left + step, cols))


def winners_in(found: ClassMap, rows: slice, cols: slice) -> tuple[npt.NDArray[np.intp], Scores]:
    """Winning classes of some cells, -1 without an answer, and their scores; the scores of many classes are read by smaller pieces."""
    height, width = rows.stop - rows.start, cols.stop - cols.start
    winners, best = np.empty((height, width), np.intp), np.empty((height, width), np.float32)
    step = STEP
    while step > 64 and 4 * len(found.labels) * step * step > _WINNERS:
        step //= 2
    for y, x in windows(height, width, step):
        winners[y, x], best[y, x] = found.winners_in(
            slice(rows.start + y.start, rows.start + y.stop), slice(cols.start + x.start, cols.start + x.stop)
        )
    return winners, best
