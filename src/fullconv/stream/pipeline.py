"""Reading, running and writing side by side, with two tiles' pixels in memory at most and one tile's scores waiting."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import Any

import numpy as np

from fullconv.stream.work import Done, Loaded, Worker
from fullconv.tiling.tiles import Tile

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
    done: Queue[Done | None] = Queue(maxsize=1)
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
        while (tile := _take(loaded, stop)) is not None:
            answers = worker.run(tile)
            free.put(tile.buffer)
            _give(done, answers, stop)
            del answers
        if not stop.is_set():
            _give(done, None, stop)
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


def _give(queue: Queue[Any], item: Any, stop: Event) -> None:
    while not stop.is_set():
        try:
            return queue.put(item, timeout=_POLL)
        except Full:
            continue
    return None
