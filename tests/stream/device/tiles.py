"""Tiles of one job through two doors: the usual one, and a device's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from fullconv.model import Model
from fullconv.rasters.view import View
from fullconv.results.encoding import encoded
from fullconv.stream.device.road import device_door
from fullconv.stream.door import Done, Door, Loaded
from fullconv.stream.job import Job
from fullconv.stream.plan import StreamPlan, plan_stream
from fullconv.stream.processor import Processor, read_by
from fullconv.stream.run import job_of
from fullconv.stream.timings import Timings

BUDGET = 232 << 20  # above what tests/stream/conftest.py says that a process has: so that there are some tiles


@dataclass
class Scene:
    """A job over an image, planned."""

    job: Job
    view: View
    plan: StreamPlan
    model: Model

    @property
    def usual(self) -> Processor:
        return Processor(self.job, self.plan.way, self.view.ordered, self.plan.buffer)

    @property
    def device(self) -> Door:
        made = device_door(self.job, self.plan.way, self.view, self.plan.tiles.shape, lambda: self.usual, Timings())
        assert made is not None
        return made

    def loaded(self, missing: float = 0.0, unasked: float = 0.0) -> list[Loaded]:
        """Every tile, in every other one a share of pixels without data; a share of cells not asked for."""
        random, found = np.random.default_rng(1), []
        for i, tile in enumerate(self.plan.tiles):
            pixels, _ = self.view.read(*read_by(self.job, self.plan.way, tile))
            if pixels.shape[2] == 1 < self.model.image_shape[0]:
                pixels = np.broadcast_to(pixels, (*pixels.shape[:2], self.model.image_shape[0]))
            gone = random.random(pixels.shape[:2]) < missing if missing and i % 2 else None
            answers = random.random([side.cells[1] - side.cells[0] for side in (tile.y, tile.x)]) >= unasked
            found.append(Loaded(tile, pixels, gone, answers))
        return found


@contextmanager
def scene(model: Model, image: Any, budget: int = BUDGET, **options: Any) -> Iterator[Scene]:
    job = job_of(model, image, "out", **{"runtime": "torch:cpu", "preprocess": "unit"} | options)
    view = View(image, job.select)
    try:
        yield Scene(job, view, plan_stream(model, view, job, budget), model)
    finally:
        view.close()


def through(door: Door, tiles: list[Loaded]) -> list[Done]:
    """All tiles, as many under way as there may be."""
    tickets: list[Any] = []
    found: list[Done] = []
    for tile in tiles:
        if len(tickets) == door.depth:
            found.append(door.finish(tickets.pop(0)))
        tickets.append(door.start(tile))
    return found + [door.finish(ticket) for ticket in tickets]


def same(one: Done, stored: Done, kind: str) -> bool:
    """Whether two answers are the same to the bit, once they are stored."""
    assert one.scores is not None
    assert stored.scores is not None
    scores, own = (a if a.dtype == np.dtype(kind) else encoded(a, kind) for a in (one.scores, stored.scores))
    tops = [done.top1 for done in (one, stored)]
    alike = scores.dtype == own.dtype and scores.shape == own.shape and scores.tobytes() == own.tobytes()
    return alike and one.mark == stored.mark and (tops[0] is tops[1] is None or np.array_equal(tops[0], tops[1]))
