"""Reading, running and writing side by side, with two tiles' pixels in memory at most, and two tiles' scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from queue import Empty, Queue
from threading import Event, Semaphore, Thread
from typing import Any

import numpy as np

from fullconv.stream.work import Done, Loaded, Worker
from fullconv.tiling.tiles import Tile

ANSWERS = 2  # tiles whose scores are in memory: one that is written, and one that waits or is made
_POLL = 0.1  # seconds between looks at whether to stop


def run_tiles(
    worker: Worker, tiles: Iterable[Tile], shape: tuple[int, int, int], is_done: Callable[[Done], None]
) -> None:
    """Do these tiles, in order.

    Args:
        shape: (C, H, W) of the largest tile.
        is_done: called with each tile that is stored.

    Where a tile cannot be read or run, those before it are stored, and then the error is raised. What fails while it is stored stops
    all at once, and so does the keyboard, after what is being written is written.
    """
    stop = Event()
    free: Queue[Any] = Queue()
    for _ in range(2):
        free.put(np.zeros(shape, np.float32))
    loaded: Queue[Loaded | BaseException | None] = Queue()  # no longer than there are buffers, and an end
    done: Queue[Done | None] = Queue()  # no longer than there are places
    places = Semaphore(ANSWERS)
    failures: list[BaseException] = []

    def read() -> None:
        try:
            for tile in tiles:
                buffer = _take(free, stop)
                if buffer is None:
                    return
                loaded.put(worker.load(tile, buffer))
            loaded.put(None)
        except BaseException as error:
            loaded.put(error)  # behind the tiles that were read

    def write() -> None:
        try:
            while (item := _take(done, stop)) is not None:
                worker.keep(item)
                is_done(item)
                del item
                places.release()
        except BaseException as error:
            failures.append(error)
            stop.set()

    def run() -> BaseException | None:
        """Run what is read; what ended it before the last tile."""
        while (tile := _take(loaded, stop)) is not None:
            if isinstance(tile, BaseException):
                return tile
            if not _placed(places, stop):
                return None
            try:
                done.put(worker.run(tile))
            except Exception as error:
                return error
            free.put(tile.buffer)
        return None

    threads = [Thread(target=stage, daemon=True) for stage in (read, write)]
    for thread in threads:
        thread.start()
    try:
        ended = run()
        done.put(None)
        threads[1].join()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    for failure in (*failures, ended):
        if failure is not None:
            raise failure


def _take(queue: Queue[Any], stop: Event) -> Any:
    """The next of a queue; None where the work stops."""
    while not stop.is_set():
        try:
            return queue.get(timeout=_POLL)
        except Empty:
            continue
    return None


def _placed(places: Semaphore, stop: Event) -> bool:
    """Wait for room for another tile's scores; False where the work stops."""
    while not stop.is_set():
        if places.acquire(timeout=_POLL):
            return True
    return False
