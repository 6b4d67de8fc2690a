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


def run_tiles(worker: Worker, tiles: Iterable[Tile], shape: tuple[int, int, int], told: Callable[[Done], None]) -> None:
    """Do these tiles, in order.

    Args:
        shape: (C, H, W) of the largest tile.
        told: called with each tile that is stored.

    What fails in any stage stops all of them, after what is being written is written, and is raised.
    """
    stop = Event()
    free: Queue[Any] = Queue()
    for _ in range(2):
        free.put(np.zeros(shape, np.float32))
    loaded: Queue[Loaded | None] = Queue()  # no longer than there are buffers
    done: Queue[Done | None] = Queue()  # no longer than there are places
    places = Semaphore(ANSWERS)
    failures: list[BaseException] = []

    def read() -> None:
        for tile in tiles:
            buffer = _take(free, stop)
            if buffer is None:
                return
            loaded.put(worker.load(tile, buffer))
        loaded.put(None)

    def write() -> None:
        while (item := _take(done, stop)) is not None:
            worker.keep(item)
            told(item)
            del item
            places.release()

    def guarded(stage: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                stage()
            except BaseException as error:
                failures.append(error)
                stop.set()

        return run

    threads = [Thread(target=guarded(stage), daemon=True) for stage in (read, write)]
    for thread in threads:
        thread.start()
    try:
        while (tile := _take(loaded, stop)) is not None and _placed(places, stop):
            done.put(worker.run(tile))
            free.put(tile.buffer)
        if not stop.is_set():
            done.put(None)
            threads[1].join()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]


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
