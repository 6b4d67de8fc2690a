"""A Zarr store that gives no chunk which would unpack to more than a chunk has: files come from anyone."""

from __future__ import annotations

from typing import Any, Self

from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import WrapperStore

_MAGIC = b"\x28\xb5\x2f\xfd"  # of a zstd frame (RFC 8878)


class Bounded(WrapperStore[Store]):
    """A store that is read.

    Attributes:
        most: bytes of a chunk.
    """

    def __init__(self, store: Store, most: int = 64 << 20) -> None:
        super().__init__(store)
        self.most = most

    def _with_store(self, store: Store) -> Self:
        return type(self)(store, self.most)

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        found = await super().get(key, prototype, byte_range)
        if found is not None and byte_range is None:
            self._require_bounded(key, bytes(memoryview(found.as_buffer_like())[:18]), len(found))
        return found

    def _require_bounded(self, key: str, first: bytes, length: int) -> None:
        if length > 2 * self.most:
            raise ValueError(f"{key} has {length} bytes, more than a chunk or a description can have")
        if first[:4] == _MAGIC:
            size = unpacked_bytes(first)
            if size is None or size > self.most:
                raise ValueError(f"{key} would unpack to {'an unknown number of' if size is None else size} bytes")


def unpacked_bytes(first: bytes) -> int | None:
    """The size of a zstd frame's content by its first 18 bytes; None where it does not say."""
    descriptor = first[4] if len(first) > 4 else 0
    single, flag = descriptor >> 5 & 1, descriptor >> 6
    if not single and not flag:
        return None
    length = (1, 2, 4, 8)[flag]
    start = 5 + (0 if single else 1) + (0, 1, 2, 4)[descriptor & 3]
    field: Any = first[start : start + length]
    if len(field) < length:
        return None
    return int.from_bytes(field, "little") + (256 if length == 2 else 0)
