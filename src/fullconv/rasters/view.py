"""An image as the network reads it: at one resolution, some bands, on the scale of 0..255."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from fullconv.errors import BadInput
from fullconv.geometry.grid import Grid
from fullconv.rasters.open import open_source
from fullconv.rasters.source import About, Array

Mask = npt.NDArray[np.bool_]
_SCALED = {"uint16": 1 / 257.0}  # 16 bits to 0..255, as for pictures


@dataclass(frozen=True, slots=True)
class Selection:
    """How an image is read.

    Attributes:
        level: of its pyramid, 0 the finest.
        mpp: pixel size at which the network reads: micrometres a pixel of a slide, metres a pixel of a georeferenced scene.
        bands: which, from 1 on, in the network's order.
        nodata: the value that stands for no data; the image's own where it states one.
    """

    level: int | None = None
    mpp: float | None = None
    bands: tuple[int, ...] | None = None
    nodata: float | None = None

    def __post_init__(self) -> None:
        if self.level is not None and self.mpp is not None:
            raise BadInput("level and mpp: give one of them, either says at which resolution the network reads")
        if self.mpp is not None and not (np.isfinite(self.mpp) and self.mpp > 0):
            raise BadInput(f"mpp {self.mpp}: must be a number above 0")

    def to_json(self) -> dict[str, Any]:
        bands = None if self.bands is None else list(self.bands)
        return {"level": self.level, "mpp": self.mpp, "bands": bands, "nodata": self.nodata}


class View:
    """An open image at the resolution and in the bands asked for.

    Attributes:
        about: what the source knows.
        size: (height, width) at this resolution.
        channels: bands that are read.
    """

    def __init__(self, image: Any, select: Selection | None = None) -> None:
        self._image = image
        self._source = open_source(image)
        self.select = select or Selection()
        self.about: About = self._source.about
        self._level, self.size = self._resolution()
        self._of = self.about.levels[self._level]
        self._scale = self._of.height / self.size[0], self._of.width / self.size[1]
        self._resampled = self.size != (self._of.height, self._of.width)
        self._bands = self._chosen()
        self.channels = len(self._bands)
        self._nodata = self.about.nodata if self.select.nodata is None else self.select.nodata

    def _resolution(self) -> tuple[int, tuple[int, int]]:
        """The level that is read, and the size at which the network sees it."""
        about, select = self.about, self.select
        if select.mpp is None:
            level = select.level or 0
            if not 0 <= level < len(about.levels):
                sizes = ", ".join(f"{i}: {each.width}×{each.height}" for i, each in enumerate(about.levels))
                raise BadInput(f"{about.name}: has no level {level}; its levels (width × height) are {sizes}")
            return level, (about.levels[level].height, about.levels[level].width)
        if about.pixel_size is None:
            raise BadInput(
                f"{about.name}: does not say how large a pixel is; choose a resolution with --level (level=) instead of --mpp"
            )
        factors = [select.mpp / own for own in about.pixel_size]
        height, width = (max(1, round(length / f)) for length, f in zip(about.size, factors, strict=True))
        fine = [i for i, each in enumerate(about.levels) if each.height >= height * 0.99 and each.width >= width * 0.99]
        level = fine[-1] if fine else 0
        near = about.levels[level]
        if abs(near.height - height) <= 0.01 * height and abs(near.width - width) <= 0.01 * width:
            return level, (near.height, near.width)
        return level, (height, width)

    def _chosen(self) -> tuple[int, ...]:
        have = self.about.bands
        if self.select.bands is None:
            return tuple(range(have - 1 if self.about.mask_band else have))
        wrong = [band for band in self.select.bands if not 1 <= band <= have]
        if wrong or not self.select.bands:
            raise BadInput(f"{self.about.name}: has bands 1 to {have}, not {', '.join(map(str, wrong)) or 'none'}")
        return tuple(band - 1 for band in self.select.bands)

    @property
    def tile(self) -> tuple[int, int]:
        """(height, width) of the source's own tiles, in pixels of this resolution; (1, 1) where no pixel is decoded twice."""
        if self.in_rows:
            return 1, 1
        height, width = (max(1, round(t / s)) for t, s in zip(self._of.tile, self._scale, strict=True))
        return min(height, self.size[0]), min(width, self.size[1])

    @property
    def may_miss(self) -> bool:
        """Whether pixels may stand for no data."""
        return self._nodata is not None or self.about.mask_band or self.about.dtype.startswith("float")

    @property
    def in_rows(self) -> bool:
        """Whether a part of a row costs as much as all of it."""
        return self.about.in_rows and self._level == 0

    def stage_bytes(self, height: int, width: int) -> int:
        """Bytes that reading a window takes."""
        height, width = min(height, self.size[0]), min(width, self.size[1])
        each = self.about.bands * np.dtype(self.about.dtype).itemsize
        pixels = height * self._scale[0] * width * self._scale[1]
        band = height * self.size[1] * each if self.in_rows else 0
        scaled = pixels * self.channels * 4 if self._resampled or self.about.dtype != "uint8" else 0
        return int(pixels * each + band + scaled) + self.about.held

    def read(self, rows: tuple[int, int], cols: tuple[int, int]) -> tuple[Array, Mask | None]:
        """The pixels [rows) × [cols) that lie inside the image, (H, W, channels) on 0..255, and which of them hold no data.

        Raises:
            Unreadable: they do not decode.
        """
        rows, cols = ((max(0, a), min(b, length)) for (a, b), length in zip((rows, cols), self.size, strict=True))
        if self._resampled:
            return self._read_resampled(rows, cols)
        raw = self._source.read(self._level, rows, cols)
        missing = self._missing(raw)
        return self._scaled(raw, missing), missing

    def _read_resampled(self, rows: tuple[int, int], cols: tuple[int, int]) -> tuple[Array, Mask | None]:
        """A window between levels: a triangle filter over the pixels that each one covers, with the pixels around the window."""
        outer, box = [], []
        for (start, stop), scale, length in zip(
            (rows, cols), self._scale, (self._of.height, self._of.width), strict=True
        ):
            low, high = start * scale, stop * scale
            margin = ceil(max(scale, 1.0)) + 1
            outer.append((max(0, floor(low) - margin), min(length, ceil(high) + margin)))
            box.append((low - outer[-1][0], min(high, length) - outer[-1][0]))
        raw = self._source.read(self._level, outer[0], outer[1])
        missing = self._missing(raw)
        pixels = self._scaled(raw, missing)
        size = cols[1] - cols[0], rows[1] - rows[0]
        around = box[1][0], box[0][0], box[1][1], box[0][1]
        planes = [_resize(pixels[:, :, i], size, around) for i in range(pixels.shape[2])]
        found = np.stack(planes, axis=2)
        if pixels.dtype == np.uint8:
            found = np.rint(found).clip(0, 255).astype(np.uint8)
        gone = None if missing is None else _resize(missing, size, around) >= 0.5
        return found, gone

    def _missing(self, raw: Array) -> Mask | None:
        """Pixels without data: of the stated value in all bands read, masked, or no numbers."""
        found: Any = None
        read = raw[:, :, list(self._bands)]
        if self._nodata is not None:
            found = np.all(np.isnan(read) if np.isnan(self._nodata) else np.equal(read, self._nodata), axis=2)
        if self.about.mask_band:
            empty: Mask = raw[:, :, -1] == 0
            found = empty if found is None else found | empty
        if read.dtype.kind == "f":
            broken = ~np.isfinite(read).all(axis=2)
            if broken.any():
                found = broken if found is None else found | broken
        return found if found is not None and found.any() else None  # of (H, W)

    def _scaled(self, raw: Array, missing: Mask | None) -> Array:
        pixels = raw if self._bands == tuple(range(raw.shape[2])) else raw[:, :, list(self._bands)]
        if pixels.dtype != np.uint8:
            factor = 255.0 if pixels.dtype == np.bool_ else _SCALED.get(str(pixels.dtype), 1.0)
            pixels = pixels.astype(np.float32)
            if factor != 1:
                pixels *= np.float32(factor)
        if missing is not None and pixels.dtype != np.uint8:
            pixels[missing] = 0
        return pixels

    def in_original(self, grid: Grid) -> Grid:
        """A grid over this resolution as one over the image's finest."""
        return grid if self.size == self.about.size else grid.over_original(self.about.size)

    def reopen(self) -> None:
        """Open the image anew: a library may give up on a file after one part that does not decode."""
        self._source.close()
        self._source = open_source(self._image)

    def thumbnail(self, longest: int) -> Image.Image | None:
        """The whole image, at most so many pixels a side, from the coarsest level that has them; None where that is too much to read."""
        about = self.about
        enough = [i for i, each in enumerate(about.levels) if max(each.height, each.width) >= longest]
        level = enough[-1] if enough else 0
        chosen = about.levels[level]
        if chosen.height * chosen.width > 64 * longest * longest:
            return None
        raw = self._source.read(level, (0, chosen.height), (0, chosen.width))
        pixels = self._scaled(raw, self._missing(raw))
        from fullconv.rasters.pictures import to_picture

        picture = to_picture(pixels)
        picture.thumbnail((longest, longest))
        return picture

    def close(self) -> None:
        self._source.close()


def _resize(plane: Array, size: tuple[int, int], box: tuple[float, float, float, float]) -> Array:
    """One plane (H, W): what of it lies in ``box`` (x0, y0, x1, y1) at ``size`` (width, height)."""
    image = Image.fromarray(plane.astype(np.float32))
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR, box=box))


def parse_bands(given: str | Sequence[int] | None) -> tuple[int, ...] | None:
    """Bands from ``4,3,2``."""
    if given is None or not isinstance(given, str):
        return None if given is None else tuple(given)
    try:
        return tuple(int(part) for part in given.split(","))
    except ValueError:
        raise BadInput(f"bands {given!r}: numbers from 1 on with commas between, 4,3,2 say") from None
