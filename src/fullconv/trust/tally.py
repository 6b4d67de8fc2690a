"""Agreement counted as answers come, of cells in any order: numbers a class and no more, whatever the size of the map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.trust.decisions import Decisions
from fullconv.trust.intervals import Mean, Share
from fullconv.trust.yardstick import Apart, Calibration, OfClass, Yardstick

Array = npt.NDArray[Any]
AGREES, MEASURED, UNSURE = 1, 2, 4  # bits of a cell's state: map and crop, crop and its moves


class _Counts:
    """Trials and those that agree: of cells inside and at the border, and by class; ``cells`` are the independent ones."""

    def __init__(self, groups: int) -> None:
        self.agree, self.of, self.cells = (np.zeros(2, np.int64) for _ in range(3))
        self.by_class = np.zeros((3, groups), np.int64)  # of the same

    def shares(self) -> tuple[Share, Share, Share]:
        """All, inside, at the border."""
        sums = [np.append(each.sum(), each) for each in (self.agree, self.of, self.cells)]
        every, inside, border = (Share(int(a), int(b), int(c)) for a, b, c in zip(*sums, strict=True))
        return every, inside, border

    def of_class(self, i: int) -> Share:
        agree, of, cells = (int(each) for each in self.by_class[:, i])
        return Share(agree, of, cells)


class Tally:
    """What a Yardstick is made of.

    Args:
        reads: how rows of scores are read.
    """

    def __init__(self, reads: Decisions) -> None:
        self.reads = reads
        self._map, self._itself = _Counts(reads.groups), _Counts(reads.groups)
        self._won, self._crops = np.zeros(
            (2, reads.groups), np.int64
        )  # cells of each class by the map, and by its crops
        self._chances = np.zeros(
            (4, reads.classes)
        )  # sums of the map's, the crops', their differences, and of these the squares
        self._sure = np.zeros(4)  # the same of how sure each side is
        self._told, self._divergence = 0, 0.0

    def add(self, interior: Array, mapped: Array, crops: Array) -> Array:
        """Count cells.

        Args:
            interior: (cells,), whether each sees the image alone.
            mapped, crops: (cells, classes) of scores.

        Returns:
            (cells,), their states.
        """
        alike = self.reads.alike(mapped, crops)
        self._count(self._map, interior, alike, crops, np.ones(len(crops), np.int64))
        mine, its = np.isfinite(mapped).all(axis=1), np.isfinite(crops).all(axis=1)
        np.add.at(self._won, self._groups(mapped[mine])[0], 1)
        np.add.at(self._crops, self._groups(crops[its])[0], 1)
        self._add_chances(mapped[mine & its], crops[mine & its])
        return np.where(alike.all(axis=1), AGREES, 0).astype(np.uint8)

    def add_moved(self, interior: Array, crops: Array, moved: Sequence[tuple[Array, Array]]) -> Array:
        """Count crops against the same moved by a pixel.

        Args:
            interior: (cells,).
            crops: (cells, classes).
            moved: for each way which of the cells have such a crop, by number, and (those, classes).

        Returns:
            (cells,), bits of their states.
        """
        states = np.zeros(len(crops), np.uint8)
        for which, answers in moved:
            first = np.where(states[which] & MEASURED, 0, 1)
            alike = self.reads.alike(crops[which], answers)
            self._count(self._itself, interior[which], alike, crops[which], first)
            states[which] |= np.where(alike.all(axis=1), MEASURED, MEASURED | UNSURE).astype(np.uint8)
        return states

    def _groups(self, scores: Array) -> tuple[Array, Array]:
        """The classes of rows, and of each the row: one a row, of labels all that are there."""
        rows = np.arange(len(scores))
        if self.reads.kind == "winner":
            return self.reads.of_rows(scores)[:, 0], rows
        if self.reads.kind == "label":
            return 1 - self.reads.of_rows(scores)[:, 0].astype(np.int64), rows
        if self.reads.kind == "labels":
            rows, labels = np.nonzero(self.reads.of_rows(scores))
            return labels, rows
        return np.empty(0, np.intp), np.empty(0, np.intp)

    def _count(self, counts: _Counts, interior: Array, alike: Array, crops: Array, first: Array) -> None:
        """``first`` is 1 for a cell's first trial, 0 for others of it."""
        side = np.where(interior, 0, 1)
        np.add.at(counts.agree, side, alike.all(axis=1).astype(np.int64))
        np.add.at(counts.of, side, 1)
        np.add.at(counts.cells, side, first)
        if self.reads.kind == "labels":  # each label by itself, over all cells
            counts.by_class += np.array([alike.sum(axis=0), np.full(alike.shape[1], len(alike)), np.full(alike.shape[1], first.sum())])  # fmt: skip
            return
        known = np.flatnonzero(np.isfinite(crops).all(axis=1))  # crops that are no numbers are of no class
        classes, rows = self._groups(crops[known])
        trials = np.array([alike.all(axis=1), np.ones(len(crops)), first], np.int64)[:, known[rows]]
        for row, values in zip(counts.by_class, trials, strict=True):
            np.add.at(row, classes, values)

    def _add_chances(self, mapped: Array, crops: Array) -> None:
        mine, its = self.reads.probabilities(mapped), self.reads.probabilities(crops)
        if mine is None or its is None:
            return
        self._told += len(mine)
        for sums, (a, b) in (
            (self._chances, (mine, its)),
            (self._sure, (self.reads.surest(mine), self.reads.surest(its))),
        ):
            sums += np.array([a.sum(axis=0), b.sum(axis=0), (a - b).sum(axis=0), ((a - b) ** 2).sum(axis=0)])
        self._divergence += float(self.reads.divergence(its, mine).sum())

    def yardstick(self, labels: Sequence[str], moved: int) -> Yardstick:
        """What was counted.

        Args:
            labels: of the classes.
            moved: cells that were to be moved, 0 for none.
        """
        if self.reads.kind == "number":
            return Yardstick(self.reads, None, None, (), None)
        names = (labels[0], f"not {labels[0]}") if self.reads.kind == "label" else labels
        classes = [self._of_class(i, names[i], moved > 0) for i in range(self.reads.groups)]
        classes.sort(key=lambda each: (-each.crops, -each.won, each.index))
        return Yardstick(
            self.reads,
            Apart(*self._map.shares()),
            Apart(*self._itself.shares()) if moved else None,
            tuple(classes),
            self._calibration(),
        )

    def _of_class(self, i: int, label: str, moved: bool) -> OfClass:
        bias = None
        mine = its = None
        if self._told and i < self.reads.classes:
            mine, its = (float(each) / self._told for each in self._chances[:2, i])
            bias = Mean(self._told, float(self._chances[2, i]), float(self._chances[3, i]))
        itself = self._itself.of_class(i) if moved else None
        return OfClass(i, label, int(self._crops[i]), int(self._won[i]), self._map.of_class(i), itself, mine, its, bias)

    def _calibration(self) -> Calibration | None:
        if not self._told:
            return None
        mine, its, gap, squares = (float(each) for each in self._sure)
        return Calibration(
            self._told,
            mine / self._told,
            its / self._told,
            Mean(self._told, gap, squares),
            self._divergence / self._told,
        )
