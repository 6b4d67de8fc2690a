"""Reading, preparing, running, writing and marking side by side, with few tiles' pixels in memory, and few tiles' scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from queue import Empty, Queue
from threading import Event, Semaphore, Thread
from typing import Any

from fullconv.results.store import Put
from fullconv.stream.door import Done, Loaded
from fullconv.stream.sparse import parted
from fullconv.stream.work import Worker
from fullconv.tiling.tiles import Tile

PIXELS = 2  # tiles whose pixels are in memory before the engine's door: one that is read, and one that goes in
ANSWERS = 2  # tiles whose scores are in memory: one that is written, and one that waits or is made
UNMARKED = 4  # tiles that are written and not yet marked: what a kill loses beside those in memory
_POLL = 0.1  # seconds between looks at whether to stop


def run_tiles(
    worker: Worker, tiles: Iterable[Tile | None], shape: tuple[int, int, int], is_done: Callable[[Put], None]
) -> None:
    """Do these tiles, in order.

    Args:
        tiles: with None where the next is not there yet.
        shape: (C, H, W) of the largest tile.
        is_done: called with each tile that is stored and marked.

    Where a tile cannot be read or run, those before it are stored, and then the error is raised. What fails while it is stored stops
    all at once, and so does the keyboard: what is being written is still written, and what is written is marked.
    """
    _Run(worker, tiles, shape, is_done).do()


class _Run:
    """The stages of a run, each a thread; the engine's is the caller's own. What one hands on waits in a queue, and places bound how much."""

    def __init__(
        self, worker: Worker, tiles: Iterable[Tile | None], shape: tuple[int, int, int], is_done: Callable[[Put], None]
    ) -> None:
        self._worker, self._tiles, self._is_done = worker, tiles, is_done
        self._door, self._timed = worker.door(shape), worker.timings.of
        self._stop = Event()
        self._read: Queue[Loaded | BaseException | None] = Queue()
        self._started: Queue[Any] = (
            Queue()
        )  # tickets, with what gathers them; tiles without work, done; errors; and an end
        self._done: Queue[Done | None] = Queue()
        self._put: Queue[Put | None] = Queue()
        self._pixels, self._answers = Semaphore(PIXELS), Semaphore(ANSWERS)
        self._flights, self._unmarked = Semaphore(self._door.depth), Semaphore(UNMARKED)
        self._failures: list[BaseException] = []

    def do(self) -> None:
        """All tiles."""
        stages = (self._loads, self._starts, self._puts, self._commits)
        threads = [Thread(target=stage, daemon=True) for stage in stages]
        for thread in threads:
            thread.start()
        try:
            ended = self._finishes()
            self._done.put(None)
            threads[-1].join()
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()
            self._door.close()
        for failure in (*self._failures, ended):
            if failure is not None:
                raise failure

    def _loads(self) -> None:
        try:
            for tile in self._tiles:
                if tile is None:
                    if self._stop.is_set():
                        return
                    continue
                if not self._placed(self._pixels):
                    return
                with self._timed("read"):
                    self._read.put(self._worker.load(tile))
            self._read.put(None)
        except BaseException as error:
            self._read.put(error)  # behind the tiles that were read

    def _starts(self) -> None:
        try:
            while (loaded := self._take(self._read)) is not None:
                if isinstance(loaded, BaseException):
                    raise loaded
                if loaded.pixels is None:
                    self._started.put(loaded.nothing)
                elif not self._starts_parts(loaded):
                    return
                del loaded
                self._pixels.release()
            self._started.put(None)
        except BaseException as error:
            self._started.put(error)  # behind the tiles that were started

    def _starts_parts(self, loaded: Loaded) -> bool:
        """Take a tile in, section by section where it has some; False where the work stops."""
        for part, gathered in parted(loaded):
            if not self._placed(self._flights):
                return False
            with self._timed("prepare"):
                self._started.put((self._door.start(part), gathered))
        return True

    def _finishes(self) -> BaseException | None:
        """The engine's answers; what ended them before the last tile."""
        while True:
            with self._timed("waiting_for_pixels"):
                item = self._take(self._started)
            if item is None or isinstance(item, BaseException):
                return item
            with self._timed("waiting_for_places"):
                if not self._placed(self._answers):
                    return None
            if isinstance(item, Done):
                self._done.put(item)
                continue
            ticket, gathered = item
            del item
            try:
                with self._timed("run"):
                    done = self._door.finish(ticket)
                    whole = done if gathered is None else gathered.add(done)
            except Exception as error:
                return error
            if whole is not None and whole.tile.is_made:
                self._done.put(whole)
            else:
                self._answers.release()
            del ticket, gathered, done, whole
            self._flights.release()

    def _puts(self) -> None:
        try:
            while (item := self._take(self._done)) is not None:
                if not self._placed(self._unmarked):
                    return
                with self._timed("write"):
                    self._put.put(self._worker.put(item))
                del item
                self._answers.release()
        except BaseException as error:
            self._fails(error)
        finally:
            self._put.put(None)

    def _commits(self) -> None:
        """All that was put while the last ones were committed, together: a disk settles many files in about the time of one."""
        try:
            while group := self._gathered():
                with self._timed("settle"):
                    self._worker.commit(group)
                for put in group:
                    self._is_done(put)
                    self._unmarked.release()
        except BaseException as error:
            self._fails(error)

    def _gathered(self) -> list[Put]:
        """All that waits to be committed, at least one; none at the end."""
        group = []
        if (put := self._put.get()) is not None:
            group.append(put)
            with suppress(Empty):
                while (more := self._put.get_nowait()) is not None:
                    group.append(more)
                self._put.put(None)  # the end is for the next look
        return group

    def _fails(self, error: BaseException) -> None:
        self._failures.append(error)
        self._stop.set()

    def _take(self, queue: Queue[Any]) -> Any:
        """The next of a queue; None where the work stops."""
        while not self._stop.is_set():
            try:
                return queue.get(timeout=_POLL)
            except Empty:
                continue
        return None

    def _placed(self, places: Semaphore) -> bool:
        """Wait for room for another tile; False where the work stops."""
        while not self._stop.is_set():
            if places.acquire(timeout=_POLL):
                return True
        return False
