"""Cells of a tile that the map is not sure enough of, run as crops of the untouched network, from the pixels that the tile was run on.

A crop may reach further than what the network reads of it (a last column that no window meets, say), so that a tile of such a map is read
with a rim behind it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.confirmation.surety import Surety
from fullconv.geometry.grid import Grid
from fullconv.maps.cost import engine_bytes
from fullconv.maps.crops import run_cells
from fullconv.maps.finite import require_numbers
from fullconv.maps.probabilities import as_asked
from fullconv.maps.ways import Way
from fullconv.model import Model
from fullconv.results.statement import Statement
from fullconv.runtimes.runtime import Precision
from fullconv.stream.job import Job
from fullconv.tiling.window import Reach

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
PRECISION: Precision = "fp32"  # the crops are the measure, whatever the map is computed in


def crops_of(model: Model, way: Way, job: Job) -> Way:
    """The same cells by crops of the untouched network."""
    untouched = model.classifier
    output = untouched.plan.untouched(way.output)
    return replace(way, model=as_asked(untouched, output, job.activation), output=output, shifts=(1, 1), by="crops")


def is_own(model: Model, by: str, precision: str) -> bool:
    """Whether every cell of a map is its crop's own answer already."""
    plan = model.plan
    exact = model.classifier is model and plan.predicted is not None and not plan.inexact and precision == PRECISION
    return by == "crops" or exact


def rim(reach: Reach, step: int, crop: int) -> int:
    """Pixels that crops reach further, at most, than what cells of this reach are run on."""
    return max(0, ceil(crop - step - reach.length + reach.slack))


def crops_bytes(crops: Way, job: Job) -> int:
    """What a run of the untouched network takes, beside the one that makes the map."""
    shape = (job.batch, *crops.model.image_shape)
    return engine_bytes(crops, job.runtime, PRECISION)(shape) + 4 * int(np.prod(shape))


@dataclass(frozen=True)
class Confirmer:
    """Puts crops' own answers in the place of those that are not sure enough.

    Attributes:
        crops: the untouched network's way over the cells.
        surety: how sure a map is.
        statement: what is promised.
        job: how crops are run.
    """

    crops: Way
    surety: Surety
    statement: Statement
    job: Job

    @staticmethod
    def of(crops: Way, job: Job) -> Confirmer:
        assert job.statement is not None, "a sample has said which cells are confirmed"
        return Confirmer(crops, surety_of(job, job.statement.scale, job.statement.threshold), job.statement, job)

    def unsure(self, scores: Array, answers: Mask) -> Mask:
        """(rows, cols), the cells with an answer that are to be run as crops; scores are (classes, rows, cols)."""
        sure = self.surety.of(scores.reshape(len(scores), -1)).reshape(answers.shape)
        return answers & (sure <= self.statement.surety)

    def confirm(self, scores: Array, values: Array, tops: tuple[int, int], answers: Mask) -> Mask:
        """Put crops' answers into (classes, rows, cols) scores; which cells have them.

        Args:
            values: (1, C, H, W), the tile's pixels.
            tops: (y, x) of the first cell's crop in them.
            answers: cells that have an answer.
        """
        which = self.unsure(scores, answers)
        if which.any():
            self.put(scores, values, tops, which)
        return which

    def put(self, scores: Array, values: Array, tops: tuple[int, int], which: Mask) -> None:
        """Put the answers of these cells' crops into the scores, as for ``confirm``; there are some."""
        cells = [(int(row), int(col)) for row, col in np.argwhere(which)]
        part = values[:, :, tops[0] :, tops[1] :]
        grid = self._grid(part, which.shape)
        found = run_cells(
            self.crops.model, part, self.crops.output, grid, cells, self.job.runtime, PRECISION, self.job.batch
        )
        self._require_numbers(found, part, grid, cells)
        scores[:, which] = found.T

    def _grid(self, part: Array, shape: tuple[int, ...]) -> Grid:
        return replace(self.crops.sampling.over((part.shape[2], part.shape[3])), rows=shape[0], cols=shape[1])

    def _require_numbers(self, found: Array, part: Array, grid: Grid, cells: list[tuple[int, int]]) -> None:
        broken = np.flatnonzero(np.isnan(found).any(axis=1))
        if len(broken):
            x0, y0, x1, y1 = (int(v) for v in grid.box(*cells[int(broken[0])]))
            require_numbers(self.crops.model, np.ascontiguousarray(part[:, :, y0:y1, x0:x1]), found.T[:, :, None])


def surety_of(job: Job, scale: Any, threshold: float | None) -> Surety:
    """How sure a job's map is of its cells."""
    assert job.confirm is not None, "what is confirmed was asked for"
    return Surety(job.confirm, job.keep, job.stored, scale, float("nan") if threshold is None else threshold)
