"""Images that say how they are to be turned (EXIF's Orientation, TIFF's tag 274): windows of the upright image from the one as stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fullconv.rasters.source import About, Array, Level, Source, Span, Window

ORIENTATION = 274  # the tag's number in TIFF and EXIF


class Turned:
    """A source seen upright, by its orientation as TIFF 6.0 counts: from 5 on its rows are columns."""

    def __init__(self, source: Source) -> None:
        self._source, orientation = source, source.about.orientation
        self._swapped = orientation >= 5
        self._down = orientation in (3, 4, 7, 8)  # rows of what is seen count from the other end of the stored side
        self._right = orientation in (2, 3, 6, 7)
        about = replace(source.about, orientation=1)
        self.about = about if not self._swapped else _swapped(about)

    def read(self, level: int, rows: Span, cols: Span, bands: Sequence[int]) -> Window:
        at = self.about.levels[level]
        y = (at.height - rows[1], at.height - rows[0]) if self._down else rows
        x = (at.width - cols[1], at.width - cols[0]) if self._right else cols
        found = self._source.read(level, *((x, y) if self._swapped else (y, x)), bands)
        return Window(self._upright(found.pixels), None if found.cover is None else self._upright(found.cover))

    def _upright(self, part: Array) -> Array:
        if self._swapped:
            part = part.swapaxes(0, 1)
        return part[:: -1 if self._down else 1, :: -1 if self._right else 1]

    def close(self) -> None:
        self._source.close()


def _swapped(about: About) -> About:
    levels = tuple(Level(each.width, each.height, (each.tile[1], each.tile[0]), each.once) for each in about.levels)
    size = None if about.pixel_size is None else (about.pixel_size[1], about.pixel_size[0])
    return replace(about, levels=levels, pixel_size=size)
