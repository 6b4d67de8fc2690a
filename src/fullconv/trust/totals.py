"""Two answers a cell, added up as they come: how far they are apart, where most, and in how many cells the same class wins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.stream.sample import Cell

Array = npt.NDArray[Any]


@dataclass
class Totals:
    """Of all cells that were added; differences are of scores, absolute.

    Attributes:
        classes: how many scores a cell has.
        compared, agree, apart, neither: cells, see ``Report``.
        largest, mean, rank: see ``Report``.
        magnitude: of the crops' scores, the largest that is a number.
        by_class: (classes,), the largest difference of each.
        worst: the cell that differs most.
        cells, gaps, winners: each cell, its largest difference, and the class that wins it on the map; in pieces.
    """

    classes: int
    compared: int = 0
    agree: int = 0
    apart: int = 0
    neither: int = 0
    largest: float = 0.0
    magnitude: float = 0.0
    worst: Cell = (0, 0)
    by_class: Array = field(init=False)
    cells: list[Array] = field(default_factory=list)
    gaps: list[Array] = field(default_factory=list)
    winners: list[Array] = field(default_factory=list)
    _sum: float = 0.0
    _ranks: float = 0.0
    _worst: tuple[bool, float] = (False, -1.0)

    def __post_init__(self) -> None:
        self.by_class = np.zeros(self.classes)

    def add(self, cells: Sequence[Cell], mapped: Array, crops: Array) -> None:
        """(cells, classes) of the map and of crops."""
        gaps, apart, neither = differences(mapped, crops)
        winners, most = mapped.argmax(1), gaps.max(axis=1)
        self.compared += len(cells)
        self.agree += int(((winners == crops.argmax(1)) & ~apart & ~neither).sum())
        self.apart += int(apart.sum())
        self.neither += int(neither.sum())
        self.largest = max(self.largest, float(most.max()))
        self.magnitude = max(self.magnitude, largest_of(crops))
        self._sum += float(gaps.sum(dtype=np.float64))
        self._ranks += _rank_correlations(mapped, crops)
        np.maximum(self.by_class, gaps.max(axis=0), out=self.by_class)
        i = int((apart if apart.any() else most).argmax())
        here = bool(apart[i]), float(most[i]) if not apart[i] else 0.0
        if here > self._worst:
            self._worst, self.worst = here, cells[i]
        self.cells.append(np.array(cells, np.int32))
        self.gaps.append(most.astype(np.float32))
        self.winners.append(np.where(np.isnan(mapped).all(axis=1), -1, winners).astype(np.int32))

    @property
    def mean(self) -> float:
        return self._sum / (self.compared * self.classes)

    @property
    def rank(self) -> float:
        return self._ranks / self.compared


def differences(mapped: Array, crops: Array) -> tuple[Array, Array, Array]:
    """Differences (cells, classes), 0 where a side is no number; cells of which one side alone is none; cells of which neither is."""
    both = np.isfinite(mapped) & np.isfinite(crops)
    gaps = np.abs(np.where(both, mapped, 0) - np.where(both, crops, 0))
    same = np.isnan(mapped) & np.isnan(crops) | (mapped == crops)  # the same NaN or infinity
    apart = (~both & ~same).any(axis=1)
    return gaps, apart, (~both & same).any(axis=1) & ~apart


def largest_of(scores: Array) -> float:
    """The largest magnitude of those that are numbers."""
    return float(np.abs(scores[np.isfinite(scores)]).max(initial=0.0))


def _rank_correlations(a: Array, b: Array) -> float:
    """Spearman's correlation of each row, added up; 1 where there is one class only."""
    if a.shape[1] < 2:
        return float(len(a))
    ranks = [np.argsort(np.argsort(x, axis=1, kind="stable"), axis=1) for x in (a, b)]
    count = a.shape[1]
    squares = ((ranks[0] - ranks[1]).astype(np.float64) ** 2).sum(axis=1)
    return float((1 - 6 * squares / (count * (count**2 - 1))).sum())
