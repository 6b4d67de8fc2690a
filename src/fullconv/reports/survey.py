"""What a page says of a map's classes: counted cell by cell, and of maps that would be read for minutes on a coarser level, which is said."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.exports.images import Overview, overviews
from fullconv.geometry.grid import Grid
from fullconv.maps.classmap import ClassMap, Peak
from fullconv.maps.labels import Named, classes_named
from fullconv.render.components import FEATURES
from fullconv.render.reduced import highest_of_blocks, winners_of_blocks
from fullconv.results.layout import LEAST
from fullconv.results.lazy import StoredScores
from fullconv.results.levels import levels_of
from fullconv.results.store import Store

Array = npt.NDArray[Any]
_MOST = 1 << 29  # scores that are read one by one
_DRAWN = 1200  # cells a side of a picture
_SHOWN = 6  # classes with a part of their own
_BACKGROUND = 0.5  # a class that wins more of the cells is what others are seen against
_BARS = 40
_CROWDED = 4_000_000  # cells among which peaks are looked for


@dataclass(frozen=True, slots=True)
class Histogram:
    """Scores of one class: from ``low`` to ``high`` in equal steps, how many cells each, (bars,)."""

    low: float
    high: float
    cells: Array


@dataclass(frozen=True, slots=True)
class Survey:
    """What is counted of a map.

    Attributes:
        whole: the map.
        found: what of it was counted: itself, or a coarser level.
        step: cells of the map a side that a counted one is the mean of.
        threshold: that counts, None where no threshold means anything.
        answered: counted cells with an answer.
        classes: every class, in the map's order.
        shown: those with a part of their own, the one of most cells first.
        won: a coarser grid, the class that wins each of its cells (-1: none), and how many cells each class wins.
    """

    whole: ClassMap
    found: ClassMap
    step: int
    threshold: float | None
    answered: int
    classes: list[Overview]
    shown: tuple[int, ...]
    won: tuple[Grid, Array, Array]

    @property
    def features(self) -> bool:
        """Whether the scores are a layer's channels, of which none wins."""
        return self.whole.score_kind == FEATURES

    @property
    def factor(self) -> int:
        """Cells a side that are drawn as one."""
        return _factor(self.found)

    def heat(self, index: int) -> tuple[Grid, Array]:
        """One class's scores on a grid that can be drawn: the highest of each block."""
        return self.found.grid.coarser(self.factor), highest_of_blocks(self.found, index, self.factor)

    def histogram(self, index: int) -> Histogram | None:
        """Of one class; None where it has no numbers."""
        low, high = (0.0, 1.0) if self.found.score_kind == "probabilities" else self._ends(index)
        if not low <= high:
            return None
        low, high = (low, high) if low < high else (low - 0.5, high + 0.5)
        cells = np.zeros(_BARS, np.int64)
        for _, _, scores in self.found.blocks(index):
            known = scores[np.isfinite(scores)]
            cells += np.histogram(np.clip(known, low, high), _BARS, (low, high))[0]
        return Histogram(low, high, cells)

    def _ends(self, index: int) -> tuple[float, float]:
        low, high = np.inf, -np.inf
        for _, _, scores in self.found.blocks(index):
            known = scores[np.isfinite(scores)]
            if known.size:
                low, high = min(low, float(known.min())), max(high, float(known.max()))
        return (0.0, 1.0) if self.found.score_kind == "" and low >= 0 and 0 < high <= 1 else (low, high)

    def peaks(self, index: int, histogram: Histogram | None, most: int) -> tuple[list[Peak], int | None]:
        """The best peaks of a class, the very best one whatever it scores, and how many reach the threshold; None where these are not counted. None of the winner's number, which is no score."""
        if histogram is None or not histogram.cells.any() or self.whole.score_kind == "winner":
            return [], None
        floor = _least(histogram)
        crowded = floor > histogram.high
        least = floor if self.threshold is None else max(self.threshold, floor)
        every = [] if crowded else self.found.peaks(index, least)
        counted = not crowded and self.threshold is not None and self.threshold >= floor and self.step == 1
        best = every[:most] or [each for each in [self.found.highest(index)] if each is not None]
        return [self._of_whole(index, each) for each in best], len(every) if counted else None

    def _of_whole(self, index: int, peak: Peak) -> Peak:
        """The best cell of the map among those that a counted one stands for."""
        if self.step == 1:
            return peak
        lead = (0, 0) if self.whole.record is None else self.whole.record.tiles.lead
        rows, cols = (
            slice(max(0, at * self.step - before), min(max(1, (at + 1) * self.step - before), length))
            for at, before, length in zip((peak.row, peak.col), lead, self.whole.scores.shape[1:], strict=True)
        )
        part = self.whole.scores[index, rows, cols]
        row, col = divmod(int(np.argmax(np.where(np.isnan(part), -np.inf, part))), part.shape[1])
        at = rows.start + row, cols.start + col
        return Peak(peak.label, float(part[row, col]), *at, self.whole.box(*at))


def survey(found: ClassMap, store: Store | None, classes: Named | None, threshold: float | None) -> Survey:
    """Count a map.

    Args:
        store: that it lies in.
        classes: that are shown; by default those that win most cells, without the one that most others lie in.
        threshold: as it counts, see ``Survey``.
    """
    counted, step = _within(found, store)
    answered, every = overviews(counted, threshold)
    winners, counts = winners_of_blocks(counted, _factor(counted))
    chosen = _shown(found, every) if classes is None else classes_named(found.labels, classes)
    won = counted.grid.coarser(_factor(counted)), winners, counts
    return Survey(found, counted, step, threshold, answered, every, chosen, won)


def _within(found: ClassMap, store: Store | None) -> tuple[ClassMap, int]:
    """The map, or a coarser level of as many scores as are read for a page, and how many cells a side one of its cells stands for."""
    if store is None or found.record is None or found.record.keep == "top1":
        return found, 1
    grid = found.record.stored_grid
    sizes = levels_of(grid, LEAST)
    fits = [i for i, (rows, cols) in enumerate(sizes) if len(found.labels) * rows * cols <= _MOST]
    level = fits[0] if fits else len(sizes) - 1
    if not level:
        return found, 1
    scores: Any = StoredScores(store, level)
    coarse = replace(found, scores=scores, grid=grid.coarser(1 << level), confirmed=None)
    return coarse, 1 << level


def _factor(found: ClassMap) -> int:
    return max(1, -(-max(found.grid.rows, found.grid.cols) // _DRAWN))


def _shown(found: ClassMap, every: list[Overview]) -> tuple[int, ...]:
    """The classes of most cells, of features none: of a few all of them, else without background, or what is that where no card says."""
    if found.score_kind == FEATURES:
        return ()
    order = sorted(found.findings, key=lambda i: -every[i].cells)
    if len(order) <= _SHOWN:
        return tuple(order)
    said = len(order) < len(every)
    rest = [i for i in order if every[i].cells and (said or every[i].share <= _BACKGROUND)]
    return tuple((rest or order)[:_SHOWN])


def _least(histogram: Histogram) -> float:
    """A score that no more cells reach than peaks are looked for among; above all scores where the highest are too many already."""
    above = np.cumsum(histogram.cells[::-1])
    bars = int(np.searchsorted(above, _CROWDED, side="right"))
    step = (histogram.high - histogram.low) / len(histogram.cells)
    return float(histogram.high - bars * step) if bars else float("inf")
