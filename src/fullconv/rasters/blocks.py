"""Images stored in large blocks, or whose reader answers differently from block to block: whole blocks are read, on one grid, and kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fullconv.rasters.source import Level, Source, Span, Window

_KEPT = 64 << 20  # bytes of blocks that are kept, and four blocks at least
_LEAST = 4
LARGE = 8 << 20  # bytes of a block from which it is worth keeping


class Blocks:
    """A source that is read block by block, each once as long as it is kept.

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
        counts = [
            -(-each.height // tile[0]) * -(-each.width // tile[1])
            for tile, each in zip(self._tiles, about.levels, strict=True)
        ]
        self._most = [min(count, max(_LEAST, _KEPT // size)) for size, count in zip(sizes, counts, strict=True)]
        kept = max(most * size for most, size in zip(self._most, sizes, strict=True))
        levels = tuple(
            replace(each, tile=(1, 1)) if most == count else each  # no pixel is decoded twice
            for each, most, count in zip(about.levels, self._most, counts, strict=True)
        )
        self.about = replace(
            about, held=about.held + kept + max(sizes), levels=levels, in_rows=False
        )  # and one that is decoded
        self._kept: OrderedDict[tuple[int, int, int, tuple[int, ...]], Window] = OrderedDict()

    def read(self, level: int, rows: Span, cols: Span, bands: Sequence[int]) -> Window:
        high, across = self._tiles[level]
        out = np.empty((rows[1] - rows[0], cols[1] - cols[0], len(bands)), self.about.dtype)
        cover = np.empty(out.shape[:2], np.uint8) if self.about.alpha else None
        for top in range(rows[0] // high * high, rows[1], high):
            for left in range(cols[0] // across * across, cols[1], across):
                block = self._block(level, top, left, tuple(bands))
                y = max(rows[0], top), min(rows[1], top + len(block.pixels))
                x = max(cols[0], left), min(cols[1], left + block.pixels.shape[1])
                into = slice(y[0] - rows[0], y[1] - rows[0]), slice(x[0] - cols[0], x[1] - cols[0])
                part = slice(y[0] - top, y[1] - top), slice(x[0] - left, x[1] - left)
                out[into] = block.pixels[part]
                if cover is not None:
                    cover[into] = 255 if block.cover is None else block.cover[part]
        return Window(out, cover)

    def _block(self, level: int, top: int, left: int, bands: tuple[int, ...]) -> Window:
        key = level, top, left, bands
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        while len(self._kept) >= self._most[level]:
            self._kept.popitem(last=False)
        at, (high, across) = self.about.levels[level], self._tiles[level]
        rows, cols = (top, min(top + high, at.height)), (left, min(left + across, at.width))
        self._kept[key] = self._source.read(level, rows, cols, bands)
        return self._kept[key]

    def close(self) -> None:
        self._kept.clear()
        self._source.close()


def _block_bytes(tile: tuple[int, int], level: Level, pixel: int) -> int:
    return min(tile[0], level.height) * min(tile[1], level.width) * pixel


def are_large(source: Source) -> bool:
    """Whether a block of a source is so large that windows should share it."""
    about = source.about
    return any(_block_bytes(each.tile, each, about.pixel_bytes) > LARGE for each in about.levels)
