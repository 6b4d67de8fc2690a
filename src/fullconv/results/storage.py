"""Where a result lies: what a store needs of a disk or an object store beside its chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from fullconv.errors import BadInput

WORK = ".fullconv"  # folder of the marks and the lock of a run, gone when it is finished


class Full(BadInput):
    """The disk is full."""


class Storage(Protocol):
    """A place for one result."""

    name: str

    def exists(self) -> bool:
        """Whether anything is there."""

    def zarr(self, read_only: bool = False) -> Any:
        """The Zarr store."""

    def create(self, build: Callable[[Any], None]) -> None:
        """Let ``build`` fill a new Zarr store, which is there whole or not at all; replaces what was there."""

    def settle(self, keys: Iterable[str]) -> None:
        """Return when these keys of the store would outlive a power cut."""

    def mark(self, name: str, text: str) -> None:
        """Note that a tile is done; what it marks has settled."""

    def mark_of(self, name: str) -> str | None:
        """What is remembered of a tile that is done, None of one that is not."""

    def marks(self) -> Mapping[str, str]:
        """Every mark, with its text."""

    def clear(self) -> None:
        """Remove the marks, and what broken writes left."""

    def lock(self) -> AbstractContextManager[None]:
        """Keep other processes from writing; BadInput where one does."""
