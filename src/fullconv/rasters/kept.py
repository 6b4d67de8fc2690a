"""Which blocks of an image are kept: those that windows to come share with the one that is read.

A map's tiles follow each other from left to right, and each shares the columns at its right end with the next. So of a window that has more
blocks than are kept, those of its last columns are. Its last rows are shared with the tile below, which comes when all of its own row have been: blocks of them are
kept as well where whole rows of the image's have room. Which rows and columns those are follows from the windows to come, where these are known; else one row of
blocks is kept, and as many columns as there is room for. Tiles that keep their network's rows follow each other downwards, band by band: of their windows, which are known, the last rows are kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from threading import Lock

from fullconv.rasters.source import Level, Span, Window

KEPT = 32 << 20  # bytes of blocks that are kept, and four blocks at least
_LEAST = 4

Key = tuple[int, int, int, tuple[int, ...]]  # level, row and column of a block's first pixel, bands
_Blocks = OrderedDict[Key, "Future[Window]"]


@dataclass(frozen=True)
class Windows:
    """All windows that are to come: of these rows and columns, row by row, or downwards, band by band."""

    rows: Sequence[Span]
    cols: Sequence[Span]
    down: bool = False

    @cached_property
    def below(self) -> dict[int, int]:
        """Where the window below one begins, by where that one ends."""
        return {one[1]: two[0] for one, two in pairwise(self.rows)}

    @cached_property
    def right(self) -> dict[int, int]:
        """The same of the window to the right."""
        return {one[1]: two[0] for one, two in pairwise(self.cols)}


class Kept:
    """Blocks that were decoded, or are being; for any number of threads.

    Args:
        levels: of the image, each with its blocks' size.
        pixel: bytes of a pixel.
    """

    def __init__(self, levels: Sequence[Level], pixel: int) -> None:
        self._levels = levels
        self.each = [block_bytes(each.tile, each, pixel) for each in levels]
        self._rows = [-(-each.width // each.tile[1]) * size for each, size in zip(levels, self.each, strict=True)]
        wholes = [-(-each.height // each.tile[0]) * row for each, row in zip(levels, self._rows, strict=True)]
        self.room = max(min(all_, max(_LEAST * size, KEPT)) for size, all_ in zip(self.each, wholes, strict=True))
        self.whole = tuple(all_ <= self.room for all_ in wholes)  # levels of which every block is kept
        self.bytes = 0
        self._lock = Lock()
        self._last: _Blocks = OrderedDict()  # of the last columns, and of windows anywhere
        self._below: _Blocks = OrderedDict()  # of the last rows of the windows that are read
        self._above: _Blocks = OrderedDict()  # of the last rows of those before: their first
        self._edge = (-1, 0)  # level (-1: none yet) and first pixel of the rows that are kept for the windows below
        self._known: tuple[int, Windows] | None = None  # level, and the windows of it that are to come

    def __len__(self) -> int:
        return len(self._last) + len(self._above) + len(self._below)

    def room_for(self, level: int, windows: Windows) -> int:
        """Bytes to be kept so that these windows decode no block twice; in bands, so that one band's do not."""
        if self.whole[level]:
            return self.room
        high, across = self._levels[level].tile
        rows, cols = windows.rows, windows.cols
        below, right = (_most(_shared(spans, side)) for spans, side in ((rows, high), (cols, across)))
        tall, wide = (_most(_touched(*span, side) for span in spans) for spans, side in ((rows, high), (cols, across)))
        if windows.down:
            return 2 * below * wide * self.each[level]
        return below * (self._rows[level] + wide * self.each[level]) + max(2, right) * tall * self.each[level]

    def follow(self, level: int, windows: Windows) -> None:
        """Keep what these windows share: there is room."""
        self.room = max(self.room, self.room_for(level, windows))
        self._known = level, windows

    def turned_to(self, level: int, rows: Span, cols: Span) -> tuple[int, int]:
        """Make ready for a window: the row (the image's end for none) and the column from which on its blocks are kept."""
        about, each = self._levels[level], self.each[level]
        high, across = about.tile
        beside = self._known is not None and self._known[0] != level  # of another level, in between
        known = None if self._known is None or beside else self._known[1]
        down = known is not None and known.down
        column = _touched(*rows, high) * each
        begins = rows[1] - 1 if known is None else known.below.get(rows[1], rows[1] - 1)
        edge = begins // high * high
        lines = max(0, _touched(begins, rows[1], high)) * (
            _touched(*cols, across) * each if down else self._rows[level]
        )
        fits = not (self.whole[level] or beside) and lines + (lines if down else 2 * column) <= self.room
        if rows[1] == about.height or not fits:
            edge, lines = about.height, 0
        with self._lock:
            if fits and (level, edge) != self._edge:
                self._drop(self._above, list(self._above))
                self._edge, self._above, self._below = (level, edge), self._below, OrderedDict()
            self._drop(self._above, [key for key in self._above if key[2] + across <= cols[0]])
            held = sum(self.each[key[0]] for kept in (self._above, self._below) for key in kept)
        if self.whole[level]:  # every block has room
            return edge, 0
        if down:
            return edge, about.width
        if known is not None and cols[1] in known.right:
            return edge, known.right[cols[1]] // across * across
        columns = max(1, (self.room - max(held, lines)) // column)
        return edge, -(-cols[1] // across) * across - columns * across

    def found(self, keys: Iterable[Key]) -> list[Future[Window] | None]:
        """The blocks that are kept, or are being decoded to be."""
        with self._lock:
            return [self._found(key) for key in keys]

    def taken(self, key: Key) -> tuple[Future[Window], bool]:
        """A block that is kept; or a place for it, and that it is for the caller to fill it."""
        with self._lock:
            found = self._found(key)
            if found is not None:
                return found, False
            kept = self._below if self._is_below(key) else self._last
            own = kept[key] = Future()
            self.bytes += self.each[key[0]]
            self._forget()
            return own, True

    def lost(self, key: Key, own: Future[Window]) -> None:
        """A block did not decode."""
        with self._lock:
            for kept in (self._last, self._above, self._below):
                if kept.get(key) is own:
                    self._drop(kept, [key])

    def clear(self) -> None:
        """Keep nothing."""
        with self._lock:
            for kept in (self._last, self._above, self._below):
                self._drop(kept, list(kept))

    def _found(self, key: Key) -> Future[Window] | None:
        found = self._last.get(key)
        if found is not None:
            self._last.move_to_end(key)
            return found
        found = self._above.get(key)
        if found is not None and self._is_below(key):  # shared by three rows of windows
            self._below[key] = self._above.pop(key)
        return found or self._below.get(key)

    def _is_below(self, key: Key) -> bool:
        return key[0] == self._edge[0] and key[1] >= self._edge[1]

    def _forget(self) -> None:
        """Let go of what was used longest ago, until what is left has room; what the next row of windows awaits goes last."""
        for kept, least in ((self._last, 1), (self._above, 0), (self._below, 1)):
            while self.bytes > self.room and len(kept) > least:
                self._drop(kept, [next(iter(kept))])

    def _drop(self, kept: _Blocks, keys: list[Key]) -> None:
        for key in keys:
            del kept[key]
            self.bytes -= self.each[key[0]]


def block_bytes(tile: tuple[int, int], level: Level, pixel: int) -> int:
    """Of a block of a level."""
    return min(tile[0], level.height) * min(tile[1], level.width) * pixel


def _touched(first: int, end: int, side: int) -> int:
    """How many blocks hold [first, end)."""
    return -(-end // side) - first // side


def _shared(spans: Sequence[Span], side: int) -> Iterable[int]:
    """How many blocks each span has that the next has too."""
    return (max(0, _touched(two[0], one[1], side)) for one, two in pairwise(spans))


def _most(counts: Iterable[int]) -> int:
    return max(counts, default=0)
