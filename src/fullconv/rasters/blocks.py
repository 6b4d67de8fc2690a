"""Images stored in blocks: whole blocks are decoded, on one grid, several side by side, and kept for the windows that share them.

A map's tiles follow each other from left to right, and each shares the columns at its right end with the next. So of a window that has more
blocks than are kept, those of its last columns are. Its last row is shared with the tile below, which comes when all of its own row have been: blocks of it are kept
as well where a whole row of the image's has room.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import product
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.rasters.again import Again
from fullconv.rasters.source import Array, Level, Source, Span, Window
from fullconv.system.parse import threads
from fullconv.system.processors import processors

_KEPT = 32 << 20  # bytes of blocks that are kept, and four blocks at least
_LEAST = 4
LARGE = 8 << 20  # bytes of a block from which it is worth keeping, whatever it takes to decode it
_IN_WORK = (
    3  # copies of a block that a thread decodes: what it becomes, what that is made of, and what its library takes
)
_MOST_THREADS = 32

Key = tuple[int, int, int, tuple[int, ...]]  # level, row and column of its first pixel, bands


class Blocks:
    """A source that is read block by block, each once as long as it is kept.

    Where the source is ``parallel``, as many blocks are decoded side by side as there are processors, or as threads are allowed (``--threads``).

    Args:
        whole: each level is one block.
    """

    def __init__(self, source: Source, whole: bool = False) -> None:
        self._source = source
        about = source.about
        self._tiles = [(each.height, each.width) if whole else each.tile for each in about.levels]
        sizes = [
            _block_bytes(tile, each, about.pixel_bytes) for tile, each in zip(self._tiles, about.levels, strict=True)
        ]
        wholes = [
            size * -(-each.height // tile[0]) * -(-each.width // tile[1])
            for size, tile, each in zip(sizes, self._tiles, about.levels, strict=True)
        ]
        self._room = max(min(all_, max(_LEAST * size, _KEPT)) for size, all_ in zip(sizes, wholes, strict=True))
        levels = tuple(
            replace(each, tile=tile, once=all_ <= self._room)
            for each, tile, all_ in zip(about.levels, self._tiles, wholes, strict=True)
        )
        self._threads = min(threads() or processors(), _MOST_THREADS) if about.parallel else 1
        self._pool: ThreadPoolExecutor | None = None
        in_work = max(sizes) * (_IN_WORK * self._threads if about.parallel else 1)
        self.about = replace(about, held=about.held + self._room + in_work, levels=levels, in_rows=False)
        self._lock = Lock()
        self._again = Again()
        self._kept: OrderedDict[Key, Future[Window]] = OrderedDict()
        self._below: OrderedDict[Key, Future[Window]] = OrderedDict()  # of the last row of the windows that are read
        self._above: OrderedDict[Key, Future[Window]] = OrderedDict()  # of the last row of those before: their first
        self._edge = (0, -1)  # level and first pixel of the row that is kept for the windows below
        self._bytes = 0

    def read(self, level: int, rows: Span, cols: Span, bands: Sequence[int]) -> Window:
        into = _Canvas(rows, cols, bool(self.about.alpha), self._again)
        missing, waited = [], []
        edge, last = self._turned_to(level, rows, cols)
        for top, left in self._corners(level, rows, cols):
            key = level, top, left, tuple(bands)
            with self._lock:
                found = self._found(key)
            if found is None:
                missing.append(key)
            elif found.done():
                into.lay(found.result(), top, left)
            else:  # another window's thread decodes it
                waited.append(key)
        self._side_by_side(
            missing, lambda key: into.lay(self._block(key, key[2] >= last or key[1] == edge), key[1], key[2])
        )
        for key in waited:
            into.lay(self._block(key, True), key[1], key[2])
        return into.window()

    def _corners(self, level: int, rows: Span, cols: Span) -> Iterator[tuple[int, int]]:
        high, across = self._tiles[level]
        return product(range(rows[0] // high * high, rows[1], high), range(cols[0] // across * across, cols[1], across))

    def _turned_to(self, level: int, rows: Span, cols: Span) -> tuple[int, int]:
        """Make ready for a window: the row (-1 for none) of which, and the column from which on its blocks are kept."""
        (high, across), about = self._tiles[level], self.about.levels[level]
        each = _block_bytes((high, across), about, self.about.pixel_bytes)
        column, row = (-(-rows[1] // high) - rows[0] // high) * each, -(-about.width // across) * each
        fits, at_end = not about.once and row + 2 * column <= self._room, rows[1] == about.height
        edge = (rows[1] - 1) // high * high if fits and not at_end else -1
        with self._lock:
            if fits and (level, edge) != self._edge:
                self._let_go(self._above, len(self._above))
                self._edge, self._above, self._below = (level, edge), self._below, OrderedDict()
            self._let_go(self._above, sum(key[2] + across <= cols[0] for key in self._above))
            held = sum(map(self._size, (*self._above, *self._below)))
        room = self._room - max(held, row if edge >= 0 else 0)
        return edge, -(-cols[1] // across) * across - max(1, room // column) * across

    def _found(self, key: Key) -> Future[Window] | None:
        """A block that is kept, or is being decoded to be; under the lock."""
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
            return found
        return self._above.get(key) or self._below.get(key)

    def _let_go(self, kept: OrderedDict[Key, Future[Window]], count: int) -> None:
        """Of the blocks that came first; under the lock."""
        for _ in range(count):
            self._bytes -= self._size(kept.popitem(last=False)[0])

    def _side_by_side(self, keys: list[Key], do: Callable[[Key], None]) -> None:
        """Do all, by this thread and those of the pool; what went wrong first, in the order given, is raised once all have ended."""
        waiting, failed = iter(enumerate(keys)), dict[int, BaseException]()

        def work() -> None:
            while not failed:
                with self._lock:
                    at = next(waiting, None)
                if at is None:
                    return
                try:
                    do(at[1])
                except BaseException as error:
                    failed[at[0]] = error

        helpers = [self._started().submit(work) for _ in range(min(self._threads, len(keys)) - 1)]
        work()
        for helper in helpers:
            if not helper.cancel():  # one that had no turn is not waited for
                helper.result()
        if failed:
            raise failed[min(failed)]

    def _started(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="fullconv-decode")
            return self._pool

    def _block(self, key: Key, keep: bool) -> Window:
        """A block: the one that is kept, or that another thread decodes, or one that is decoded now."""
        with self._lock:
            found = self._found(key)
            if found is None and keep:
                kept = self._below if key[:2] == self._edge else self._kept
                own = kept[key] = Future()
                self._bytes += self._size(key)
                self._forget()
        if found is not None:
            return found.result()
        if not keep:
            return self._decoded(key)
        try:
            block = self._decoded(key)
        except BaseException as error:
            with self._lock:
                for kept in (self._kept, self._above, self._below):
                    if kept.get(key) is own:
                        del kept[key]
                        self._bytes -= self._size(key)
            own.set_exception(error)
            raise
        own.set_result(block)
        return block

    def _forget(self) -> None:
        """Let go of what was used longest ago, until what is left has room; what the next row of windows awaits goes last."""
        for kept, least in ((self._kept, 1), (self._above, 0), (self._below, 1)):
            while self._bytes > self._room and len(kept) > least:
                self._let_go(kept, 1)

    def _size(self, key: Key) -> int:
        level = key[0]
        return _block_bytes(self._tiles[level], self.about.levels[level], self.about.pixel_bytes)

    def _decoded(self, key: Key) -> Window:
        level, top, left, bands = key
        at, (high, across) = self.about.levels[level], self._tiles[level]
        return self._source.read(level, (top, min(top + high, at.height)), (left, min(left + across, at.width)), bands)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
        for kept in (self._kept, self._above, self._below):
            kept.clear()
        self._bytes = 0
        self._source.close()


class _Canvas:
    """A window that is put together of blocks, by several threads."""

    def __init__(self, rows: Span, cols: Span, covered: bool, again: Again) -> None:
        self._rows, self._cols, self._covered, self._again = rows, cols, covered, again
        self._pixels: Array | None = None
        self._cover: npt.NDArray[np.uint8] | None = None  # none as long as all of all pixels is there
        self._lock = Lock()

    def lay(self, block: Window, top: int, left: int) -> None:
        """Lay a block, whose first pixel is at (top, left) of the image, into the window."""
        height, width, bands = block.pixels.shape
        y = max(self._rows[0], top), min(self._rows[1], top + height)
        x = max(self._cols[0], left), min(self._cols[1], left + width)
        into = slice(y[0] - self._rows[0], y[1] - self._rows[0]), slice(x[0] - self._cols[0], x[1] - self._cols[0])
        part = slice(y[0] - top, y[1] - top), slice(x[0] - left, x[1] - left)
        covered = self._covered and block.cover is not None
        shape = self._rows[1] - self._rows[0], self._cols[1] - self._cols[0]
        with self._lock:
            if (
                self._pixels is None
            ):  # in memory as the library lays it out, bands apart or beside each other: else copies take long
                laid = sorted(range(3), key=lambda axis: -abs(block.pixels.strides[axis]))
                self._pixels = self._again.empty((*shape, bands), block.pixels.dtype, laid)
            if covered and self._cover is None:
                self._cover = np.full(shape, 255, np.uint8)
        self._pixels[into] = block.pixels[part]
        if covered:
            assert self._cover is not None, "it was made just now"
            assert block.cover is not None, "it covers"
            self._cover[into] = block.cover[part]

    def window(self) -> Window:
        assert self._pixels is not None, "a window has a block"
        return Window(self._pixels, self._cover)


def _block_bytes(tile: tuple[int, int], level: Level, pixel: int) -> int:
    return min(tile[0], level.height) * min(tile[1], level.width) * pixel


def are_large(source: Source) -> bool:
    """Whether a block of a source is so large that windows should share it."""
    about = source.about
    return any(_block_bytes(each.tile, each, about.pixel_bytes) > LARGE for each in about.levels)


def are_packed(source: Source) -> bool:
    """Whether a source's blocks are decoded, and may be side by side."""
    about: Any = source.about
    return about.parallel and any(each.tile != (1, 1) for each in about.levels)
