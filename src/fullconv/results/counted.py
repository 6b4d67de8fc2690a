"""An object store as a Zarr store that notes what is written through it."""

from __future__ import annotations

from typing import Any, Self

from zarr.core.buffer import Buffer
from zarr.storage import ObjectStore


class Counted(ObjectStore):  # type: ignore[type-arg]
    """An object store.

    Attributes:
        written: bytes of each key that was written through it; 0 of one that was removed.
    """

    def __init__(self, store: Any, *, read_only: bool = False) -> None:
        super().__init__(store, read_only=read_only)
        self.written: dict[str, int] = {}

    def with_read_only(self, read_only: bool = False) -> Self:
        made = type(self)(self.store, read_only=read_only)
        made.written = self.written
        return made

    async def set(self, key: str, value: Buffer) -> None:
        await super().set(key, value)
        self.written[key] = len(value)

    async def delete(self, key: str) -> None:
        await super().delete(key)
        self.written[key] = 0
