"""Tiles on other processes, by Dask (extra ``dask``).

A tile is a task that writes its own chunks and marks itself done, so that doing it twice changes nothing: when a worker dies,
Dask gives its tiles to others, and what was marked is not done again. A worker loads the network once and keeps its session.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from fullconv import fingerprint, version
from fullconv.errors import BadInput, FullconvError, MissingExtra
from fullconv.stream.job import Job
from fullconv.stream.plan import StreamPlan
from fullconv.system.memory import peak_bytes
from fullconv.tiling.tiles import Tile

_ANSWERS = 10.0  # seconds that a scheduler has to answer
_STARTS = 60.0  # seconds that workers have to come
_AHEAD = 3  # tasks a worker: one that it does, and others that wait beside it
_TRIES = 3  # times that a tile may kill its worker


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a worker tells of a tile."""

    name: str
    mark: str
    peak_bytes: int


def run_on_cluster(
    job: Job,
    plan: StreamPlan,
    tiles: Sequence[Tile],
    told: Callable[[Tile, str, int], None],
    *,
    client: Any = None,
    workers: int | None = None,
    scheduler: str | None = None,
) -> None:
    """Do tiles on a cluster.

    Args:
        told: called with each tile that is done, what is remembered of it, and its worker's peak memory.
        client, workers, scheduler: a client; or so many processes of this machine; or the address of a scheduler.

    Raises:
        BadInput: the scheduler does not answer, a worker has another version, the network or the image is in memory only, or a tile
            failed; tiles that are done stay so.
    """
    job = _with_whole_paths(job)
    with _client(client, workers, scheduler) as connected:
        _require_version(connected)
        _run(connected, job, plan, tiles, told)


def _run(
    client: Any, job: Job, plan: StreamPlan, tiles: Sequence[Tile], told: Callable[[Tile, str, int], None]
) -> None:
    from distributed import KilledWorker, as_completed

    waiting = iter(tiles)
    threads = sum(client.nthreads().values())

    def submit(count: int) -> list[Any]:
        found = []
        for tile in islice(waiting, count):
            future = client.submit(
                do_tile,
                job,
                tile,
                plan.buffer,
                pure=False,
                retries=0,
                key=f"fullconv-{os.urandom(4).hex()}-{tile.name}",
            )
            places[future.key] = tile
            found.append(future)
        return found

    places: dict[str, Tile] = {}
    running = as_completed(submit(max(1, threads) * _AHEAD))
    try:
        for future in running:
            tile = places.pop(future.key)
            try:
                outcome = future.result()
            except FullconvError:
                raise
            except KilledWorker:
                raise BadInput(
                    f"tile {tile.name} (pixels {tile.box()}) ended {_TRIES} workers, most likely for want of memory; give less --memory. "
                    "What is done is kept, and the same command goes on"
                ) from None
            except Exception as error:
                raise BadInput(
                    f"tile {tile.name} failed on its worker: {type(error).__name__}: {error}; what is done is kept"
                ) from None
            future.release()  # what is marked need not be remembered, nor done again when its worker dies
            told(tile, outcome.mark, outcome.peak_bytes)
            for fresh in submit(1):
                running.add(fresh)
    finally:
        client.cancel([future for future in running.futures if not future.done()], force=True)


def _with_whole_paths(job: Job) -> Job:
    """The job with absolute paths: a worker may have been started elsewhere."""
    if job.origin is None:
        raise BadInput("workers read the network from a file: save it (model.save) and give its path")
    if not isinstance(job.image, str | Path):
        raise BadInput("workers read the image from a file: save it and give its path")

    def whole(path: Any) -> Any:
        return str(Path(path).resolve()) if path is not None and Path(path).exists() else path

    origin = {**job.origin, "source": whole(job.origin["source"]), "weights": whole(job.origin["weights"])}
    where = job.where if job.where in (None, "auto") else whole(job.where)
    return replace(job, image=whole(job.image), out=whole(job.out), where=where, origin=origin)


@contextmanager
def _client(client: Any, workers: int | None, scheduler: str | None) -> Iterator[Any]:
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError:
        raise MissingExtra("workers need Dask; install it with: pip install 'fullconv[dask]'") from None
    if client is not None:
        yield client
        return
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    settings = {"distributed.scheduler.allowed-failures": _TRIES - 1, "distributed.admin.log-format": "%(message)s"}
    with dask.config.set(settings):
        if scheduler is not None:
            try:
                connected = Client(scheduler, timeout=_ANSWERS)
            except (OSError, TimeoutError, ValueError) as error:
                raise BadInput(f"{scheduler}: no Dask scheduler answers there ({str(error)[:200]})") from None
            with connected:
                try:
                    connected.wait_for_workers(1, timeout=_ANSWERS)
                except TimeoutError:
                    raise BadInput(
                        f"{scheduler}: the scheduler has no workers; start some with: dask worker {scheduler}"
                    ) from None
                yield connected
            return
        count = workers or 1
        share = str(max(1, (os.cpu_count() or 1) // count))
        with (
            LocalCluster(
                n_workers=count, threads_per_worker=1, processes=True, dashboard_address=None, memory_limit=0, silence_logs=logging.CRITICAL,
                env={"FULLCONV_THREADS": share},
            ) as cluster,
            Client(cluster, timeout=_STARTS) as connected,
        ):  # fmt: skip
            yield connected


def _require_version(client: Any) -> None:
    try:
        found = client.run(_version)
    except Exception as error:  # whatever a worker without fullconv fails with
        raise BadInput(
            f"a worker cannot import fullconv ({str(error)[:200]}); install fullconv {version.__version__} there"
        ) from None
    other = {address: theirs for address, theirs in found.items() if theirs != version.__version__}
    if other:
        told = ", ".join(f"{address} has {theirs}" for address, theirs in other.items())
        raise BadInput(f"workers must have fullconv {version.__version__}, as here: {told}")


def _version() -> str:
    return version.__version__


_open: dict[str, Any] = {}


def do_tile(job: Job, tile: Tile, shape: tuple[int, int, int]) -> Outcome:
    """One task: a tile read, run, stored and marked; nothing where it is marked already."""
    worker, buffer = _worker_of(job, shape)
    mark = worker.store.storage.mark_of(tile.name)
    if mark is None:
        done = worker.run(worker.load(tile, buffer))
        worker.keep(done)
        mark = done.mark
    return Outcome(tile.name, mark, peak_bytes())


def _worker_of(job: Job, shape: tuple[int, int, int]) -> tuple[Any, Any]:
    """This process's worker for a job, made once."""
    key = repr((job, job.origin))
    if key not in _open:
        from fullconv.loading import load
        from fullconv.maps.ways import way_over
        from fullconv.rasters.view import View
        from fullconv.results.places import storage_of
        from fullconv.results.store import Store
        from fullconv.stream.work import Worker

        _open.clear()  # one job at a time: its network, image and buffers take memory
        assert job.origin is not None, "a job for workers says where its network is"
        model = load(**job.origin, check=False)  # the client's cast was checked
        view = View(job.image, job.select)
        store = Store.open(storage_of(job.out))
        _require_same(job, model, view, store)
        way = way_over(model, job.by, job.stride, job.finer, job.output)
        worker = Worker(job, way, view, store, way.sampling.over(view.size), store.record.grid)
        _open[key] = worker, np.zeros(shape, np.float32)
    return _open[key]  # type: ignore[no-any-return]


def _require_same(job: Job, model: Any, view: Any, store: Any) -> None:
    """BadInput where a worker finds another network or image by the same name than the run began with."""
    asked = store.record.request
    if fingerprint.of_model(model) != asked["model"]["fingerprint"]:
        raise BadInput(f"{model.path}: the network that a worker finds there is another one than the run began with")
    if fingerprint.of_image(job.image, view.about.size, view.about.bands) != asked["image"]["fingerprint"]:
        raise BadInput(f"{job.image}: the image that a worker finds there is another one than the run began with")
