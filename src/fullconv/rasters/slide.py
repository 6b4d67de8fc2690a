"""Whole slides in their vendors' formats, by openslide (extra ``slide``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import isfinite
from pathlib import Path
from threading import Lock

import numpy as np
import openslide
from PIL import Image

from fullconv.rasters.arrays import chosen
from fullconv.rasters.bandnames import RGB
from fullconv.rasters.source import About, Level, Span, Window

_CACHE = 32 << 20  # bytes of decoded tiles that the library keeps
_BLOCK = 512  # px


class Slide:
    """A slide; what was not scanned is laid over the slide's background colour, and said to be missing.

    A coarser level is asked for by pixels of the finest, between which the library interpolates: a window that starts elsewhere would have
    other pixels. So it is read in blocks on one grid (``Blocks``), each asked for in the same way whatever the window. Several threads may
    ask at once: the library's handles are made for it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._slide = self._handle()
        self._mending = Lock()
        about = self._slide.properties
        self._background = _background(about)
        size = _pixel_size(about)
        self._downsamples = self._slide.level_downsamples
        self.about = About(
            name=str(path), bands=3, dtype="uint8", white=255, alpha="mask", parallel=True,
            levels=tuple(Level(height, width, (_BLOCK, _BLOCK)) for width, height in self._slide.level_dimensions),
            pixel_size=size, unit="micrometer" if size else "", names=RGB,
            held=min(_CACHE, 4 * self._slide.dimensions[0] * self._slide.dimensions[1]),
        )  # fmt: skip

    def read(self, level: int, rows: Span, cols: Span, bands: Sequence[int]) -> Window:
        scale = self._downsamples[level]
        corner = round(cols[0] * scale), round(rows[0] * scale)
        region = self._region(corner, level, (cols[1] - cols[0], rows[1] - rows[0]))
        cover = np.array(region.getchannel(3))
        if cover.min() == 255:
            return Window(chosen(np.asarray(region)[:, :, :3], bands))
        under = Image.new("RGBA", region.size, (*self._background, 255))
        region = Image.alpha_composite(under, region)
        return Window(chosen(np.asarray(region)[:, :, :3], bands), cover)

    def _handle(self) -> openslide.OpenSlide:
        slide = openslide.OpenSlide(str(self._path))
        with suppress(AttributeError, openslide.OpenSlideError):
            slide.set_cache(openslide.OpenSlideCache(_CACHE))
        return slide

    def _region(self, corner: tuple[int, int], level: int, size: tuple[int, int]) -> Image.Image:
        """A part of the slide; by a new handle where the library has given up on the old one, be it for a part that another thread asked for."""
        try:
            return self._slide.read_region(corner, level, size)
        except openslide.OpenSlideError:
            with self._mending:
                fresh = self._handle()
                try:
                    region = fresh.read_region(corner, level, size)
                except openslide.OpenSlideError:
                    fresh.close()
                    raise
                self._slide = fresh  # the old one is closed once the last thread that reads by it is done
                return region

    def close(self) -> None:
        self._slide.close()


def _pixel_size(about: Mapping[str, str]) -> tuple[float, float] | None:
    """(y, x) in micrometres; None where the slide says none, or what cannot be."""
    with suppress(KeyError, ValueError):
        size = float(about[openslide.PROPERTY_NAME_MPP_Y]), float(about[openslide.PROPERTY_NAME_MPP_X])
        if all(isfinite(side) and side > 0 for side in size):
            return size
    return None


def _background(about: Mapping[str, str]) -> tuple[int, int, int]:
    colour = about.get(openslide.PROPERTY_NAME_BACKGROUND_COLOR, "")
    with suppress(ValueError):
        red, green, blue = bytes.fromhex(colour)
        return red, green, blue
    return 255, 255, 255


def is_slide(path: Path) -> bool:
    """Whether openslide knows the file's format as a vendor's."""
    with suppress(openslide.OpenSlideError, OSError):
        return openslide.OpenSlide.detect_format(str(path)) not in (None, "generic-tiff")
    return False
