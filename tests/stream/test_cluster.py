"""Tiles on other processes: the same result, whoever dies."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest

import fullconv
from fullconv import map_raster, version
from fullconv.errors import BadInput
from fullconv.results.places import storage_of
from fullconv.results.record import Record
from fullconv.results.store import Store
from fullconv.stream import cluster, worker
from fullconv.stream.work import Worker
from tests.stream import runs

distributed = pytest.importorskip("distributed")
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # sockets of processes that are killed on purpose
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def unfinished(record: Record) -> Record:
    return replace(record, finished=False)


HOW = {"preprocess": "unit", "memory": 205 << 20}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    folder = tmp_path_factory.mktemp("alone")
    image = runs.picture(folder / "x.npy", 2000, 1800)
    from fullconv.stream import plan

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(plan, "_planned_base", lambda model, now: 180 << 20)
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
            dashboard_address=None,
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
    from fullconv.stream.run import job_of

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
    from fullconv.stream.run import job_of

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


def test_an_object_store_goes_on_too(alone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fullconv.results.remote import Remote

    image, _ = alone
    url = f"memory://{tmp_path.name}/y.zarr"
    original, count = Worker.keep, []

    def failing(self, done):
        count.append(done.tile.name)
        if len(count) == 4:
            raise MemoryError
        return original(self, done)

    with monkeypatch.context() as patched:
        patched.setattr(Worker, "keep", failing)
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
