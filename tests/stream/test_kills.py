"""Killed while tiles are read, run, written and settled side by side, at any moment: what was told as done is done, and the bytes are those of one run."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from fullconv.errors import BadInput
from fullconv.results.local import Local
from fullconv.results.places import storage_of
from fullconv.results.store import Put, Store
from fullconv.stream.door import Done, Loaded
from fullconv.stream.pipeline import UNMARKED, run_tiles
from fullconv.stream.timings import Timings
from fullconv.tiling.tiles import Tile
from tests.results import test_chunks
from tests.stream import runs

CELLS, CHUNK, TILE = (340, 260), (16, 16), (48, 32)  # 72 tiles, one coarser level


def record():
    return test_chunks.record(*CELLS, CHUNK, TILE, (0, 0), "float16", 3)


class Quick:
    """A worker and its door, of scores that are known; the disk is real, and made slow."""

    depth = 2

    def __init__(self, store: Store, settles: float = 0.0) -> None:
        self.store, self.settles, self.timings = store, settles, Timings()

    def door(self, shape: tuple[int, int, int]) -> Quick:
        return self

    def load(self, tile: Tile) -> Loaded:
        answers = np.ones([b - a for a, b in (tile.y.cells, tile.x.cells)], bool)
        return Loaded(tile, None if (tile.row + tile.col) % 7 == 0 else np.zeros((1, 1, 1), np.uint8), None, answers)

    def start(self, loaded: Loaded) -> Loaded:
        return loaded

    def finish(self, loaded: Loaded) -> Done:
        rng = np.random.default_rng((loaded.tile.row, loaded.tile.col))
        return Done(loaded.tile, rng.random((3, *loaded.answers.shape), np.float32), None, {})

    def put(self, done: Done) -> Put:
        return self.store.put(done.tile, done.scores, done.top1, done.mark)

    def commit(self, puts: list[Put]) -> None:
        time.sleep(self.settles)
        self.store.commit(puts)

    def close(self) -> None:
        pass


def opened(out: Path) -> tuple[Store, list[Tile]]:
    storage = storage_of(out)
    store = Store.resume(storage, Store.record_of(storage)) if storage.exists() else Store.create(storage, record())
    done = store.done()
    return store, [tile for tile in store.record.tiles if tile.name not in done]


def go_on(out: Path) -> None:
    """What a process does that is killed: it says each tile that is done."""
    store, left = opened(out)
    run_tiles(Quick(store, 0.004), left, (1, 1, 1), lambda put: print(put.tile.name, flush=True))
    store.finish([], 0)
    print("finished", flush=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    out = tmp_path_factory.mktemp("whole") / "x.zarr"
    store, tiles = opened(out)
    for tile in tiles:
        quick = Quick(store)
        loaded = quick.load(tile)
        store.write(tile, None if loaded.pixels is None else quick.finish(loaded).scores)
    store.finish([], 0)
    return runs.digest(out)


@pytest.mark.long
def test_kills_while_groups_are_settled(whole: dict[str, str], tmp_path: Path) -> None:
    out, chance = tmp_path / "x.zarr", random.Random(0)
    told: set[str] = set()
    for _ in range(3):
        script = f"from pathlib import Path; from tests.stream.test_kills import go_on; go_on(Path({str(out)!r}))"
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for line, _ in zip(process.stdout, range(chance.randint(1, 14)), strict=False):
            told.add(line.strip())
        time.sleep(chance.uniform(0, 0.01))
        process.kill()
        told |= set(process.communicate()[0].split())
        store = Store.open(storage_of(out), Store.record_of(storage_of(out)).run)
        assert told <= set(store.done()), "what was told as done is there"
        assert set(store.done()) == set(store.storage.marks(store.record.run)), "no mark without its chunks"
    assert 0 < len(told) < len(record().tiles), "it was killed half-way"
    go_on(out)
    assert runs.digest(out) == whole


def test_a_disk_that_fills_in_the_middle_of_a_group(whole: dict[str, str], tmp_path: Path, monkeypatch) -> None:
    """Those that are whole are marked still; no more than a group is done again."""
    for where, after in (("put", 100), ("mark", 5), ("settle", 6)):
        out = tmp_path / f"{where}.zarr"
        original, calls, put = getattr(Local, where), [], []

        def failing(self: Local, *args: object, original=original, calls=calls, after=after) -> object:
            calls.append(args)
            if len(calls) > after:
                raise OSError(28, "No space left on device")
            return original(self, *args)

        told: list[str] = []
        with monkeypatch.context() as patched:
            patched.setattr(Local, where, failing)
            store, tiles = opened(out)
            worker = Quick(store, 0.002)
            own = worker.put
            worker.put = lambda done, own=own, put=put: (put.append(done.tile.name), own(done))[1]
            with pytest.raises(BadInput, match="the disk is full"):
                run_tiles(worker, tiles, (1, 1, 1), lambda done, told=told: told.append(done.tile.name))
        assert told == put[: len(told)], "in order"
        assert 1 <= len(told) < len(tiles)
        assert len(put) - len(told) <= UNMARKED + 1, "little is done again"
        go_on(out)
        assert runs.digest(out) == whole
