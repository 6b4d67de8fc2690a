"""Parts of an array as the files of its chunks: the bytes that zarr writes, by any number of threads at once.

Zarr hands every chunk to a loop of its own and back, which takes longer than a chunk of a few cells does; and it writes one array's
chunks one call at a time. A tile owns whole chunks, so that none is read before it is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.system.processors import processors

Array = npt.NDArray[Any]
Index = tuple[int, ...]
LEVEL = 1  # of zstd


def threads() -> int:
    """How many encode at once: half of the processors, since an engine has them too."""
    return max(1, min(8, processors() // 2))


@dataclass(frozen=True)
class Chunks:
    """The chunks of one array.

    Attributes:
        array: a Zarr array, little-endian and compressed by zstd with a checksum.
        name: its name within the store.
        write: puts a file of the store, or removes it (None).
    """

    array: Any
    name: str
    write: Callable[[str, bytes | None], None]

    @cached_property
    def shape(self) -> Index:
        return tuple(self.array.shape)

    @cached_property
    def sides(self) -> Index:
        """Of a chunk."""
        return tuple(self.array.chunks)

    @cached_property
    def counts(self) -> Index:
        """Chunks along each axis."""
        return tuple(-(-length // side) for length, side in zip(self.shape, self.sides, strict=True))

    def key(self, at: Index) -> str:
        return f"{self.name}/{self.array.metadata.encode_chunk_key(at)}"

    def within(self, *ranges: tuple[int, int]) -> Iterator[Index]:
        """Indices of the chunks that lie in these ranges, one an axis."""
        return product(*(range(a // side, -(-b // side)) for (a, b), side in zip(ranges, self.sides, strict=True)))

    def box(self, at: Index) -> tuple[slice, ...]:
        """Where a chunk lies in the array."""
        ends = zip(at, self.sides, self.shape, strict=True)
        return tuple(slice(i * side, min((i + 1) * side, length)) for i, side, length in ends)

    def part(self, at: Index, values: Array, first: Index) -> Array:
        """The cells of a chunk, as many as the array has there, from values that begin at ``first``; filled where these have none."""
        return self.cells(self.box(at), values, first)

    def cells(self, box: tuple[slice, ...], values: Array, first: Index) -> Array:
        """The same for any part of the array."""
        inside = tuple(slice(max(b.start - f, 0), max(b.stop - f, 0)) for b, f in zip(box, first, strict=True))
        own = values[inside]
        if own.shape == (shape := tuple(b.stop - b.start for b in box)):
            return own
        whole = np.full(shape, self.array.fill_value, self.array.dtype)
        offsets = (max(f - b.start, 0) for b, f in zip(box, first, strict=True))
        whole[tuple(slice(at, at + length) for at, length in zip(offsets, own.shape, strict=True))] = own
        return whole

    def put(self, at: Index, cells: Array) -> tuple[str, int]:
        """Write a chunk of these cells, of the array's type; one of fill values alone is not stored. Its key, and its bytes."""
        key, data = self.key(at), None if self._is_empty(cells) else self._encoded(cells)
        self.write(key, data)
        return key, len(data or b"")

    def _encoded(self, cells: Array) -> bytes:
        if cells.shape != self.sides:  # at the array's end
            whole = np.full(self.sides, self.array.fill_value, cells.dtype)
            whole[tuple(slice(0, length) for length in cells.shape)] = cells
            cells = whole
        from numcodecs.zstd import Zstd

        little = np.ascontiguousarray(cells, cells.dtype.newbyteorder("<"))
        return bytes(Zstd(level=LEVEL, checksum=True).encode(little))

    def _is_empty(self, cells: Array) -> bool:
        fill = self.array.fill_value
        if cells.dtype.kind == "f" and np.isnan(fill):
            return bool(np.isnan(cells).all())
        return bool((cells == fill).all())


def at_once(pool: ThreadPoolExecutor | None, work: Any, items: Sequence[Any]) -> list[Any]:
    """``work`` of each item, in order; by the pool's threads where there is one."""
    if pool is None or len(items) < 2:
        return [work(item) for item in items]
    return list(pool.map(work, items))
