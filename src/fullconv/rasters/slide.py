"""Whole slides in their vendors' formats, by openslide (extra ``slide``)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
import openslide
from PIL import Image

from fullconv.errors import BadInput
from fullconv.rasters.source import About, Array, Level, decoding

_CACHE = 32 << 20  # bytes of decoded tiles that the library keeps


class Slide:
    """A slide; what was not scanned is laid over the slide's background colour."""

    def __init__(self, path: Path) -> None:
        try:
            self._slide = openslide.OpenSlide(str(path))
        except (openslide.OpenSlideError, OSError) as error:
            raise BadInput(f"{path}: not a slide that openslide opens, or truncated ({error})") from None
        with suppress(AttributeError, openslide.OpenSlideError):
            self._slide.set_cache(openslide.OpenSlideCache(_CACHE))
        about = self._slide.properties
        colour = about.get(openslide.PROPERTY_NAME_BACKGROUND_COLOR, "ffffff")
        self._background = tuple(int(colour[i : i + 2], 16) for i in (0, 2, 4))
        size = None
        with suppress(KeyError, ValueError):
            size = float(about[openslide.PROPERTY_NAME_MPP_Y]), float(about[openslide.PROPERTY_NAME_MPP_X])
        self._downsamples = self._slide.level_downsamples
        self.about = About(
            name=str(path),
            bands=3,
            dtype="uint8",
            levels=tuple(
                Level(height, width, (_side(about, i, "height"), _side(about, i, "width")))
                for i, (width, height) in enumerate(self._slide.level_dimensions)
            ),
            pixel_size=size,
            unit="micrometer" if size else "",
            held=min(_CACHE, 4 * self._slide.dimensions[0] * self._slide.dimensions[1]),
        )

    def read(self, level: int, rows: tuple[int, int], cols: tuple[int, int]) -> Array:
        scale = self._downsamples[level]
        corner = round(cols[0] * scale), round(rows[0] * scale)
        size = cols[1] - cols[0], rows[1] - rows[0]
        with decoding(self.about.name, rows, cols, openslide.OpenSlideError):
            region = self._slide.read_region(corner, level, size)
        if np.asarray(region.getchannel(3)).min() < 255:
            under = Image.new("RGBA", region.size, (*self._background, 255))
            region = Image.alpha_composite(under, region)
        return np.asarray(region)[:, :, :3]

    def close(self) -> None:
        self._slide.close()


def _side(about: Mapping[str, str], level: int, side: str) -> int:
    try:
        return int(about[f"openslide.level[{level}].tile-{side}"])
    except (KeyError, ValueError):
        return 256


def is_slide(path: Path) -> bool:
    """Whether openslide knows the file's format as a vendor's."""
    with suppress(openslide.OpenSlideError, OSError):
        return openslide.OpenSlide.detect_format(str(path)) not in (None, "generic-tiff")
    return False
