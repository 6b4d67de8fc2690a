"""Before a map is made: random cells by both ways, which say how sure the map must be of a cell to answer for its crop.

The cells are drawn by a seed of their own, from all that have an answer, so that they know nothing of what a network was fitted on. Where no
cell can lack one they are drawn from equal parts of the map, one each, so that no region is left out by chance; else from all alike.
Of detections, cells are drawn until enough of them are ones that their crops find: that they are rare is what it costs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from math import ceil, floor, log10
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.confirmation.asked import CONFIDENCE, Confirm
from fullconv.confirmation.bound import best_level, most_wrong, upper_bound
from fullconv.confirmation.surety import Surety, scale_of
from fullconv.confirmation.threshold import threshold
from fullconv.errors import BadInput
from fullconv.maps.threshold import least_score
from fullconv.model import Model
from fullconv.rasters.view import View
from fullconv.results.statement import Statement
from fullconv.stream.confirm import surety_of
from fullconv.stream.job import Job
from fullconv.stream.plan import StreamPlan
from fullconv.stream.sample import Admitted, Cell, Draw, Spread
from fullconv.stream.sides import ByTiles, Crops, sides_of
from fullconv.stream.where import auto_share, where_of

Array = npt.NDArray[Any]
Progress = Callable[[int, int], None]
_SEED = 0xC0F1  # of these cells alone
_SHARE = 20  # one of so many cells is looked at, where that is more than must be
_FEW = 20  # that certify nothing which is worth it
_AT_ONCE = 256  # cells that are drawn at once where nobody knows how many it takes
_WAY_OUT = "take --by crops (by='crops'), where every cell is its crop's own"


def calibrate(
    model: Model,
    view: View,
    job: Job,
    plan: StreamPlan,
    memory: int | None = None,
    progress: Progress = lambda done, total: None,
) -> Statement:
    """Find which cells of a map are to be run as crops.

    Args:
        plan: of the whole map.
        memory: bytes that the process may take.
        progress: told cells done, of how many.

    Raises:
        BadInput: too few cells for the level, or confirming costs more than crops of all cells; it says what can be had.
    """
    confirm = job.confirm
    assert confirm is not None, "what is confirmed was asked for"
    limit = _threshold(confirm, plan.way.score_kind, len(job.labels))
    if confirm.what == "winners" and isinstance(job.keep, tuple) and len(job.keep) == 1 < len(job.labels):
        raise BadInput(
            "confirm: winners of one class that is kept alone; keep more of them (--keep), or confirm detections"
        )
    admitted = Admitted(plan.grid, where_of(job.where, view))
    budget = _Budget(view.about.name, plan, len(admitted), confirm)
    budget.require_room()
    whole = replace(job, keep="all", stored="float32")
    tiles, crops = sides_of(model, view, whole, budget.wanted, memory, lambda note: None)
    sample = _Sample(tiles, replace(crops, batch=min(crops.batch, job.batch)), job, limit, progress)
    if confirm.what != "detections":
        sample.some(admitted, budget.wanted, view.may_miss or auto_share(job.where) is not None)
    else:
        sample.detections(admitted, confirm, budget.is_hopeless)
    budget.require_certain(sample.counted, sample.drawn)
    assert sample.surety is not None, "cells that count were answered"
    sure, counts, wrong = (np.concatenate(part) for part in (sample.sure, sample.counts, sample.wrong))
    most = most_wrong(sample.counted, confirm.wrong, CONFIDENCE)
    least = threshold(sure[counts], wrong[counts], most)
    if confirm.what != "winners":  # what the map finds is run as crops in any case
        least = 0.0 if confirm.level is None else max(0.0, least)
    stands = sure > least
    if sample.lost > most:
        raise BadInput(
            f"{view.about.name}: {confirm} cannot be certified: too many of the crops' own answers are other ones once they are stored as "
            f"{job.stored}; store float32, or {_WAY_OUT}"
        )
    expected = float(1 - stands.mean())
    statement = Statement(
        what=confirm.what, level=_level(confirm, int((wrong & stands).sum()), sample.counted), confidence=CONFIDENCE, labels=tuple(job.labels[i] for i in confirm.classes), threshold=limit,
        scale=sample.surety.scale, surety=least, drawn=sample.drawn, crops=sample.counted, wrong=int((wrong & stands).sum()), expected=expected,
        cost=budget.cost(sample.looked_at, sample.share, expected), date=datetime.now(UTC).date().isoformat(),
    )  # fmt: skip
    budget.require_cheaper(statement)
    return statement


def _level(confirm: Confirm, wrong: int, of: int) -> float:
    """What is promised: as asked for, or as the sample has it, which may be since its cells were not chosen by what is wrong."""
    if confirm.level is not None:
        return confirm.level
    bound = upper_bound(wrong, of, CONFIDENCE)
    digits = 1 - floor(log10(bound))
    step = 10.0**-digits
    return float(round(1 - ceil(bound / step) * step, digits))


def _threshold(confirm: Confirm, kind: str, classes: int) -> float | None:
    """The least score that counts; None where winners are compared."""
    if confirm.what == "winners" and classes > 1:
        return None
    return least_score(kind, confirm.threshold)


@dataclass(frozen=True)
class _Budget:
    """What may be spent, in crops.

    Attributes:
        name: of the image.
        plan: of the whole map.
        cells: that may have an answer.
    """

    name: str
    plan: StreamPlan
    cells: int
    confirm: Confirm

    @property
    def wanted(self) -> int:
        """Cells to look at, of winners; of detections that count."""
        return max(self.least, min(self.confirm.enough, self.cells // _SHARE))

    @property
    def least(self) -> int:
        """Cells that must be looked at, of winners; of detections that count."""
        return min(self.confirm.least, self.cells // 2 + 1) if self.confirm.level is None else self.confirm.least

    @property
    def map_cost(self) -> float:
        """Of the map itself, as a share of what crops of all its cells cost: by pixels."""
        grid, (_, height, width) = self.plan.grid, self.plan.way.model.image_shape
        return self.plan.tiles.computed / (grid.rows * grid.cols * height * width)

    def cost(self, looked_at: int, of_map: float, expected: float) -> float:
        """Of all: cells that were looked at, by both ways; the map; and the cells that are run as crops."""
        return looked_at / self.cells + min(of_map, 1.0) * self.map_cost + self.map_cost + expected

    def require_room(self) -> None:
        """BadInput, before any work, where the least sample is as many cells as there are."""
        if self.least >= self.cells:
            raise BadInput(
                f"{self.name}: {self.confirm} cannot be certified on {self.cells:,} cells: that takes {self.least:,} random crops "
                f"without an error{self._could(self.cells // 2)}; {_WAY_OUT}"
            )

    def is_hopeless(self, counted: int, drawn: int, expected: float) -> bool:
        """Whether crops of all cells will cost less: what must be drawn, however many of those drawn counted by chance, and what is run as crops."""
        needed = max(drawn, self.confirm.least / upper_bound(counted, drawn, CONFIDENCE))
        return needed / self.cells + self.map_cost + expected >= 1

    def require_certain(self, counted: int, drawn: int) -> None:
        """BadInput where too few cells count for the level."""
        least = self.confirm.least if self.confirm.level is not None else 1
        if counted >= least:
            return
        if self.confirm.what != "detections":
            raise BadInput(
                f"{self.name}: {self.confirm} cannot be certified: {counted:,} random cells have an answer, and it takes {least:,}"
                f"{self._could(counted)}; {_WAY_OUT}"
            )
        takes = f"about {least * drawn // counted:,}" if counted else f"more than {least * drawn // 3:,}"
        raise BadInput(
            f"{self.name}: {self.confirm} cannot be certified by fewer crops than all: {counted:,} of {drawn:,} random cells are found by their crops, and "
            f"it takes {least:,} such ones: {takes} of {self.cells:,} cells{self._could(self.cells // 2 * counted // max(1, drawn))}. For what is rare "
            "there is --confirm reported (confirm='reported'): all that is found is its crop's own, and what is missed is bounded as a share of all "
            f"cells; or {_WAY_OUT}"
        )

    def require_cheaper(self, statement: Statement) -> None:
        """BadInput where crops of all cells cost less."""
        if statement.cost >= 1:
            raise BadInput(
                f"{self.name}: to confirm {self.confirm} costs {statement.cost:.2f} of what crops of all cells cost "
                f"({statement.expected:.0%} of the cells would be run as crops): {_WAY_OUT}"
            )

    def _could(self, counted: int) -> str:
        """What as many certify; nothing that is worth saying of a few."""
        return f" ({best_level(counted, CONFIDENCE):.3g} could be, with {counted:,})" if counted > _FEW else ""


@dataclass
class _Sample:
    """Random cells by both ways; of each no more is kept than what counts.

    Attributes:
        limit: the least score that counts, where there is one.
        surety: how sure the map is of cells, once the first of them say what scores are.
        sure, counts, wrong: (cells,) each, see ``Surety.against``; in parts.
        ran: a cell of each tile that was run.
        looked_at: cells, with an answer or without.
        lost: cells whose crop's own answer is another once it is stored.
    """

    tiles: ByTiles
    crops: Crops
    job: Job
    limit: float | None
    progress: Progress
    surety: Surety | None = None
    sure: list[Array] = field(default_factory=list)
    counts: list[Array] = field(default_factory=list)
    wrong: list[Array] = field(default_factory=list)
    ran: set[Cell] = field(default_factory=set)
    looked_at: int = 0
    lost: int = 0

    @property
    def drawn(self) -> int:
        """Cells with an answer."""
        return sum(map(len, self.sure))

    @property
    def counted(self) -> int:
        """Cells that count."""
        return sum(int(part.sum()) for part in self.counts)

    @property
    def share(self) -> float:
        """Of the tiles around the cells that were run, as a share of all."""
        return len(self.ran) / len(self.tiles.plan.tiles)

    def some(self, admitted: Admitted, wanted: int, may_miss: bool) -> None:
        """As many cells as are wanted."""
        if not may_miss:
            self._add(Spread(admitted, self.tiles.plan.grid, wanted, _SEED).cells(), wanted)
        if self.drawn < wanted:  # where cells lack an answer, parts of the map do not count alike
            self.sure, self.counts, self.wrong, self.lost = [], [], [], 0
        draw = Draw(admitted, wanted, _SEED)
        while self.drawn < wanted and (more := draw.next(wanted - self.drawn)):
            self._add(more, wanted)

    def detections(self, admitted: Admitted, confirm: Confirm, is_hopeless: Callable[[int, int, float], bool]) -> None:
        """Cells until enough of them count. What the map has wrong may say when to give up, and never when there is enough."""
        draw = Draw(admitted, len(admitted), _SEED)
        while more := draw.next(_AT_ONCE):
            self._add(more, len(admitted))
            drawn, counted = self.drawn, self.counted
            if counted >= confirm.enough or (counted >= confirm.least and drawn * _SHARE >= len(admitted)):
                return
            if drawn and counted < confirm.least and is_hopeless(counted, drawn, self._expected(drawn, len(admitted))):
                return

    def _expected(self, drawn: int, cells: int) -> float:
        """The share of cells that will be run as crops at least, once many are drawn; before that anything may come."""
        if drawn * _SHARE < cells:
            return 0.0
        sure, wrong = np.concatenate(self.sure), np.concatenate(self.wrong)
        return float((sure <= max(0.0, threshold(sure, wrong, 0))).mean())

    def _add(self, cells: list[Cell], wanted: int) -> None:
        self.looked_at += len(cells)
        for group in self.tiles.together(cells):
            answered, mapped = self.tiles.answers(group)
            self.ran.add(group[0])
            of = {cell: i for i, cell in enumerate(answered)}
            for part, window in self.crops.windows(answered):
                theirs = self.crops.answers(window, part)
                if np.isnan(theirs).any():
                    raise BadInput("confirm: the untouched network's answers are no numbers (NaN) for some crops")
                self._keep(mapped[[of[cell] for cell in part]].T, theirs.T)
                self.progress(self.drawn, wanted)

    def _keep(self, mapped: Array, theirs: Array) -> None:
        if self.surety is None:
            self.surety = surety_of(self.job, scale_of(self.tiles.plan.way.score_kind, mapped), self.limit)
        found = self.surety.against(mapped, theirs)
        self.lost += int(self.surety.lost(theirs).sum())
        for parts, part in zip((self.sure, self.counts, self.wrong), found, strict=True):
            parts.append(part)
