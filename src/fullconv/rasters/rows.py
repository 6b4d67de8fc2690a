"""Images stored row after row: a band of rows is read once and cut into the windows of a row of tiles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fullconv.rasters.source import Array, Source, Span, Unreadable, Window

_STEP = 64  # rows that are read at once


class Rows:
    """A source that keeps the band of whole rows last read; rows that the next band shares are not read again."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.about = source.about
        self._at = (0, 0)
        self._of: tuple[int, ...] = ()
        self._band: Array | None = None
        self._cover: Array | None = None

    def read(self, level: int, rows: Span, cols: Span, bands: Sequence[int]) -> Window:
        if level:
            return self._source.read(level, rows, cols, bands)
        if self._band is None or not (self._at[0] <= rows[0] and rows[1] <= self._at[1]) or self._of != tuple(bands):
            try:
                self._next(rows, tuple(bands))
            except Unreadable:
                self._band = None  # half of it is read
                raise
        assert self._band is not None, "the band was read"
        top = rows[0] - self._at[0]
        part = slice(top, top + rows[1] - rows[0]), slice(*cols)
        # A copy: the band is written over by the next one, and whoever asked for this window may read it later.
        return Window(self._band[part].copy(), None if self._cover is None else self._cover[part].copy())

    def _next(self, rows: Span, bands: tuple[int, ...]) -> None:
        """Read the band of these rows: what the last one shares is moved to its top, the rest is read a few rows at a time, so that one
        band is in memory and no more."""
        first, last = self._at
        shared = last - rows[0] if self._band is not None and self._of == bands and first <= rows[0] < last else 0
        width = self.about.levels[0].width
        self._band = _moved(self._band, (rows[1] - rows[0], width, len(bands)), self.about.dtype, shared)
        if self.about.alpha:
            self._cover = _moved(self._cover, (rows[1] - rows[0], width), "uint8", shared)
        strip = self.about.levels[0].tile[0]
        step = -(-_STEP // strip) * strip  # whole strips, of which none is decoded twice for one band
        for row in range((rows[0] + shared) // step * step, rows[1], step):
            part = max(row, rows[0] + shared), min(row + step, rows[1])
            into = slice(part[0] - rows[0], part[1] - rows[0])
            self._band[into], cover = self._source.read(0, part, (0, width), bands)
            if self._cover is not None:
                self._cover[into] = 255 if cover is None else cover
        self._at, self._of = rows, bands

    def close(self) -> None:
        self._band = self._cover = None
        self._source.close()


def _moved(old: Array | None, shape: tuple[int, ...], dtype: str, shared: int) -> Array:
    """An array of this shape whose first rows are the last of the old one."""
    if old is None or old.shape != shape:
        band: Array = np.empty(shape, dtype)
        if old is not None and shared:
            band[:shared] = old[len(old) - shared :]
        return band
    if shared:
        old[:shared] = old[len(old) - shared :].copy()
    return old
