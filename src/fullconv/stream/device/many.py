"""Several devices as one door: a thread each, which takes the next tile when its device has room for one."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from fullconv.stream.door import Done, Door, Loaded

_Given = tuple[Loaded, "Future[Done]"]


class Many:
    """The door. Answers come in the order in which tiles went in, whichever device had them."""

    def __init__(self, doors: Sequence[Door]) -> None:
        self._doors = doors
        # One more for each: answers that wait for those of a slower device leave it idle otherwise.
        self.depth = sum(door.depth + 1 for door in doors)
        self._waiting: SimpleQueue[_Given | None] = SimpleQueue()
        self._threads = [Thread(target=self._serve, args=(door,), daemon=True) for door in doors]
        for thread in self._threads:
            thread.start()

    def start(self, loaded: Loaded) -> Future[Done]:
        answer: Future[Done] = Future()
        self._waiting.put((loaded, answer))
        return answer

    def finish(self, ticket: Future[Done]) -> Done:
        return ticket.result()

    def close(self) -> None:
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join()
        for door in self._doors:
            door.close()

    def _serve(self, door: Door) -> None:
        under_way: deque[tuple[Any, Future[Done]]] = deque()
        ended = False
        while under_way or not ended:
            given: _Given | None = None
            if not ended and len(under_way) < door.depth:
                try:
                    given = self._waiting.get(block=not under_way)
                    ended = given is None
                except Empty:
                    pass
            if given is not None:
                try:
                    under_way.append((door.start(given[0]), given[1]))
                except BaseException as error:
                    given[1].set_exception(error)
            elif under_way:
                ticket, answer = under_way.popleft()
                try:
                    answer.set_result(door.finish(ticket))
                except BaseException as error:
                    answer.set_exception(error)
