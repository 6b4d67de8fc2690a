"""Tiles on other processes, by Dask (extra ``dask``).

A tile is a task that writes its own chunks and marks itself done, so that doing it twice changes nothing: when a worker dies,
Dask gives its tiles to others, and what was marked is not done again. ``worker.py`` is what runs there.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from fullconv import version
from fullconv.errors import BadInput, FullconvError, MissingExtra
from fullconv.stream.job import Job
from fullconv.stream.plan import StreamPlan, budget_within
from fullconv.stream.where import is_file
from fullconv.stream.worker import Outcome, do_tile, host_of
from fullconv.system.parse import compiles, threads
from fullconv.system.processors import processors
from fullconv.tiling.tiles import Tile

IsDone = Callable[[Tile, Outcome], None]
_NO_PAGES = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}  # no port of which another run could have the same
_ANSWERS = 10.0  # seconds that a scheduler has to answer
_STARTS = 60.0  # seconds that workers have to come
_AHEAD = 3  # tasks a worker: one that it does, and others that wait beside it
_TRIES = 3  # times that a tile may kill its worker
_LOOKED = 2.0  # seconds between looks at which workers are there


def run_on_cluster(client: Any, job: Job, run: str, plan: StreamPlan, tiles: Sequence[Tile], is_done: IsDone) -> None:
    """Do tiles on a cluster.

    Args:
        client: as ``connected`` gives it.
        run: id of the run that the store is of.
        is_done: called with each tile that is done, and what its worker tells of it.

    Raises:
        BadInput: a worker has another version, the scheduler ends, or a tile failed; tiles that are done stay so.
    """
    from distributed import KilledWorker, as_completed
    from distributed.client import FutureCancelledError
    from distributed.comm import CommClosedError

    job = replace(with_whole_paths(job), compiled=compiles())
    waiting = iter(tiles)
    crowd = _Crowd(client)

    def submit(count: int) -> list[Any]:
        made = []
        for tile in islice(waiting, count):
            key = f"fullconv-{os.urandom(4).hex()}-{tile.name}"
            future = client.submit(do_tile, job, run, tile, plan.buffer, pure=False, retries=0, key=key)
            names[future.key] = tile
            made.append(future)
        return made

    names: dict[str, Tile] = {}
    running = as_completed(submit(crowd.wanted()))
    try:
        for future in running:
            tile = names.pop(future.key)
            try:
                outcome = future.result()
            except FullconvError:
                raise
            except KilledWorker as error:
                tries = getattr(error, "allowed_failures", _TRIES - 1) + 1
                raise BadInput(
                    f"tile {tile.name} (pixels {tile.box()}) ended {tries} workers, most likely for want of memory; give less --memory. "
                    "What is done is kept, and the same command goes on"
                ) from None
            except Exception as error:
                # Whatever is seen first of a scheduler that ends.
                if isinstance(error, FutureCancelledError | CommClosedError) or _is_gone(client):
                    raise BadInput(
                        f"the Dask scheduler {_address(client)} ended, or cannot be reached any more; "
                        "what is done is kept, and the same command goes on once it is back"
                    ) from None
                raise BadInput(
                    f"tile {tile.name} failed on its worker: {type(error).__name__}: {error}; what is done is kept"
                ) from None
            future.release()  # what is marked need not be remembered, nor done again when its worker dies
            is_done(tile, outcome)
            for fresh in submit(max(0, crowd.wanted() - len(names))):
                running.add(fresh)
    finally:
        if not _is_gone(client):
            client.cancel([future for future in running.futures if not future.done()], force=True)


class _Crowd:
    """How many tasks the workers that are there now have use for."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._looked = -_LOOKED
        self._wanted = _AHEAD

    def wanted(self) -> int:
        now = time.monotonic()
        if now - self._looked >= _LOOKED:
            self._looked = now
            try:
                self._wanted = max(1, sum(self._client.nthreads().values())) * _AHEAD
            except Exception:  # a scheduler that is gone is told by the next tile
                return self._wanted
        return self._wanted


def _is_gone(client: Any) -> bool:
    return str(client.status) != "running"


def _address(client: Any) -> str:
    return str(getattr(client.scheduler, "address", None) or getattr(client, "_start_arg", "") or "")


def with_whole_paths(job: Job) -> Job:
    """The job with absolute paths: a worker may have been started elsewhere.

    Raises:
        BadInput: the network or the image is in memory only.
    """
    if job.origin is None:
        raise BadInput("workers read the network from a file: save it (model.save) and give its path")
    if not isinstance(job.image, str | Path):
        raise BadInput("workers read the image from a file: save it and give its path")

    def whole(path: Any) -> Any:
        return str(Path(path).resolve()) if path is not None and Path(path).exists() else path

    origin = {**job.origin, "source": whole(job.origin["source"]), "weights": whole(job.origin["weights"])}
    where = whole(job.where) if is_file(job.where) else job.where
    return replace(job, image=whole(job.image), out=whole(job.out), where=where, origin=origin)


@contextmanager
def connected(client: Any = None, workers: int | None = None, scheduler: str | None = None) -> Iterator[Any]:
    """A client whose workers are there and have this version.

    Args:
        client, workers, scheduler: a client; or so many processes of this machine; or the address of a scheduler.

    Raises:
        BadInput: the scheduler does not answer, has no workers, or a worker has another version.
    """
    with _client(client, workers, scheduler) as found:
        _require_version(found)
        yield found


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
    for name in ("distributed", "distributed.client"):  # what goes wrong is told in words
        logging.getLogger(name).setLevel(logging.CRITICAL)
    settings = {"distributed.scheduler.allowed-failures": _TRIES - 1, "distributed.admin.log-format": "%(message)s"}
    with dask.config.set(settings):
        if scheduler is not None:
            try:
                reached = Client(scheduler, timeout=_ANSWERS)
            except (OSError, TimeoutError, ValueError) as error:
                raise BadInput(f"{scheduler}: no Dask scheduler answers there ({str(error)[:200]})") from None
            with reached:
                try:
                    reached.wait_for_workers(1, timeout=_ANSWERS)
                except TimeoutError:
                    raise BadInput(
                        f"{scheduler}: the scheduler has no workers; start some with: dask worker {scheduler}"
                    ) from None
                yield reached
            return
        count = workers or 1
        share = str(threads() or max(1, processors() // count))
        with (
            LocalCluster(
                n_workers=count, threads_per_worker=1, processes=True, scheduler_kwargs=_NO_PAGES, memory_limit=0, silence_logs=logging.CRITICAL,
                env={"FULLCONV_THREADS": share},
            ) as cluster,
            Client(cluster, timeout=_STARTS) as reached,
        ):  # fmt: skip
            yield reached


def budget_of(client: Any) -> int:
    """Bytes that every worker may take where nobody says: its part of half of what is free on its machine."""
    hosts: dict[str, list[int]] = {}
    for host, free in client.run(host_of).values():
        hosts.setdefault(host, []).append(free)
    return min(budget_within(min(free) // len(free)) for free in hosts.values())


def _require_version(client: Any) -> None:
    try:
        theirs = client.run(_version)
    except Exception as error:  # whatever a worker without fullconv fails with
        raise BadInput(
            f"a worker cannot import fullconv ({str(error)[:200]}); install fullconv {version.__version__} there"
        ) from None
    other = {address: have for address, have in theirs.items() if have != version.__version__}
    if other:
        listed = ", ".join(f"{address} has {have}" for address, have in other.items())
        raise BadInput(f"workers must have fullconv {version.__version__}, as here: {listed}")


def _version() -> str:
    return version.__version__
