"""Images stored row after row: a band of rows is read once and cut into the windows of a row of tiles."""

from __future__ import annotations

import numpy as np

from fullconv.rasters.source import Array, Source


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
            self._band, self._at = self._next(rows), rows
        top = rows[0] - self._at[0]
        return self._band[top : top + rows[1] - rows[0], cols[0] : cols[1]]

    def _next(self, rows: tuple[int, int]) -> Array:
        width = (0, self.about.levels[0].width)
        shared = max(0, self._at[1] - rows[0]) if self._at[0] <= rows[0] else 0
        if self._band is None or not shared:
            self._band = None  # two bands are never held at once
            return self._source.read(0, rows, width)
        kept = self._band[len(self._band) - shared :].copy()
        self._band = None
        fresh = self._source.read(0, (self._at[1], rows[1]), width)
        return np.concatenate([kept, fresh])

    def close(self) -> None:
        self._band = None
        self._source.close()
