"""Connected regions of cells, found in one pass over the rows; a region is given once no further row can belong to it."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.errors import BadInput
from fullconv.maps.classmap import ClassMap

Array = npt.NDArray[Any]
Band = tuple[int, Array, Array]  # first row; (rows, cols) of keys, below 0 where no region is; (rows, cols) of scores
_BAND = 64 << 20  # bytes of scores that are read at once


@dataclass(slots=True, eq=False)
class Region:
    """Cells that hang together by their sides.

    Attributes:
        key: what they share: the index of a class.
        total, best: sum and highest of their scores.
        at: (row, column) of the highest; of equal ones the first by row and column.
        flat: row, first column and last column (excluded) of its runs, one behind the other.
        into: what it was joined to.
    """

    key: int
    cells: int
    total: float
    best: float
    at: tuple[int, int]
    flat: array[int] = field(default_factory=lambda: array("i"))
    into: Region | None = None

    @property
    def runs(self) -> npt.NDArray[np.int32]:
        """(runs, 3): row, first column, last column (excluded)."""
        return np.frombuffer(self.flat, np.int32).reshape(-1, 3)

    @property
    def mean(self) -> float:
        return self.total / self.cells

    def root(self) -> Region:
        """What this one has become a part of."""
        found = self
        while found.into is not None:
            if found.into.into is not None:
                found.into = found.into.into
            found = found.into
        return found

    def join(self, other: Region) -> None:
        """Make one of two roots."""
        if self is other:
            return
        large, small = (self, other) if len(self.flat) >= len(other.flat) else (other, self)
        large.flat.extend(small.flat)
        large.cells += small.cells
        large.total += small.total
        if (-small.best, small.at) < (-large.best, large.at):
            large.best, large.at = small.best, small.at
        small.into, small.flat = large, array("i")


def regions_of(
    found: ClassMap, classes: tuple[int, ...], threshold: float, most: int | None = None
) -> Iterator[Region]:
    """Regions of cells that score at least a threshold, of each class for itself.

    Args:
        most: runs of cells that all regions of a class may have.

    Raises:
        BadInput: they have more.
    """
    high = _height(found)
    at_once = max(1, _BAND // (4 * high * max(1, found.grid.cols)))
    for first in range(0, len(classes), at_once):
        some = classes[first : first + at_once]
        finders = [_Finder(most) for _ in some]
        for top in range(0, found.grid.rows, high):
            planes = np.asarray(found.scores[list(some), top : min(top + high, found.grid.rows), :])
            for finder, index, scores in zip(finders, some, planes, strict=True):
                yield from finder.feed((top, np.where(scores >= threshold, index, -1), scores))
        for finder in finders:
            yield from finder.end()


def winners_of(found: ClassMap, classes: tuple[int, ...], threshold: float | None) -> Iterator[Region]:
    """Regions of cells that one class wins: of all classes a partition of the cells that have an answer.

    Args:
        threshold: leaves out cells whose winner scores less.
    """
    kept = np.zeros(len(found.labels) + 1, bool)  # the last is -1's, of cells without an answer
    kept[list(classes)] = True
    finder = _Finder()
    for top, winners, best in bands_of_winners(found):
        known = kept[winners] if threshold is None else kept[winners] & (best >= threshold)
        yield from finder.feed((top, np.where(known, winners, -1), best))
    yield from finder.end()


def bands_of_winners(found: ClassMap) -> Iterator[Band]:
    """Winning class of each cell (-1: no answer) and its score, some whole rows at a time."""
    for top, pieces in groupby(found.winners(), key=lambda piece: piece[0]):
        parts = sorted(pieces, key=lambda piece: piece[1])
        winners, best = (np.concatenate([part[i] for part in parts], axis=1) for i in (2, 3))
        yield top, winners, best


def _height(found: ClassMap) -> int:
    """Rows that are read at once: a row of chunks."""
    return 256 if found.record is None else found.record.tiles.chunk[0]


class _Finder:
    """Regions of equal keys, fed with bands of rows from the first on."""

    def __init__(self, most: int | None = None) -> None:
        self._most, self._count = most, 0
        self._above: list[tuple[int, int, Region]] = []  # first and last column of the runs of the row before

    def feed(self, band: Band) -> Iterator[Region]:
        top, keys, scores = band
        for i in range(len(keys)):
            yield from self._row(top + i, keys[i], scores[i])
            if self._most is not None and self._count > self._most:
                raise BadInput(f"these cells lie in more than {self._most:,} stretches; choose a higher threshold")

    def end(self) -> Iterator[Region]:
        yield from dict.fromkeys(region.root() for _, _, region in self._above)
        self._above = []

    def _row(self, row: int, keys: Array, scores: Array) -> Iterator[Region]:
        above, here = self._above, []
        at = 0
        for first, last, key, total, best, place in _runs(keys, scores):
            region = Region(key, last - first, total, best, (row, place))
            region.flat.extend((row, first, last))
            while at < len(above) and above[at][1] <= first:
                at += 1
            touching = at
            while touching < len(above) and above[touching][0] < last:
                if above[touching][2].key == key:
                    region.root().join(above[touching][2].root())
                touching += 1
            here.append((first, last, region))
        self._above = here
        self._count += len(here)
        going_on = {id(region.root()) for _, _, region in here}
        yield from dict.fromkeys(root for _, _, region in above if id(root := region.root()) not in going_on)


def _runs(keys: Array, scores: Array) -> Iterator[tuple[int, int, int, float, float, int]]:
    """Stretches of one key: first and last column, key, sum and highest of the scores, and the column of the highest."""
    if not len(keys):
        return
    firsts = np.concatenate([[0], np.flatnonzero(keys[1:] != keys[:-1]) + 1])
    lasts = np.append(firsts[1:], len(keys))
    totals, bests = np.add.reduceat(scores.astype(np.float64), firsts), np.maximum.reduceat(scores, firsts)
    highest = np.append(np.flatnonzero(scores == np.repeat(bests, lasts - firsts)), len(scores))
    places = highest[np.searchsorted(highest, firsts)]
    some = keys[firsts] >= 0
    each = (part[some].tolist() for part in (firsts, lasts, keys[firsts], totals, bests, places))
    yield from zip(*each, strict=True)
