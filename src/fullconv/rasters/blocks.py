"""Images stored in blocks: whole blocks are decoded, on one grid, several side by side, and kept for the windows that share them (``kept.py``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import product
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.rasters.again import Again
from fullconv.rasters.kept import Kept, Key, Windows, block_bytes
from fullconv.rasters.source import Array, Source, Span, Window
from fullconv.system.parse import threads
from fullconv.system.processors import processors

LARGE = 8 << 20  # bytes of a block from which it is worth keeping, whatever it takes to decode it
_IN_WORK = (
    3  # copies of a block that a thread decodes: what it becomes, what that is made of, and what its library takes
)
_MOST_THREADS = 32


class Blocks:
    """A source that is read block by block, each once as long as it is kept.

    Where the source is ``parallel``, as many blocks are decoded side by side as there are processors, or as threads are allowed (``--threads``).

    Args:
        whole: each level is one block.
    """

    def __init__(self, source: Source, whole: bool = False) -> None:
        self._source = source
        about = source.about
        levels = [replace(each, tile=(each.height, each.width)) if whole else each for each in about.levels]
        self._kept = Kept(levels, about.pixel_bytes)
        once = tuple(replace(each, once=all_) for each, all_ in zip(levels, self._kept.whole, strict=True))
        self._threads = min(threads() or processors(), _MOST_THREADS) if about.parallel else 1
        self._pool: ThreadPoolExecutor | None = None
        in_work = max(self._kept.each) * (_IN_WORK * self._threads if about.parallel else 1)
        self.about = replace(about, held=about.held + self._kept.room + in_work, levels=once, in_rows=False)
        self._lock = Lock()
        self._again = Again()

    def room_beside(self, level: int, windows: Windows) -> int:
        """Bytes beside those of ``about.held`` that ``follow`` takes."""
        return max(0, self._kept.room_for(level, windows) - self._kept.room)

    def follow(self, level: int, windows: Windows) -> None:
        """Decode no block twice for these windows."""
        self._kept.follow(level, windows)

    def read(self, level: int, rows: Span, cols: Span, bands: Sequence[int]) -> Window:
        into = _Canvas(rows, cols, bool(self.about.alpha), self._again)
        missing, waited = [], []
        edge, last = self._kept.turned_to(level, rows, cols)
        keys = self._keys(level, rows, cols, tuple(bands))
        for key, found in zip(keys, self._kept.found(keys), strict=True):
            if found is None:
                missing.append(key)
            elif found.done():
                into.lay(found.result(), key[1], key[2])
            else:  # another window's thread decodes it
                waited.append(key)

        def decode(key: Key) -> None:
            into.lay(self._block(key) if key[2] >= last or key[1] >= edge else self._decoded(key), key[1], key[2])

        self._side_by_side(missing, decode)
        for key in waited:
            into.lay(self._block(key), key[1], key[2])
        return into.window()

    def _keys(self, level: int, rows: Span, cols: Span, bands: tuple[int, ...]) -> list[Key]:
        high, across = self.about.levels[level].tile
        corners = product(
            range(rows[0] // high * high, rows[1], high), range(cols[0] // across * across, cols[1], across)
        )
        return [(level, top, left, bands) for top, left in corners]

    def _side_by_side(self, keys: list[Key], do: Callable[[Key], None]) -> None:
        """Do all, by this thread and those of the pool; what went wrong first, in the order given, is raised once all have ended."""
        waiting, failed = iter(enumerate(keys)), dict[int, BaseException]()
        doing = [
            do
        ]  # emptied at the end: a helper without a turn waits on in the pool's queue, and would hold the window's memory

        def work() -> None:
            while not failed:
                with self._lock:
                    at = next(waiting, None)
                if at is None:
                    return
                try:
                    doing[0](at[1])
                except BaseException as error:
                    failed[at[0]] = error

        helpers = [self._started().submit(work) for _ in range(min(self._threads, len(keys)) - 1)]
        work()
        for helper in helpers:
            if not helper.cancel():  # one that had no turn is not waited for
                helper.result()
        doing.clear()
        if failed:
            raise failed[min(failed)]

    def _started(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="fullconv-decode")
            return self._pool

    def _block(self, key: Key) -> Window:
        """A block to be kept: the one that is, or that another thread decodes, or one that is decoded now."""
        found, is_own = self._kept.taken(key)
        if not is_own:
            return found.result()
        try:
            block = self._decoded(key)
        except BaseException as error:
            self._kept.lost(key, found)
            found.set_exception(error)
            raise
        found.set_result(block)
        return block

    def _decoded(self, key: Key) -> Window:
        level, top, left, bands = key
        at = self.about.levels[level]
        high, across = at.tile
        return self._source.read(level, (top, min(top + high, at.height)), (left, min(left + across, at.width)), bands)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
        self._kept.clear()
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
        height, width, _ = block.pixels.shape
        y = max(self._rows[0], top), min(self._rows[1], top + height)
        x = max(self._cols[0], left), min(self._cols[1], left + width)
        into = slice(y[0] - self._rows[0], y[1] - self._rows[0]), slice(x[0] - self._cols[0], x[1] - self._cols[0])
        part = slice(y[0] - top, y[1] - top), slice(x[0] - left, x[1] - left)
        covered = self._covered and block.cover is not None
        pixels, cover = self._pixels, self._cover
        if pixels is None or (covered and cover is None):
            pixels, cover = self._made(block, covered)
        pixels[into] = block.pixels[part]
        if covered:
            assert cover is not None, "it was made just now"
            assert block.cover is not None, "it covers"
            cover[into] = block.cover[part]

    def _made(self, block: Window, covered: bool) -> tuple[Array, npt.NDArray[np.uint8] | None]:
        """Memory for the window, and for what covers it, if none was made yet."""
        shape = self._rows[1] - self._rows[0], self._cols[1] - self._cols[0]
        with self._lock:
            if (
                self._pixels is None
            ):  # as the library lays it out, bands apart or beside each other: else copies take long
                laid = sorted(range(3), key=lambda axis: -abs(block.pixels.strides[axis]))
                self._pixels = self._again.empty((*shape, block.pixels.shape[2]), block.pixels.dtype, laid)
            if covered and self._cover is None:
                self._cover = np.full(shape, 255, np.uint8)
            return self._pixels, self._cover

    def window(self) -> Window:
        assert self._pixels is not None, "a window has a block"
        return Window(self._pixels, self._cover)


def are_large(source: Source) -> bool:
    """Whether a block of a source is so large that windows should share it."""
    about = source.about
    return any(block_bytes(each.tile, each, about.pixel_bytes) > LARGE for each in about.levels)


def are_packed(source: Source) -> bool:
    """Whether a source's blocks are decoded, and may be side by side."""
    about: Any = source.about
    return about.parallel and any(each.tile != (1, 1) for each in about.levels)
