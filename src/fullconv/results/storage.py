"""Where a result lies: what a store needs of a disk or an object store beside its chunks.

Every run has an id, made with its store. All that a run writes carries it, so that what is left of an older run (a process that
was stopped and wakes up, a worker that nobody awaits any more) writes nothing that counts: on a disk its files find no way to
their place, in an object store they lie where nothing reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from secrets import token_hex
from typing import Any, Protocol

from fullconv.errors import BadInput

WORK = ".fullconv"  # folder of what runs note for themselves, gone when they are finished
ROOT = ("0", "levels", "top1", "x", "y", "zarr.json")  # what else a result in a folder may hold at its top


class Full(BadInput):
    """The disk is full."""


class Replaced(BadInput):
    """The result of a run is gone: removed, or another run's now."""


def new_run() -> str:
    """An id of a run."""
    return token_hex(8)


class Storage(Protocol):
    """A place for one result."""

    name: str

    def exists(self) -> bool:
        """Whether anything is there."""

    def arrays(self, run: str) -> str:
        """What the names of a run's arrays begin with, within the group."""

    def zarr(self) -> Any:
        """The Zarr store, to be read from."""

    def put(self, run: str, key: str, data: bytes | None) -> None:
        """Write a file of the store, whole or not at all, or remove it (None); by any thread.

        Raises:
            Replaced: what is there is not this run's.
        """

    def create(self, run: str, files: Mapping[str, bytes]) -> None:
        """A new result of these files, there whole or not at all; replaces what was there."""

    def resume(self, run: str, files: Mapping[str, bytes]) -> None:
        """Make ready to go on: put back what is missing of these files, and of what the run notes for itself."""

    def require(self, run: str) -> None:
        """Replaced where what is there is not this run's."""

    def commit(self, run: str, root: bytes) -> None:
        """Write the group's own file, whole or not at all.

        Raises:
            Replaced: what is there is not this run's.
        """

    def restate(self, root: bytes) -> None:
        """Write the group's own file of a result that is finished, whole or not at all."""

    def settle(self, keys: Iterable[str]) -> None:
        """Return when these keys of the store would outlive a power cut."""

    def sizes(self, run: str) -> Callable[[str], int]:
        """Bytes of a key of the store as it is now, 0 where it is not there."""

    def mark(self, run: str, texts: Mapping[str, str]) -> None:
        """Note that tiles are done, with a text of each; what they mark has settled.

        Raises:
            Replaced: what is there is not this run's.
        """

    def mark_of(self, run: str, name: str) -> str | None:
        """What is remembered of a tile that is done, None of one that is not."""

    def marks(self, run: str) -> Mapping[str, str]:
        """Every mark, with its text."""

    def clear(self, run: str) -> None:
        """Remove the marks, and what broken writes and older runs left."""

    def tidy(self) -> None:
        """Remove what is left of the marks of a run that was killed behind its end."""

    def lock(self) -> AbstractContextManager[Callable[[], None]]:
        """Keep other processes from writing; BadInput where one does. What it gives raises BadInput once the lock is lost."""
