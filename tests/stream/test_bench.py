"""The pipeline of a worker's process: threads that want tiles share it, and its stages go on side by side."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fullconv.results.store import Put
from fullconv.stream import cluster, worker
from fullconv.stream.door import Done, Loaded
from fullconv.stream.job import Job
from fullconv.stream.timings import Timings
from fullconv.stream.worker import Outcome
from fullconv.system.parse import compiles, compiling
from fullconv.tiling.cut import Side
from fullconv.tiling.tiles import Tile

distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # sockets of a scheduler in this process


class Few:
    """A worker of tiles of numbers, its own door; each stage is done by one thread at a time.

    Three of them meet: none of these goes on before all are busy, so that stages that are not side by side end in a broken barrier.
    """

    depth = 2
    meet = frozenset({("load", 6), ("run", 5), ("put", 4)})  # by how many of a stage came before

    def __init__(self, fails: frozenset[int] = frozenset()) -> None:
        self.busy = {"load": 0, "run": 0, "put": 0}
        self.count = dict(self.busy)
        self.meeting = threading.Barrier(3, timeout=10)
        self.kept: dict[int, float] = {}
        self.fails = fails
        self.timings = Timings()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self.busy[name] += 1
        self.count[name] += 1
        assert self.busy[name] == 1, f"two threads {name}"
        if (name, self.count[name]) in self.meet and not self.fails:
            self.meeting.wait()
        yield
        self.busy[name] -= 1

    def door(self, shape):
        return self

    def load(self, tile):
        with self.stage("load"):
            return Loaded(tile, np.full((50, 50, 1), tile.row, np.uint8), None, np.ones((1, 1), bool))

    def start(self, loaded):
        return loaded

    def finish(self, loaded):
        if loaded.tile.row in self.fails:
            raise MemoryError(str(loaded.tile.row))
        with self.stage("run"):
            return Done(loaded.tile, loaded.pixels.astype(np.float32), None, {})

    def put(self, done):
        with self.stage("put"):
            low, high = float(done.scores.min()), float(done.scores.max())
            self.kept[done.tile.row] = low if low == high else np.nan
            return Put(done.tile, {}, {}, {})

    def commit(self, puts):
        pass

    def close(self):
        pass


def _tile(row: int) -> Tile:
    side = Side((row, row + 1), ((row, row + 1),))
    return Tile(row, 0, side, side)


def test_tiles_of_a_process_go_through_one_pipeline() -> None:
    """By threads that all want one at once; each tile's scores come from its own pixels."""
    few = Few()
    bench = worker.Bench(few, (1, 50, 50))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda row: bench.submit(_tile(row)).result(10), range(40)))
    bench.close()
    assert few.kept == {row: float(row) for row in range(40)}
    assert not few.meeting.broken, "one is read while another runs and a third is written"


def test_a_worker_of_one_thread_reads_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that waits for its tile leaves its thread to the next."""
    few = Few()
    few.store = SimpleNamespace(storage=SimpleNamespace(mark_of=lambda run, name: None))
    bench = worker.Bench(few, (1, 50, 50))
    monkeypatch.setattr(worker, "_bench_of", lambda *args: bench)
    with distributed.Client(
        processes=False, n_workers=1, threads_per_worker=1, dashboard_address=":0", silence_logs=logging.CRITICAL
    ) as client:
        made = [client.submit(worker.do_tile, None, "run", _tile(row), (1, 50, 50), pure=False) for row in range(12)]
        outcomes = client.gather(made)
    bench.close()
    assert [outcome.name for outcome in outcomes] == [f"{row}-0" for row in range(12)]
    assert sum(outcome.seconds.get("run", 0) for outcome in outcomes) > 0
    assert not few.meeting.broken, "one is read while another runs and a third is written"


def _told(job, run, tile, shape) -> Outcome:
    """A task that tells what its job says."""
    return Outcome(tile.name, str(job.compiled), 0)


@pytest.mark.parametrize("said", [True, False])
def test_workers_are_told_whether_to_compile(said: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Those of a scheduler were started before, by whoever: the environment of the command is not theirs."""
    job = Job(
        tmp_path / "x.npy", str(tmp_path / "x.zarr"), "unit", ("a",), origin={"source": "x.onnx", "weights": None}
    )
    marks = []
    monkeypatch.setattr(cluster, "do_tile", _told)
    with (
        distributed.Client(
            processes=False, n_workers=1, threads_per_worker=1, dashboard_address=":0", silence_logs=logging.CRITICAL
        ) as client,
        compiling(said),
    ):
        cluster.run_on_cluster(
            client, job, "run", SimpleNamespace(buffer=(1, 50, 50)), [_tile(0)], lambda tile, of: marks.append(of.mark)
        )
    assert marks == [str(said)]


def test_a_bench_holds_what_its_job_says(monkeypatch: pytest.MonkeyPatch) -> None:
    class Opened(Exception):
        """The network would be read now."""

    def opened(**origin):
        raise Opened(compiles())

    monkeypatch.delenv("FULLCONV_COMPILE", raising=False)
    monkeypatch.setattr("fullconv.loading.load", opened)
    monkeypatch.setattr("fullconv.results.store.Store.open", lambda *given: None)
    found = []
    for said in (True, None, False):
        job = Job("x.npy", "x.zarr", "unit", ("a",), origin={"source": "x.onnx"}, compiled=said)
        with pytest.raises(Opened) as caught:
            worker._bench_of(job, f"run {said}", (1, 50, 50))
        found.append(caught.value.args[0])
    worker._said.close()
    assert found == [True, None, False]
    assert compiles() is None


def test_a_tile_that_fails_fails_alone() -> None:
    """Those before it are stored, and those behind it begin anew."""
    few = Few(fails=frozenset({3, 4, 11}))
    bench = worker.Bench(few, (1, 50, 50))
    waiting = [bench.submit(_tile(row)) for row in range(16)]
    for row, future in enumerate(waiting):
        if row in few.fails:
            with pytest.raises(MemoryError, match=str(row)):
                future.result(10)
        else:
            assert future.result(10).tile.row == row
    bench.close()
    assert set(few.kept) == set(range(16)) - few.fails
    assert len(bench) == 0
