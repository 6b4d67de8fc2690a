"""A tile's cells as files of a store: the chunks that it owns, and those of coarser levels that follow from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any

import numpy as np

from fullconv.results.chunks import Array, Chunks, Index, at_once, threads
from fullconv.results.encoding import encoded, fill_value
from fullconv.results.layout import beside
from fullconv.results.levels import Levels, Spot, name_of
from fullconv.results.record import Record
from fullconv.tiling.tiles import Tile

Timed = Callable[[str], AbstractContextManager[None]]
Sizes = dict[str, int]  # bytes of files, by key


class Tiled:
    """The arrays of a store, by tiles."""

    def __init__(self, record: Record, group: Any, write: Callable[[str, bytes | None], None], name: str) -> None:
        """``write`` puts a file of the store, or removes it (None); ``name`` is the store's."""

        def chunks(array: str) -> Chunks:
            return Chunks(group[f"{record.arrays}{array}"], f"{record.arrays}{array}", write)

        self._record = record
        levels = [chunks(name_of(level)) for level in range(_count(record, group))]
        self._scores = levels[0]
        self._beside = {each: chunks(each) for each in beside(record)}
        self.levels = Levels(levels, record.stored, name, record.score_kind)

    @cached_property
    def pool(self) -> ThreadPoolExecutor | None:
        """Threads that encode and write; None where there is one."""
        return ThreadPoolExecutor(threads(), "chunks") if threads() > 1 else None

    def keys(self, tile: Tile) -> Iterator[str]:
        """Keys of a tile's chunks."""
        for chunks in (self._scores, *self._beside.values()):
            yield from map(chunks.key, self._within(chunks, tile))

    def put(self, tile: Tile, scores: Array, values: Mapping[str, Array | None], timed: Timed) -> tuple[Sizes, Sizes]:
        """Write a tile.

        Args:
            scores: (classes, rows, cols).
            values: (rows, cols) of what is beside them, by name.
            timed: told which part is done within it.

        Returns:
            Bytes of its chunks, and of coarser ones that were made, by key.
        """
        first = self._first(tile)
        stored = np.dtype(self._record.stored)
        whole = scores if scores.dtype == stored else np.empty(scores.shape, stored)

        def put(at: Index) -> tuple[str, int]:
            box = tuple(
                slice(max(b.start - f, 0), b.stop - f) for b, f in zip(self._scores.box(at), (0, *first), strict=True)
            )
            if whole is not scores:
                whole[box] = encoded(scores[box], self._record.stored)
            return self._scores.put(at, self._scores.part(at, whole, (0, *first)))

        with timed("encode"):
            sizes = dict(at_once(self.pool, put, list(self._within(self._scores, tile))))
            for name, array in values.items():
                if array is not None:
                    chunks = self._beside[name]
                    sizes |= dict(chunks.put(at, chunks.part(at, array, first)) for at in self._within(chunks, tile))

        def piece(spot: Spot) -> Array:
            return self._scores.cells(self._column(spot), whole, (0, *first))

        return sizes, self._coarser(tile, piece, timed)

    def put_nothing(self, tile: Tile, timed: Timed) -> Sizes:
        """What follows from a tile that has no answer: its chunks are not stored. Bytes of coarser ones that were made, by key."""
        fill = np.array(fill_value(self._record.stored), self._record.stored)

        def piece(spot: Spot) -> Array:
            return np.broadcast_to(fill, tuple(side.stop - side.start for side in self._column(spot)))

        return self._coarser(tile, piece, timed)

    def _coarser(self, tile: Tile, piece: Callable[[Spot], Array], timed: Timed) -> Sizes:
        with timed("levels"):
            spots = {(at[1], at[2]) for at in self._within(self._scores, tile)}
            return self.levels.add(spots, piece, self.pool)

    def _column(self, spot: Spot) -> tuple[slice, ...]:
        """The chunks of all classes in one place."""
        return slice(0, self._scores.shape[0]), *self._scores.box((0, *spot))[1:]

    def _first(self, tile: Tile) -> tuple[int, int]:
        """The row and column of the arrays at which a tile begins."""
        down, along = self._record.tiles.lead
        return down + tile.y.cells[0], along + tile.x.cells[0]

    def _within(self, chunks: Chunks, tile: Tile) -> Iterator[Index]:
        """Indices of a tile's chunks."""
        sides = zip(self._first(tile), (tile.y.cells, tile.x.cells), strict=True)
        ranges = [(first, first + cells[1] - cells[0]) for first, cells in sides]
        return chunks.within(*(((0, chunks.shape[0]),) if len(chunks.shape) == 3 else ()), *ranges)


def _count(record: Record, group: Any) -> int:
    """Levels of a store, the finest too."""
    level = 1
    while f"{record.arrays}{name_of(level)}" in group:
        level += 1
    return level
