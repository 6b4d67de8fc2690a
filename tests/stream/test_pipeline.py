"""Stages side by side, and memory bounded whichever of them is slow."""

from __future__ import annotations

import threading
import time
import weakref
from types import SimpleNamespace

import numpy as np
import pytest

from fullconv.stream.door import Done, Loaded
from fullconv.stream.pipeline import ANSWERS, PIXELS, run_tiles
from fullconv.stream.timings import Timings

SHAPE = (1, 4, 4)
BLANK = (1, 7, 8)  # tiles without work


class Slow:
    """A worker whose stages take so long, its own door, and that counts what is alive."""

    depth = 2

    def __init__(
        self, load: float = 0.0, start: float = 0.0, finish: float = 0.0, keep: float = 0.0, fails: str = ""
    ) -> None:
        self.times, self.fails = {"load": load, "start": start, "finish": finish, "keep": keep}, fails
        self.timings = Timings()
        self.alive = {"pixels": 0, "flights": 0, "scores": 0}
        self.most = dict(self.alive)
        self.kept: list[int] = []
        self.busy: set[str] = set()
        self.together: set[frozenset[str]] = set()
        self.lock = threading.Lock()
        self.is_closed = False

    def _stage(self, name: str, tile: int) -> None:
        with self.lock:
            self.busy.add(name)
            self.together.add(frozenset(self.busy))
        time.sleep(self.times[name])
        with self.lock:
            self.busy.discard(name)
        if self.fails == name and tile == 4:
            raise OSError(name)

    def _count(self, what: str, by: int) -> None:
        with self.lock:
            self.alive[what] += by
            self.most[what] = max(self.most[what], self.alive[what])

    def door(self, shape: tuple[int, int, int]) -> Slow:
        return self

    def load(self, tile: int) -> Loaded:
        pixels = np.zeros((4, 4, 1), np.uint8)
        self._count("pixels", 1)
        weakref.finalize(pixels, self._count, "pixels", -1)
        self._stage("load", tile)
        return Loaded(tile, None if tile in BLANK else pixels, None, np.ones((1, 1), bool))

    def start(self, loaded: Loaded) -> int:
        self._count("flights", 1)
        self._stage("start", loaded.tile)
        return loaded.tile

    def finish(self, ticket: int) -> Done:
        self._count("scores", 1)
        self._stage("finish", ticket)
        self._count("flights", -1)
        scores = np.zeros((1, 1, 1), np.float32)
        weakref.finalize(scores, self._count, "scores", -1)
        return Done(ticket, scores, None, {})

    def keep(self, done: Done) -> None:
        self._stage("keep", done.tile)
        self.kept.append(done.tile)

    def close(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize("slow", ["load", "start", "finish", "keep"])
def test_memory_is_bounded_whichever_stage_is_slow(slow: str) -> None:
    worker = Slow(**{slow: 0.02})
    run_tiles(worker, range(12), SHAPE, lambda done: None)
    assert worker.kept == list(range(12)), "all tiles, in order"
    assert worker.most["pixels"] <= PIXELS
    assert worker.most["flights"] <= worker.depth
    assert worker.most["scores"] <= ANSWERS
    assert worker.is_closed


def test_stages_overlap() -> None:
    worker = Slow(0.02, 0.02, 0.02, 0.02)
    run_tiles(worker, range(10), SHAPE, lambda done: None)
    assert frozenset({"load", "start", "finish", "keep"}) in worker.together


@pytest.mark.parametrize(
    ("slow", "told"),
    [("load", "reading"), ("start", "preprocessing"), ("finish", "the engine"), ("keep", "writing")],
)
def test_what_limits_is_told(slow: str, told: str) -> None:
    worker = Slow(**{slow: 0.02})
    begin = time.perf_counter()
    run_tiles(worker, range(12), SHAPE, lambda done: None)
    whole = time.perf_counter() - begin
    limit, share = worker.timings.limit(whole)
    assert (limit, share > 0.7) == (told, True), worker.timings.seconds


@pytest.mark.parametrize("stage", ["load", "start", "finish", "keep"])
def test_what_fails_stops_all_and_is_told(stage: str) -> None:
    worker = Slow(fails=stage)
    told: list[SimpleNamespace] = []
    with pytest.raises(OSError, match=stage):
        run_tiles(worker, range(100), SHAPE, told.append)
    assert [done.tile for done in told] == worker.kept == list(range(len(told))), "what is told is kept"
    if stage != "keep":
        assert worker.kept == [0, 1, 2, 3], "those before it are kept"
    assert len(told) <= 4
    assert threading.active_count() < 20
    assert worker.is_closed
