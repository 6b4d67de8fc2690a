"""Stages side by side, and memory bounded whichever of them is slow."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from fullconv.stream.pipeline import ANSWERS, run_tiles
from fullconv.stream.work import Done, Loaded

SHAPE = (1, 4, 4)


class Slow:
    """A worker whose stages take so long, and that counts what is alive."""

    def __init__(self, load: float = 0.0, run: float = 0.0, keep: float = 0.0, fails: str = "") -> None:
        self.times, self.fails = {"load": load, "run": run, "keep": keep}, fails
        self.buffers: set[int] = set()
        self.scores = self.most = 0
        self.kept: list[int] = []
        self.busy: set[str] = set()
        self.together: set[frozenset[str]] = set()
        self.lock = threading.Lock()

    def _stage(self, name: str, tile: int) -> None:
        with self.lock:
            self.busy.add(name)
            self.together.add(frozenset(self.busy))
        time.sleep(self.times[name])
        with self.lock:
            self.busy.discard(name)
        if self.fails == name and tile == 4:
            raise OSError(name)

    def load(self, tile: int, buffer: np.ndarray) -> Loaded:
        self.buffers.add(id(buffer))
        self._stage("load", tile)
        return Loaded(tile, buffer[None], np.ones((1, 1), bool), buffer)

    def run(self, loaded: Loaded) -> Done:
        with self.lock:
            self.scores += 1
            self.most = max(self.most, self.scores)
        self._stage("run", loaded.tile)
        return Done(loaded.tile, None, None, {})

    def keep(self, done: Done) -> None:
        self._stage("keep", done.tile)
        with self.lock:
            self.scores -= 1
        self.kept.append(done.tile)


@pytest.mark.parametrize("slow", ["load", "run", "keep"])
def test_memory_is_bounded_whichever_stage_is_slow(slow: str) -> None:
    worker = Slow(**{slow: 0.02})
    run_tiles(worker, range(12), SHAPE, lambda done: None)
    assert worker.kept == list(range(12)), "all tiles, in order"
    assert len(worker.buffers) <= 2
    assert worker.most <= ANSWERS


def test_stages_overlap() -> None:
    worker = Slow(0.02, 0.02, 0.02)
    run_tiles(worker, range(8), SHAPE, lambda done: None)
    assert frozenset({"load", "run", "keep"}) in worker.together


@pytest.mark.parametrize("stage", ["load", "run", "keep"])
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
