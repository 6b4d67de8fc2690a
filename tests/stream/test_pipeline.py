"""Stages side by side, and memory bounded whichever of them is slow."""

from __future__ import annotations

import threading
import time
import weakref
from types import SimpleNamespace

import numpy as np
import pytest

from fullconv.results.store import Put
from fullconv.stream.door import Done, Loaded
from fullconv.stream.pipeline import ANSWERS, PIXELS, UNMARKED, run_tiles
from fullconv.stream.timings import Timings

SHAPE = (1, 4, 4)
BLANK = (1, 7, 8)  # tiles without work


class Number(int):
    """A tile by its number."""

    is_made = True


def tiles(count: int) -> list[Number]:
    return [Number(i) for i in range(count)]


class Slow:
    """A worker whose stages take so long, its own door, and that counts what is alive."""

    depth = 2

    def __init__(
        self,
        load: float = 0.0,
        start: float = 0.0,
        finish: float = 0.0,
        put: float = 0.0,
        commit: float = 0.0,
        fails: str = "",
    ) -> None:
        self.times, self.fails = {"load": load, "start": start, "finish": finish, "put": put, "commit": commit}, fails
        self.timings = Timings()
        self.alive = {"pixels": 0, "flights": 0, "scores": 0, "unmarked": 0}
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

    def put(self, done: Done) -> Put:
        self._count("unmarked", 1)
        self._stage("put", done.tile)
        return Put(done.tile, {}, {}, {})

    def commit(self, puts: list[Put]) -> None:
        for put in puts:
            self._stage("commit", put.tile)
            self._count("unmarked", -1)
            self.kept.append(put.tile)

    def close(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize("slow", ["load", "start", "finish", "put", "commit"])
def test_memory_is_bounded_whichever_stage_is_slow(slow: str) -> None:
    worker = Slow(**{slow: 0.02})
    run_tiles(worker, tiles(12), SHAPE, lambda done: None)
    assert worker.kept == list(range(12)), "all tiles, in order"
    assert worker.most["pixels"] <= PIXELS
    assert worker.most["flights"] <= worker.depth
    assert worker.most["scores"] <= ANSWERS
    assert worker.most["unmarked"] <= UNMARKED
    assert worker.is_closed


def test_stages_overlap() -> None:
    worker = Slow(0.02, 0.02, 0.02, 0.02, 0.02)
    run_tiles(worker, tiles(12), SHAPE, lambda done: None)
    assert frozenset(worker.times) in worker.together


@pytest.mark.parametrize(
    ("slow", "told"),
    [
        ("load", "reading"),
        ("start", "preprocessing"),
        ("finish", "the engine"),
        ("put", "writing"),
        ("commit", "the disk"),
    ],
)
def test_what_limits_is_told(slow: str, told: str) -> None:
    worker = Slow(**{slow: 0.02})
    run_tiles(worker, tiles(12), SHAPE, lambda done: None)
    limit, share = worker.timings.limit()
    assert (limit, share > 0.7) == (told, True), worker.timings.seconds
    assert str(worker.timings).startswith(f"limited by {told}: {share:.0%} of the time (")


def test_compiling_is_no_preprocessing() -> None:
    timings = Timings()
    for stage, seconds in {"read": 4.0, "prepare": 9.0, "compile": 7.0, "run": 1.0, "waiting_for_pixels": 9.0}.items():
        timings.add(stage, seconds)
    assert timings.limit() == ("compiling", 0.7)
    assert str(timings) == "limited by compiling: 70% of the time (reading 40%, preprocessing 20%, the engine 10%)"
    timings.add("read", 4.0)
    assert timings.limit() == ("reading", 0.8)


@pytest.mark.parametrize("stage", ["load", "start", "finish", "put", "commit"])
def test_what_fails_stops_all_and_is_told(stage: str) -> None:
    worker = Slow(fails=stage)
    told: list[SimpleNamespace] = []
    before = set(threading.enumerate())
    with pytest.raises(OSError, match=stage):
        run_tiles(worker, tiles(100), SHAPE, told.append)
    assert worker.kept == [0, 1, 2, 3], "those before it are kept"
    names = [done.tile for done in told]
    if stage == "commit":  # those that are marked together are told together: none, where one of them fails
        assert names == worker.kept[: len(names)], "what is told is kept"
    else:
        assert names == worker.kept, "what is told is kept, and what is kept is told"
    assert set(threading.enumerate()) <= before, "no thread of the run is left"
    assert worker.is_closed


def test_what_is_written_is_marked_when_the_keyboard_stops_it() -> None:
    """The engine's thread is the main one: a stop comes there, while others write and mark."""
    worker, told = Slow(0.001, 0.001, 0.001, 0.001, 0.03), []

    original = worker.finish

    def finish(ticket: int) -> Done:
        if ticket == 5:
            raise KeyboardInterrupt
        return original(ticket)

    worker.finish = finish
    with pytest.raises(KeyboardInterrupt):
        run_tiles(worker, tiles(100), SHAPE, told.append)
    assert [put.tile for put in told] == worker.kept
    assert worker.alive["unmarked"] == 0, "nothing is written and left without its mark"


def test_tiles_that_are_committed_together_are_few() -> None:
    worker, sizes = Slow(commit=0.01), []
    original = worker.commit

    def commit(puts: list[Put]) -> None:
        sizes.append(len(puts))
        original(puts)

    worker.commit = commit
    run_tiles(worker, tiles(30), SHAPE, lambda put: None)
    assert worker.kept == list(range(30))
    assert 1 < max(sizes) <= UNMARKED


def test_tiles_that_are_not_there_yet() -> None:
    """Workers are given tiles one by one: what waits for the next stops as soon as anything fails."""

    def coming():
        for tile in range(4):
            yield from (None, tile)
        while True:
            time.sleep(0.001)
            yield None

    worker = Slow(fails="finish")
    worker.kept = []
    with pytest.raises(OSError, match="finish"):
        run_tiles(worker, (None if t is None else Number(t + 1) for t in coming()), SHAPE, lambda put: None)
    assert worker.kept == [1, 2, 3]
