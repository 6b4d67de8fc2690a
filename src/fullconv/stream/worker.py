"""What runs in a worker's process: tiles of one job, by a network, an image and a store that are opened once.

A Dask worker may have several threads (``dask worker ADDRESS`` starts one process with one a processor). They share the process's
network, whose engine takes all processors by itself, its open image, and two tiles' pixels; so a stage is done by one thread at a time, and of
several threads one reads while another runs and a third stores. A process takes the same memory however many threads it has.
"""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass, field
from typing import Any

from fullconv import fingerprint
from fullconv.errors import BadInput
from fullconv.stream.confirm import crops_of
from fullconv.stream.door import Done, Door
from fullconv.stream.job import Job
from fullconv.stream.pipeline import ANSWERS, PIXELS
from fullconv.stream.work import Worker
from fullconv.system.memory import available_bytes, peak_bytes
from fullconv.tiling.tiles import Tile


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a worker tells of a tile."""

    name: str
    mark: str
    peak_bytes: int


@dataclass
class _Bench:
    """What the threads of a process share for one job."""

    worker: Worker
    door: Door
    pixels: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(PIXELS))
    reading: threading.Lock = field(default_factory=threading.Lock)
    running: threading.Lock = field(default_factory=threading.Lock)
    storing: threading.Lock = field(default_factory=threading.Lock)
    answers: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(ANSWERS))

    def do(self, tile: Tile) -> Done:
        """A tile read, run and stored; its stages beside those of other tiles."""
        with self.pixels:
            with self.reading:
                loaded = self.worker.load(tile)
            self.answers.acquire()
            try:
                with self.running:
                    done = loaded.nothing if loaded.pixels is None else self.door.finish(self.door.start(loaded))
            except BaseException:
                self.answers.release()
                raise
        try:
            with self.storing:
                self.worker.keep(done)
        finally:
            self.answers.release()
        return done


_benches: dict[str, _Bench] = {}
_opening = threading.Lock()


def do_tile(job: Job, run: str, tile: Tile, shape: tuple[int, int, int]) -> Outcome:
    """One task: a tile read, run, stored and marked; nothing where it is marked already.

    Args:
        run: id of the run that it is of; nothing of any other is written.
        shape: (C, H, W) of the largest tile.
    """
    bench = _bench_of(job, run, shape)
    assert bench.worker.store is not None, "a bench has a store"
    mark = bench.worker.store.storage.mark_of(run, tile.name)
    if mark is None:
        mark = bench.do(tile).note
    return Outcome(tile.name, mark, peak_bytes())


def host_of() -> tuple[str, int]:
    """The machine of a worker, and the bytes that are free there."""
    return socket.gethostname(), available_bytes()


def _bench_of(job: Job, run: str, shape: tuple[int, int, int]) -> _Bench:
    """This process's bench for a run, made once."""
    key = repr((job, run, job.origin))
    with _opening:
        if key not in _benches:
            from fullconv.loading import load
            from fullconv.rasters.view import View
            from fullconv.results.places import storage_of
            from fullconv.results.store import Store

            _benches.clear()  # one job at a time: its network, image and buffers take memory
            store = Store.open(storage_of(job.out), run)
            assert job.origin is not None, "a job for workers says where its network is"
            model = load(**job.origin, check=False)  # the client's cast was checked
            view = View(job.image, job.select)
            _require_same(job, model, view, store)
            way = job.way(model)
            crops = None if job.confirm is None else crops_of(model, way, job)
            worker = Worker(job, way, view, store, way.sampling.over(view.size), store.record.grid, crops)
            _benches[key] = _Bench(worker, worker.door(shape))
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
