"""What runs in a worker's process: the tiles of one job, by a network, an image and a store that are opened once.

Tasks of a process go through one pipeline, as they do in a run without workers: while one tile runs, the next is read and the last is
written. A process takes the same memory however many threads it has (``dask worker ADDRESS`` starts one process with one a processor). Of those
with few, a task that waits for its tile leaves its thread to another, so that there is always a next tile to read.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from queue import Empty, Queue
from threading import Lock, Thread
from typing import Any

from fullconv import fingerprint
from fullconv.errors import BadInput
from fullconv.results.store import Put
from fullconv.stream.confirm import crops_of
from fullconv.stream.job import Job
from fullconv.stream.pipeline import run_tiles
from fullconv.stream.work import Worker
from fullconv.system.memory import available_bytes, peak_bytes
from fullconv.system.parse import compiles, compiling
from fullconv.tiling.tiles import Tile, Tiles

_AT_ONCE = 3  # tiles that a process has at once if its tasks leave their threads: one is read, one run, one written
_POLL = 0.1  # seconds between looks at whether to stop


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a worker tells of a tile.

    Attributes:
        mark: what is to be remembered of it.
        coarser: bytes of the chunks of coarser levels that were made with it, by key.
        seconds: what its process spent on each stage since it last said so.
    """

    name: str
    mark: str
    peak_bytes: int
    coarser: Mapping[str, int] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)


class Bench:
    """A pipeline that tasks put tiles into, for one job."""

    def __init__(self, worker: Worker, shape: tuple[int, int, int], tiles: Tiles | None = None) -> None:
        """Args:
        shape: (C, H, W) of the largest tile.
        tiles: all of the map, where rows may be kept from one to the next.
        """
        self.worker, self._tiles, self._shape = worker, tiles, shape
        self._lock = Lock()
        self._waiting: dict[str, tuple[Tile, Future[Put]]] = {}  # in the order in which they go in
        self._inbox: Queue[Tile | None] = Queue()
        self._thread: Thread | None = None

    def submit(self, tile: Tile) -> Future[Put]:
        """A tile to be read, run, stored and marked."""
        with self._lock:
            if tile.name not in self._waiting:
                self._waiting[tile.name] = tile, Future()
                self._inbox.put(tile)
                self._start()
            return self._waiting[tile.name][1]

    def __len__(self) -> int:
        """Tiles that are not done yet."""
        return len(self._waiting)

    def close(self) -> None:
        """Return once all tiles are done."""
        with self._lock:
            thread = self._thread
            self._inbox.put(None)
        if thread is not None:
            thread.join()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = Thread(target=self._flow, args=(self._inbox,), daemon=True)
            self._thread.start()

    def _flow(self, inbox: Queue[Tile | None]) -> None:
        error: BaseException | None = None
        try:
            arriving = _arriving(inbox)
            steps = arriving if self._tiles is None else self._tiles.steps(arriving)
            run_tiles(self.worker, steps, self._shape, self._is_done)
        except BaseException as raised:
            error = raised
        with self._lock:
            self._thread, self._inbox = None, Queue()
            # Tiles go through in order, so that the first which is not done is the one that failed; those behind it begin anew.
            for i, name in enumerate(list(self._waiting)):
                tile, future = self._waiting[name]
                if error is not None and i == 0:
                    del self._waiting[name]
                    future.set_exception(error)
                else:
                    self._inbox.put(tile)
            if self._waiting:
                self._start()

    def _is_done(self, put: Put) -> None:
        with self._lock:
            _, future = self._waiting.pop(put.tile.name)
        future.set_result(put)


def _arriving(inbox: Queue[Tile | None]) -> Iterator[Tile | None]:
    """Tiles as they come; None where none is there yet."""
    while True:
        try:
            tile = inbox.get(timeout=_POLL)
        except Empty:
            yield None
            continue
        if tile is None:
            return
        yield tile


_benches: dict[str, Bench] = {}
_said = ExitStack()  # what holds in this process for as long as its bench does
_opening = Lock()


def do_tile(job: Job, run: str, tile: Tile, shape: tuple[int, int, int]) -> Outcome:
    """One task: a tile read, run, stored and marked; nothing where it is marked already.

    Args:
        run: id of the run that it is of; nothing of any other is written.
        shape: (C, H, W) of the largest tile.
    """
    bench = _bench_of(job, run, shape)
    assert bench.worker.store is not None, "a bench has a store"
    mark = bench.worker.store.storage.mark_of(run, tile.name)
    if mark is not None:
        return Outcome(tile.name, mark, peak_bytes())
    waiting = bench.submit(tile)
    if len(bench) < _AT_ONCE:
        _leave()
    put = waiting.result()
    return Outcome(tile.name, put.note, peak_bytes(), put.coarser, bench.worker.timings.taken())


def _leave() -> None:
    """Leave this task's thread of its Dask worker to another task."""
    from distributed import secede

    with suppress(ValueError, AttributeError):  # no task
        secede()


def host_of() -> tuple[str, int]:
    """The machine of a worker, and the bytes that are free there."""
    return socket.gethostname(), available_bytes()


def _bench_of(job: Job, run: str, shape: tuple[int, int, int]) -> Bench:
    """This process's bench for a run, made once."""
    key = repr((job, run, job.origin))
    with _opening:
        if key not in _benches:
            from fullconv.loading import load
            from fullconv.rasters.view import View
            from fullconv.results.places import storage_of
            from fullconv.results.store import Store

            for old in _benches.values():  # one job at a time: its network, image and buffers take memory
                old.close()
            _benches.clear()
            _said.close()
            if job.compiled is not None and job.compiled != compiles():
                _said.enter_context(compiling(job.compiled))
            store = Store.open(storage_of(job.out), run)
            assert job.origin is not None, "a job for workers says where its network is"
            model = load(**job.origin, check=False)  # the client's cast was checked
            view = View(job.image, job.select)
            _require_same(job, model, view, store)
            way = job.way(model)
            crops = None if job.confirm is None else crops_of(model, way, job)
            tiles = store.record.tiles
            worker = Worker(job, way, view, store, way.sampling.over(view.size), store.record.grid, crops, tiles)
            _benches[key] = Bench(worker, shape, tiles)
        return _benches[key]


def _require_same(job: Job, model: Any, view: Any, store: Any) -> None:
    """BadInput where a worker finds another network or image by the same name than the run began with."""
    asked = store.record.request
    if fingerprint.of_model(model) != asked["model"]["fingerprint"]:
        raise BadInput(f"{model.path}: the network that a worker finds there is another one than the run began with")
    if (
        fingerprint.of_image(job.image, view.about.size, view.about.bands, job.select.access.subdataset)
        != asked["image"]["fingerprint"]
    ):
        raise BadInput(f"{job.image}: the image that a worker finds there is another one than the run began with")
