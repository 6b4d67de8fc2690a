"""Tiles on other processes: the same result, whoever dies."""

from __future__ import annotations

import json
import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import fullconv
from fullconv import map_raster, version
from fullconv.errors import BadInput, CannotRun, Refusal
from fullconv.rasters.preprocess import Preprocess
from fullconv.results.places import storage_of
from fullconv.results.record import Record
from fullconv.results.store import Store
from fullconv.stream import cluster, plan, worker
from fullconv.stream.cluster import run_on_cluster, with_whole_paths
from fullconv.stream.job import Job
from fullconv.stream.run import job_of
from fullconv.stream.work import Worker
from fullconv.tiling.cut import Side
from fullconv.tiling.tiles import Tile
from tests.stream import runs

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # sockets of processes that are killed on purpose
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def unfinished(record: Record) -> Record:
    return replace(record, finished=False)


HOW = {"preprocess": "unit", "memory": 197 << 20}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    folder = tmp_path_factory.mktemp("alone")
    image = runs.picture(folder / "x.npy", 1300, 1200)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(plan, "_planned_base", lambda *_: 180 << 20)
        map_raster(runs.digits(), image, folder / "x.zarr", **HOW)
    return image, runs.digest(folder / "x.zarr")


@pytest.fixture
def client() -> Iterator:
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            scheduler_kwargs=cluster._NO_PAGES,
            memory_limit=0,
            silence_logs=logging.CRITICAL,
        ) as made,
        distributed.Client(made) as connected,
    ):
        yield connected


def test_workers_of_this_machine(alone, tmp_path: Path) -> None:
    image, expected = alone
    tiles = []
    map_raster(
        runs.digits(),
        image,
        tmp_path / "x.zarr",
        workers=2,
        report=lambda event, what: tiles.append(what) if event == "tile" else None,
        **HOW,
    )
    assert runs.digest(tmp_path / "x.zarr") == expected
    assert len(tiles) > 10
    assert tiles[-1]["peak_bytes"] > 50e6


@pytest.mark.parametrize("where", ["mask.png", "auto"])
def test_workers_do_the_cells_that_are_asked_for(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a mask and by what shows something: tiles without a cell, sections of tiles and whole ones, byte for byte those of a run by itself."""
    monkeypatch.setattr(plan, "_planned_base", lambda *_: 180 << 20)
    monkeypatch.setattr(plan, "_seconds", lambda *_: lambda *_: 0.0)  # a busy machine cuts no other tiles
    pixels = np.random.default_rng(0).integers(0, 200, (1300, 1200), np.uint8)
    shown = np.zeros(pixels.shape, bool)
    shown[100:180, 60:900], shown[700:1300, 650:1100] = True, True
    np.save(tmp_path / "x.npy", np.where(shown, pixels, np.uint8(255)))
    Image.fromarray(shown.astype(np.uint8) * 255).save(tmp_path / "mask.png")
    how = {**HOW, "where": where if where == "auto" else str(tmp_path / where)}
    told, digests = [], []
    for name, workers in (("alone", None), ("workers", 2)):
        seen: dict = {}
        map_raster(
            runs.digits(), tmp_path / "x.npy", tmp_path / f"{name}.zarr", workers=workers,
            report=lambda event, what, seen=seen: seen.update({event: what}), **how,
        )  # fmt: skip
        told.append((seen["plan"]["tiles"], seen["plan"]["sections"], seen["done"]["left_out"]))
        digests.append(runs.digest(tmp_path / f"{name}.zarr"))
    assert digests[0] == digests[1]
    assert told[0] == told[1]
    tiles, sections, left_out = told[0]
    assert tiles > 10
    assert sections or where == "auto"
    assert left_out > 0.4 * shown.size / 16
    stored = sum("/c/" in f"/{name}" and name.startswith("0/") for name in digests[0])
    assert 0 < stored < tiles, "some tiles hold nothing"


@pytest.mark.long
def test_one_worker_of_several_threads(alone, tmp_path: Path) -> None:
    """What ``dask worker ADDRESS`` starts: threads that share a network, an open image and two buffers."""
    image, expected = alone
    with (
        distributed.LocalCluster(
            n_workers=1,
            threads_per_worker=4,
            scheduler_kwargs=cluster._NO_PAGES,
            memory_limit=0,
            silence_logs=logging.CRITICAL,
        ) as made,
        distributed.Client(made) as connected,
    ):
        map_raster(runs.digits(), image, tmp_path / "x.zarr", client=connected, **HOW)
    assert runs.digest(tmp_path / "x.zarr") == expected


def test_a_refusal_of_a_worker_comes_back_as_one() -> None:
    error = CannotRun("no engine runs it", [Refusal("conv1", "of a kind of its own")])
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is CannotRun
    assert (str(again), again.refusals) == (str(error), error.refusals)


def test_memory_is_shared_out_among_the_workers_of_a_machine() -> None:
    class Client:
        def run(self, function):
            return {"a": ("one", 24 << 30), "b": ("one", 24 << 30), "c": ("two", 20 << 30), "d": ("one", 23 << 30)}

    assert cluster.budget_of(Client()) == 2 << 30, "a third of half of 23, rounded down to a power of two"


def test_tasks_follow_the_workers_that_are_there_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_LOOKED", 0.0)
    there = {"a": 2}
    crowd = cluster._Crowd(SimpleNamespace(nthreads=lambda: there))
    assert crowd.wanted() == 6
    there["b"] = 4
    assert crowd.wanted() == 18
    there.clear()
    assert crowd.wanted() == 3, "some wait for workers to come"


def test_a_connection_that_breaks_before_the_client_knows_is_the_schedulers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def result() -> None:
        raise distributed.comm.CommClosedError("Connection reset by peer")

    future = SimpleNamespace(key="a", result=result, done=lambda: True)
    monkeypatch.setattr("distributed.as_completed", lambda futures: _Futures([future]))
    monkeypatch.setattr(cluster, "with_whole_paths", lambda job: job)
    client = SimpleNamespace(
        submit=lambda *_, **__: future, nthreads=lambda: {}, status="running", scheduler=SimpleNamespace(address="tcp://x"),
        cancel=lambda *_, **__: None,
    )  # fmt: skip
    side, job = Side((0, 1), ((0, 8),)), Job("x.tif", "x.zarr", Preprocess.of("unit"), ())
    with pytest.raises(BadInput, match="the Dask scheduler tcp://x ended, or cannot be reached any more"):
        run_on_cluster(client, job, "run", SimpleNamespace(buffer=(1, 8, 8)), [Tile(0, 0, side, side)], lambda *_: None)


class _Futures(list):
    futures = ()


def test_words_of_where_are_no_files_of_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for word in ("tissue", "auto", "auto:0.3", "mask.png"):
        (tmp_path / word).mkdir()
        job = Job(
            "x.tif", "x.zarr", Preprocess.of("unit"), (), where=word, origin={"source": "n.onnx", "weights": None}
        )
        assert with_whole_paths(job).where == (str(tmp_path / word) if word == "mask.png" else word)


@pytest.mark.long
def test_the_scheduler_ends(alone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image, expected = alone
    about = tmp_path / "scheduler.json"
    quick = {**os.environ, "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "2s"}
    dask.config.set({"distributed.comm.timeouts.connect": "2s"})
    start = [
        sys.executable,
        "-m",
        "distributed.cli.dask_scheduler",
        "--port",
        "0",
        "--no-dashboard",
        "--host",
        "127.0.0.1",
    ]
    scheduler = subprocess.Popen([*start, "--scheduler-file", str(about)], stderr=subprocess.DEVNULL)
    join = [
        sys.executable,
        "-m",
        "distributed.cli.dask_worker",
        "--scheduler-file",
        str(about),
        "--no-nanny",
        "--no-dashboard",
    ]
    helper = subprocess.Popen([*join, "--nthreads", "2"], stderr=subprocess.DEVNULL, env=quick)
    seen = []
    try:
        for _ in range(300):
            if about.exists():
                break
            time.sleep(0.1)
        address = json.loads(about.read_text())["address"]

        def end(event: str, what) -> None:
            if event == "tile" and not seen:
                seen.append(what)
                scheduler.kill()

        with pytest.raises(
            BadInput, match=r"the Dask scheduler tcp://127.* ended, or cannot be reached any more; what is done is kept"
        ):
            map_raster(runs.digits(), image, tmp_path / "x.zarr", scheduler=address, report=end, **HOW)
    finally:
        dask.config.refresh()
        for process in (scheduler, helper):
            process.kill()
            process.wait()
    assert runs.marks(tmp_path / "x.zarr")
    map_raster(runs.digits(), image, tmp_path / "x.zarr", **HOW)
    assert runs.digest(tmp_path / "x.zarr") == expected


def test_a_worker_of_an_older_run_is_told(alone, tmp_path: Path) -> None:
    """A task that was queued before --restart comes to a worker afterwards."""
    model, image = runs.digits(), runs.picture(tmp_path / "x.npy", 300, 300)
    found = map_raster(model, image, tmp_path / "x.zarr", preprocess="unit")
    job = job_of(model, image, tmp_path / "x.zarr", preprocess="unit")
    tile, shape = next(iter(found.record.tiles)), (1, *found.record.tiles.shape)
    old = Store.create(storage_of(tmp_path / "x.zarr"), unfinished(found.record))
    new = Store.create(storage_of(tmp_path / "x.zarr"), unfinished(found.record))
    for _ in range(2):  # a worker that opens the store now, and one that had it open
        with pytest.raises(BadInput, match="another run wrote it anew"):
            worker.do_tile(job, old.record.run, tile, shape)
    worker.do_tile(job, new.record.run, tile, shape)
    newest = Store.create(storage_of(tmp_path / "x.zarr"), unfinished(found.record))
    with pytest.raises(BadInput, match="another run wrote it anew"):
        worker.do_tile(job, new.record.run, tile, shape)
    assert not newest.done()


def test_a_worker_that_dies_is_replaced_without_loss(alone, client, tmp_path: Path) -> None:
    image, expected = alone
    killed = []

    def kill_one(event: str, what) -> None:
        if event == "tile" and not killed:
            killed.append(next(iter(client.run(os.getpid).values())))
            os.kill(killed[0], signal.SIGKILL)

    map_raster(runs.digits(), image, tmp_path / "x.zarr", client=client, report=kill_one, **HOW)
    assert killed
    assert runs.digest(tmp_path / "x.zarr") == expected


def test_a_tile_that_is_marked_is_not_done_again(alone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that Dask repeats, because its result died with its worker, changes nothing and costs nothing."""
    image, _ = alone
    model = runs.digits()
    found = map_raster(model, image, tmp_path / "x.zarr", **HOW)
    job = job_of(model, image, tmp_path / "x.zarr", preprocess="unit")
    store = Store.create(storage_of(tmp_path / "y.zarr"), unfinished(found.record))
    job = replace(job, out=str(tmp_path / "y.zarr"))
    tile, shape = next(iter(found.record.tiles)), (1, *found.record.tiles.shape)
    first = worker.do_tile(job, store.record.run, tile, shape)
    assert list(store.done()) == [tile.name]
    monkeypatch.setattr(Worker, "load", lambda *args: pytest.fail("it is marked"))
    assert worker.do_tile(job, store.record.run, tile, shape).name == first.name


def test_a_worker_that_finds_another_network_or_image_does_nothing(
    alone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same name on another machine may be another file: its answers are not mixed in."""
    model, image = runs.digits(), runs.picture(tmp_path / "x.npy", 300, 300)
    found = map_raster(model, image, tmp_path / "x.zarr", **HOW)
    job = job_of(model, image, tmp_path / "x.zarr", preprocess="unit")
    tile, shape = next(iter(found.record.tiles)), (1, *found.record.tiles.shape)
    store = Store.create(storage_of(tmp_path / "x.zarr"), unfinished(found.record))
    np.save(image, np.zeros((300, 300), np.uint8))
    with pytest.raises(
        BadInput, match=r"x\.npy: the image that a worker finds there is another one than the run began with"
    ):
        worker.do_tile(job, store.record.run, tile, shape)
    runs.picture(image, 300, 300)
    monkeypatch.setattr("fullconv.fingerprint.of_model", lambda model: "another")
    with pytest.raises(BadInput, match="the network that a worker finds there is another one"):
        worker.do_tile(job, store.record.run, tile, shape)


def test_what_is_in_memory_only_is_refused(alone, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"workers read the image from a file: save it and give its path"):
        map_raster(runs.digits(), np.zeros((100, 100), np.uint8), tmp_path / "x.zarr", workers=2)
    model = runs.digits()
    model.origin = None
    with pytest.raises(BadInput, match=r"workers read the network from a file: save it \(model\.save\)"):
        map_raster(model, alone[0], tmp_path / "y.zarr", workers=2)


def test_a_scheduler_that_does_not_answer(alone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_ANSWERS", 1.0)
    with pytest.raises(BadInput, match=r"tcp://127\.0\.0\.1:9: no Dask scheduler answers there"):
        map_raster(runs.digits(), alone[0], tmp_path / "x.zarr", scheduler="tcp://127.0.0.1:9")


def test_a_worker_of_another_version(alone, client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version, "__version__", "9.9")
    with pytest.raises(BadInput, match=r"workers must have fullconv 9\.9, as here: tcp://.* has"):
        map_raster(runs.digits(), alone[0], tmp_path / "x.zarr", client=client)


def test_an_object_store(alone, tmp_path: Path) -> None:
    """The same chunks, marks and lock, in a store without files."""
    image, _ = alone
    url = f"memory://{tmp_path.name}/x.zarr"
    found = map_raster(runs.digits(), image, url, **HOW)
    expected = map_raster(runs.digits(), image, tmp_path / "x.zarr", **HOW)
    np.testing.assert_array_equal(np.asarray(found.scores), np.asarray(expected.scores))
    again = fullconv.ClassMap.load(url)
    assert again.record.finished
    assert again.at(500, 600).tolist() == expected.at(500, 600).tolist()


@pytest.mark.long
def test_an_object_store_goes_on_too(alone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fullconv.results.remote import Remote

    image, _ = alone
    url = f"memory://{tmp_path.name}/y.zarr"
    original, count = Worker.put, []

    def failing(self, done):
        count.append(done.tile.name)
        if len(count) == 4:
            raise MemoryError
        return original(self, done)

    with monkeypatch.context() as patched:
        patched.setattr(Worker, "put", failing)
        with pytest.raises(MemoryError):
            map_raster(runs.digits(), image, url, **HOW)
    assert set(runs.marks(url)) == set(count[:3])
    with (
        Remote(url).lock(),
        pytest.raises(
            BadInput, match=r"another process writes it \(process \d+ on .*\), or ended less than 120 seconds ago"
        ),
    ):
        map_raster(runs.digits(), image, url, **HOW)
    found = map_raster(runs.digits(), image, url, **HOW)
    expected = map_raster(runs.digits(), image, tmp_path / "x.zarr", **HOW)
    np.testing.assert_array_equal(np.asarray(found.scores), np.asarray(expected.scores))
    assert not runs.marks(url)


class _Refusing(BaseHTTPRequestHandler):
    def _refuse(self) -> None:
        self.send_response(403)
        self.end_headers()

    do_GET = do_PUT = do_HEAD = do_POST = _refuse  # noqa: N815

    def log_message(self, *args) -> None:
        pass


def test_an_object_store_without_rights(alone, monkeypatch: pytest.MonkeyPatch) -> None:
    server = HTTPServer(("127.0.0.1", 0), _Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        for name, value in (
            ("AWS_ENDPOINT", f"http://127.0.0.1:{server.server_port}"), ("AWS_ALLOW_HTTP", "true"), ("AWS_ACCESS_KEY_ID", "x"),
            ("AWS_SECRET_ACCESS_KEY", "x"), ("AWS_REGION", "here"),
        ):  # fmt: skip
            monkeypatch.setenv(name, value)
        with pytest.raises(
            BadInput,
            match=r"s3://bucket/x\.zarr: the object store refuses or does not answer .*; check its address and your rights",
        ):
            map_raster(runs.digits(), alone[0], "s3://bucket/x.zarr", **HOW)
    finally:
        server.shutdown()
        server.server_close()
