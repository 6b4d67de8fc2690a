"""Images stored row after row: a band of rows is read once and cut into the windows of a row of tiles."""

from __future__ import annotations

import numpy as np

from fullconv.rasters.source import Array, Source, Unreadable

_STEP = 64  # rows that are read at once


class Rows:
    """A source that keeps the band of whole rows last read; rows that the next band shares are not read again."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.about = source.about
        self._at = (0, 0)
        self._band: Array | None = None

    def read(self, level: int, rows: tuple[int, int], cols: tuple[int, int]) -> Array:
        if level:
            return self._source.read(level, rows, cols)
        if self._band is None or not (self._at[0] <= rows[0] and rows[1] <= self._at[1]):
            try:
                self._band, self._at = self._next(rows), rows
            except Unreadable:
                self._band = None  # half of it is read
                raise
        top = rows[0] - self._at[0]
        return self._band[top : top + rows[1] - rows[0], cols[0] : cols[1]]

    def _next(self, rows: tuple[int, int]) -> Array:
        """The band of these rows: what the last one shares is moved to its top, the rest is read a few rows at a time, so that one band
        is in memory and no more."""
        first, last = self._at
        shared = last - rows[0] if self._band is not None and first <= rows[0] < last else 0
        shape = rows[1] - rows[0], self.about.levels[0].width, self.about.bands
        band = self._band
        if band is None or band.shape != shape:
            old, band = band, np.empty(shape, self.about.dtype)
            if old is not None and shared:
                band[:shared] = old[len(old) - shared :]
        elif shared:
            band[:shared] = band[len(band) - shared :].copy()
        for row in range(rows[0] + shared, rows[1], _STEP):
            part = row, min(row + _STEP, rows[1])
            band[part[0] - rows[0] : part[1] - rows[0]] = self._source.read(0, part, (0, shape[1]))
        return band

    def close(self) -> None:
        self._band = None
        self._source.close()
