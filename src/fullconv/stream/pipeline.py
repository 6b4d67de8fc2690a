"""Reading, preparing, running and writing side by side, with few tiles' pixels in memory, and few tiles' scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from queue import Empty, Queue
from threading import Event, Semaphore, Thread
from typing import Any

from fullconv.stream.door import Done, Loaded
from fullconv.stream.work import Worker
from fullconv.tiling.tiles import Tile

PIXELS = 2  # tiles whose pixels are in memory before the engine's door: one that is read, and one that goes in
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
    stop, timings = Event(), worker.timings
    door = worker.door(shape)
    # None of the queues gets longer than there are places, an end and an error beside them.
    read: Queue[Loaded | BaseException | None] = Queue()
    started: Queue[Any] = Queue()  # tickets; tiles without work, done; errors; and an end
    done: Queue[Done | None] = Queue()
    pixels, flights, answers = Semaphore(PIXELS), Semaphore(door.depth), Semaphore(ANSWERS)
    failures: list[BaseException] = []

    def load() -> None:
        try:
            for tile in tiles:
                if not _placed(pixels, stop):
                    return
                with timings.of("read"):
                    read.put(worker.load(tile))
            read.put(None)
        except BaseException as error:
            read.put(error)  # behind the tiles that were read

    def start() -> None:
        try:
            while (loaded := _take(read, stop)) is not None:
                if isinstance(loaded, BaseException):
                    raise loaded
                if loaded.pixels is None:
                    started.put(loaded.nothing)
                elif not _placed(flights, stop):
                    return
                else:
                    with timings.of("prepare"):
                        started.put(door.start(loaded))
                del loaded
                pixels.release()
            started.put(None)
        except BaseException as error:
            started.put(error)  # behind the tiles that were started

    def write() -> None:
        try:
            while (item := _take(done, stop)) is not None:
                with timings.of("write"):
                    worker.keep(item)
                is_done(item)
                del item
                answers.release()
        except BaseException as error:
            failures.append(error)
            stop.set()

    def run() -> BaseException | None:
        """Run what is read; what ended it before the last tile."""
        while True:
            with timings.of("waiting_for_pixels"):
                item = _take(started, stop)
            if item is None or isinstance(item, BaseException):
                return item
            with timings.of("waiting_for_places"):
                if not _placed(answers, stop):
                    return None
            if isinstance(item, Done):
                done.put(item)
                continue
            try:
                with timings.of("run"):
                    item = door.finish(item)
            except Exception as error:
                return error
            done.put(item)
            del item
            flights.release()

    threads = [Thread(target=stage, daemon=True) for stage in (load, start, write)]
    for thread in threads:
        thread.start()
    try:
        ended = run()
        done.put(None)
        threads[-1].join()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        door.close()
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
    """Wait for room for another tile; False where the work stops."""
    while not stop.is_set():
        if places.acquire(timeout=_POLL):
            return True
    return False
