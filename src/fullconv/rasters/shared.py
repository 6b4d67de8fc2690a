"""What many threads use at once, and one replaces, alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class Shared:
    """Turns at one thing: of many threads together, or of one by itself, which goes first as soon as it asks."""

    def __init__(self) -> None:
        self._turn = Condition()
        self._many, self._asked, self._alone = 0, 0, False

    @contextmanager
    def by_many(self) -> Iterator[None]:
        with self._turn:
            self._turn.wait_for(lambda: not (self._asked or self._alone))
            self._many += 1
        try:
            yield
        finally:
            with self._turn:
                self._many -= 1
                self._turn.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._turn:
            self._asked += 1
            self._turn.wait_for(lambda: not (self._many or self._alone))
            self._asked -= 1
            self._alone = True
        try:
            yield
        finally:
            with self._turn:
                self._alone = False
                self._turn.notify_all()
