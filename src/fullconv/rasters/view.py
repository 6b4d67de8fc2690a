"""An image as the network reads it: at one resolution, some bands, on the scale of 0..255."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from fullconv.errors import BadInput
from fullconv.geometry.grid import Grid
from fullconv.rasters.again import is_own
from fullconv.rasters.bandnames import contradiction, listed, places_of
from fullconv.rasters.boundary import blocks_of
from fullconv.rasters.kept import Windows
from fullconv.rasters.open import open_source
from fullconv.rasters.resample import Axis, resampled, strips
from fullconv.rasters.selection import Selection as Selection
from fullconv.rasters.selection import Trained as Trained
from fullconv.rasters.selection import parse_bands as parse_bands
from fullconv.rasters.shared import Shared
from fullconv.rasters.source import About, Array, Span, Window

Mask = npt.NDArray[np.bool_]
_STRIP = 2_000_000  # numbers of an image that a small picture of it is made of at once
_ROWS = 64  # rows whose colours are laid over white at once


class View:
    """An open image at the resolution and in the bands asked for.

    Attributes:
        about: what the source knows.
        size: (height, width) at this resolution.
        channels: bands that are read.
    """

    def __init__(self, image: Any, select: Selection | None = None) -> None:
        self._image = image
        self.select = select or Selection()
        self._source = open_source(image, self.select.access)
        self.about: About = self._source.about
        try:
            self._level, self.size = self._resolution()
            self._bands = self._chosen()
        except BadInput:
            self._source.close()
            raise
        self._of = self.about.levels[self._level]
        sides = zip((self._of.height, self._of.width), self.size, strict=True)
        self._axes = tuple(Axis(length, count) for length, count in sides)
        self._resampled = self.size != (self._of.height, self._of.width)
        self.channels = len(self._bands)
        self._nodata = _within(
            self.about.dtype, self.about.nodata if self.select.nodata is None else self.select.nodata
        )
        self._shared = Shared()
        self._followed: Windows | None = None

    def _resolution(self) -> tuple[int, tuple[int, int]]:
        """The level that is read, and the size at which the network sees it."""
        about, select = self.about, self.select
        if select.mpp is None:
            if select.trained is not None and select.level is None:
                return self._as_trained(select.trained)
            level = select.level or 0
            if not 0 <= level < len(about.levels):
                sizes = ", ".join(f"{i}: {each.width}×{each.height}" for i, each in enumerate(about.levels))
                raise BadInput(f"{about.name}: has no level {level}; its levels (width × height) are {sizes}")
            return level, (about.levels[level].height, about.levels[level].width)
        if about.pixel_size is None:
            raise BadInput(
                f"{about.name}: does not say how large a pixel is; choose a resolution with --level (level=) instead of --mpp"
            )
        return self._at(select.mpp, about.pixel_size)

    def _as_trained(self, trained: Trained) -> tuple[int, tuple[int, int]]:
        """The finest level whose pixels are as large as the network's, nearly; else what lies between levels."""
        about = self.about
        if about.pixel_size is None:
            raise BadInput(
                f"{about.name or 'the image'}: does not say how large a pixel is, and {trained.origin} says that the network reads {trained.size:g}; "
                "--level 0 (level=0) takes the pixels as they are"
            )
        for i, level in enumerate(about.levels):
            own = about.size[0] / level.height * about.pixel_size[0], about.size[1] / level.width * about.pixel_size[1]
            if all(abs(each / trained.size - 1) <= trained.tolerance for each in own):
                return i, (level.height, level.width)
        return self._at(trained.size, about.pixel_size)

    def _at(self, mpp: float, pixel: tuple[float, float]) -> tuple[int, tuple[int, int]]:
        about = self.about
        factors = [mpp / own for own in pixel]
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
            return tuple(range(have))
        where = (self.about.name or "the image") + self._by
        chosen = places_of(self.select.bands, self.about.names, where)
        wrong = [band for band in chosen if not 1 <= band <= have]
        if wrong or not chosen:
            raise BadInput(f"{where}: has bands 1 to {have}, not {', '.join(map(str, wrong)) or 'none'}")
        return tuple(band - 1 for band in chosen)

    @property
    def _by(self) -> str:
        """Who says which bands, behind the image's name; empty where they were asked for."""
        by, bands = self.select.bands_by, self.select.bands
        return f" (bands = {list(bands)} of {by})" if by is not None and bands is not None else ""

    @property
    def ordered(self) -> bool:
        """Whether the channels are in the network's order already, so that no preprocessing turns RGB into BGR."""
        return self.select.bands is not None

    def require(self, channels: int) -> None:
        """BadInput where no rule gives a network its channels."""
        if self.channels == channels or {self.channels, channels} == {1, 3}:
            return
        raise BadInput(
            f"{self.about.name}{self._by}: has {self.channels} bands and the network takes {channels}; choose with --bands (bands=), "
            f"{','.join(str(i + 1) for i in range(channels))} say"
            + (f"; its bands are {listed(self.about.names)}" if any(self.about.names) else "")
        )

    @property
    def remarks(self) -> tuple[str, ...]:
        """What was decided about the pixels, or left alone, in words."""
        about, own = self.about, []
        if about.white not in (0, 255) and about.dtype != "bool":
            own.append(f"{about.name}: numbers of {about.dtype} are taken as 0 to {about.white:,}, scaled to 0..255")
        elif about.dtype not in ("uint8", "bool"):
            own.append(f"{about.name}: numbers of {about.dtype} are taken as they stand")
        if self.select.bands is None and (why := contradiction(about.names)):
            own.append(f"{about.name}: {why}")
        if about.inverted:
            own.append(f"{about.name}: states that 0 is white; it is read so")
        trained = self.select.trained
        if trained is not None and self.select.level is None and self.select.mpp is None and self.size != about.size:
            how = (
                f"between its levels, resampled from level {self._level}" if self._resampled else f"level {self._level}"
            )
            own.append(f"{about.name}: is read at {trained.size:g} a pixel, as {trained.origin} says: {how}")
        if self._resampled and min(axis.scale for axis in self._axes) < 1 - 1e-9:
            factor = max(1 / axis.scale for axis in self._axes)
            own.append(
                f"{about.name}: its finest pixels are {factor:.3g} times as large as the network is to read them: what is between them is interpolated"
            )
        return (*about.remarks, *own)

    @property
    def tile(self) -> tuple[int, int]:
        """(height, width) of what is decoded at once, in pixels of this resolution; (1, 1) where no pixel is decoded twice."""
        return (1, 1) if self.in_rows or self._of.once else self.block

    @property
    def block(self) -> tuple[int, int]:
        """(height, width) of the source's own blocks, in pixels of this resolution: what does not decode is whole ones."""
        height, width = (max(1, round(t / axis.scale)) for t, axis in zip(self._of.tile, self._axes, strict=True))
        return min(height, self.size[0]), self.size[1] if self.in_rows else min(width, self.size[1])

    @property
    def may_miss(self) -> bool:
        """Whether pixels may stand for no data."""
        return self._nodata is not None or bool(self.about.alpha) or self.about.dtype.startswith("float")

    @property
    def in_rows(self) -> bool:
        """Whether a part of a row costs as much as all of it."""
        return self.about.in_rows and self._level == 0

    def stage_bytes(self, height: int, width: int) -> int:
        """Bytes that reading a window takes."""
        height, width = min(height, self.size[0]), min(width, self.size[1])
        each = self.channels * np.dtype(self.about.dtype).itemsize + bool(self.about.alpha)
        sides = [axis.needs(0, count) for axis, count in zip(self._axes, (height, width), strict=True)]
        raw = sides[0][1] * sides[1][1] if self._resampled else height * width
        band = (sides[0][1] if self._resampled else height) * self._of.width * each if self.in_rows else 0
        own = 1 if self.about.dtype == "uint8" else 4
        seen = height * width * self.channels * own if self._resampled or own == 4 else 0
        strip = 0
        if self._resampled:  # a strip as stored, one as wide as seen, and one product of each
            first = self._axes[0].needs(0, min(height, strips((0, height))[0][1]))
            strip = 4 * (self.channels + 1) * (first[1] * (2 * sides[1][1] + 2 * width) + 3 * 128 * width)
        return int(raw * each + band + seen + strip) + self.about.held

    def pixel_bytes(self, height: int, width: int) -> int:
        """Bytes of a window that was read."""
        return height * width * (self.channels * (1 if self.about.dtype == "uint8" else 4) + self.may_miss)

    def room_beside(self, windows: Windows) -> int:
        """Bytes that ``follow`` keeps beside those of ``stage_bytes``."""
        blocks = blocks_of(self._source)
        return 0 if blocks is None else blocks.room_beside(self._level, self._stored(windows))

    def follow(self, windows: Windows) -> None:
        """Keep what these windows share, so that no block is decoded twice for them; in bands, so that one band's do not."""
        self._followed = self._stored(windows)
        self._follow()

    def _follow(self) -> None:
        blocks = blocks_of(self._source)
        if blocks is not None and self._followed is not None:
            blocks.follow(self._level, self._followed)

    def _stored(self, windows: Windows) -> Windows:
        """Windows of this resolution as those of the level that is read."""

        def stored(spans: Sequence[Span], axis: Axis, length: int) -> list[Span]:
            inside = [(max(0, a), min(b, length)) for a, b in spans]
            return [axis.needs(*span) for span in inside] if self._resampled else inside

        (down, high), (right, wide) = zip(self._axes, self.size, strict=True)
        return Windows(stored(windows.rows, down, high), stored(windows.cols, right, wide), windows.down)

    def read(self, rows: tuple[int, int], cols: tuple[int, int]) -> tuple[Array, Mask | None]:
        """The pixels [rows) × [cols) that lie inside the image, (H, W, channels) on 0..255, and which of them hold no data.

        Any number of threads may read at once. The pixels may be the image's own, where it is held in memory: they are not to be written to.

        Raises:
            Unreadable: they do not decode.
        """
        rows, cols = ((max(0, a), min(b, length)) for (a, b), length in zip((rows, cols), self.size, strict=True))
        with self._shared.by_many():
            if self._resampled:
                return self._between(rows, cols)
            return self._finished(self._source.read(self._level, rows, cols, self._bands))

    def _between(self, rows: tuple[int, int], cols: tuple[int, int]) -> tuple[Array, Mask | None]:
        """A window between levels; what is missing has no weight in what is made of pixels beside it."""
        vertical, horizontal = self._axes
        wide = horizontal.needs(*cols)
        high = vertical.needs(*rows)
        raw = self._source.read(self._level, high, wide, self._bands)
        whole = np.uint8 if self.about.dtype == "uint8" else np.float32
        out = np.empty((rows[1] - rows[0], cols[1] - cols[0], self.channels), whole)
        gone = np.zeros(out.shape[:2], np.bool_) if self.may_miss else None
        for part in strips(rows):
            need = vertical.needs(*part)
            strip = slice(need[0] - high[0], need[1] - high[0])
            cover = None if raw.cover is None else raw.cover[strip]
            pixels, missing = self._finished(Window(raw.pixels[strip], cover))
            values = pixels.astype(np.float32)
            if missing is not None:
                there = (~missing).astype(np.float32)[:, :, None]
                values = np.concatenate([values * there, there], axis=2)
            made = resampled(values, (need[0], wide[0]), (vertical, horizontal), part, cols)
            if missing is not None:
                share = made[:, :, -1:]
                made = np.divide(made[:, :, :-1], share, out=np.zeros_like(made[:, :, :-1]), where=share > 0)
                assert gone is not None, "what may not miss has no missing pixels"
                gone[part[0] - rows[0] : part[1] - rows[0]] = share[:, :, 0] < 0.5
            into = out[part[0] - rows[0] : part[1] - rows[0]]
            into[...] = np.rint(made).clip(0, 255) if whole == np.uint8 else made
        return out, gone if gone is not None and gone.any() else None

    def _finished(self, window: Window) -> tuple[Array, Mask | None]:
        """Pixels on 0..255, and which of them hold no data: those of a stated value are 0, transparent ones white."""
        pixels, cover = self._scaled(window.pixels), window.cover
        missing = self._without_data(window.pixels)
        if missing is not None:
            pixels = pixels if is_own(pixels) else pixels.copy()
            pixels[missing] = 0
        if cover is not None and (cover < 255).any():
            if self.about.alpha != "mask":
                pixels = _over_white(pixels, cover, self.about.alpha == "premultiplied")
            missing = cover == 0 if missing is None else missing | (cover == 0)
        return pixels, missing if missing is not None and missing.any() else None

    def _without_data(self, read: Array) -> Mask | None:
        """Pixels of the stated value in all bands read, or no numbers."""
        gone: Any = None
        if self._nodata is not None and not np.isnan(self._nodata):  # what is no number is missing anyway
            own = self._nodata if read.dtype.kind == "f" else int(self._nodata)
            gone = _all_planes(read == own)
        if read.dtype.kind == "f":
            finite = _all_planes(np.isfinite(read))
            if not finite.all():
                gone = ~finite if gone is None else gone | ~finite
        return gone if gone is not None and gone.any() else None  # of (H, W)

    def _scaled(self, pixels: Array) -> Array:
        white, inverted = self.about.white, self.about.inverted
        if pixels.dtype == np.uint8 and white == 255:
            return 255 - pixels if inverted else pixels
        if pixels.dtype == np.float32 and white in (0, 255) and not inverted:
            return pixels
        values = pixels.astype(np.float32)
        if white not in (0, 255):
            values /= np.float32(white / 255)
        return np.subtract(np.float32(255), values, out=values) if inverted else values

    def in_original(self, grid: Grid) -> Grid:
        """A grid over this resolution as one over the image's finest."""
        return grid if self.size == self.about.size else grid.over_original(self.about.size)

    def reopen(self) -> None:
        """Open the image anew: a library may give up on a file after one part that does not decode. Waits for threads that read."""
        with self._shared.alone():
            self._source.close()
            self._source = open_source(self._image, self.select.access)
            self._follow()

    def at_level(self, level: int, rows: tuple[int, int], cols: tuple[int, int]) -> tuple[Array, Mask | None]:
        """As ``read``, of a level as it is stored: a window that lies inside it."""
        with self._shared.by_many():
            return self._finished(self._source.read(level, rows, cols, self._bands))

    def thumbnail(self, longest: int) -> Image.Image | None:
        """The whole image as a picture, at most so many pixels a side; None where that is too much to read."""
        from fullconv.rasters.pictures import to_picture

        seen = self.overview(longest)
        return None if seen is None else to_picture(seen)

    def overview(self, longest: int, most: float = 64) -> Array | None:
        """The whole image, at most so many pixels a side, (H, W, channels) on 0..255, from the coarsest level that has them.

        Args:
            most: times the pixels of such a square that are read for it; None is given where it takes more.
        """
        about = self.about
        enough = [i for i, each in enumerate(about.levels) if max(each.height, each.width) >= longest]
        level = enough[-1] if enough else 0
        chosen = about.levels[level]
        if chosen.height * chosen.width > most * longest * longest:
            return None
        factor = max(1.0, max(chosen.height, chosen.width) / longest)
        rows, cols = (max(1, round(side / factor)) for side in (chosen.height, chosen.width))
        axes = Axis(chosen.height, rows), Axis(chosen.width, cols)
        step = max(
            1, int(_STRIP / (chosen.width * self.channels * factor))
        )  # rows of the picture that are made at once
        parts = []
        for top in range(0, rows, step):
            part = top, min(top + step, rows)
            need = axes[0].needs(*part)
            pixels, _ = self.at_level(level, need, (0, chosen.width))
            made = resampled(pixels.astype(np.float32), (need[0], 0), axes, part, (0, cols))
            parts.append(np.rint(made).clip(0, 255).astype(np.uint8) if pixels.dtype == np.uint8 else made)
        return np.concatenate(parts)

    def close(self) -> None:
        self._source.close()


def read_image(image: Any, select: Selection | None = None) -> Array:
    """The whole of an image as the network reads it: a path, a PIL image, or an array of (H, W) or (H, W, C); (H, W, channels) on 0..255.

    Rotation by EXIF is applied, palettes are resolved, unsigned numbers of 16 bits are scaled to 0..255, transparency is laid over white;
    other numbers are taken as they stand, and what is no number is 0.
    """
    with closing(View(image, select)) as view:
        return view.read((0, view.size[0]), (0, view.size[1]))[0]


def _within(dtype: str, value: float | None) -> float | None:
    """The value that stands for no data, where numbers of this type can have it."""
    kind = np.dtype(dtype)
    if value is None or kind.kind == "f":
        return value
    low, high = (0, 1) if kind.kind == "b" else (int(np.iinfo(kind).min), int(np.iinfo(kind).max))
    return value if np.isfinite(value) and value == int(value) and low <= value <= high else None


def _all_planes(mask: Mask) -> Mask:
    """(H, W): what holds for all channels of (H, W, C); plane by plane, since numpy takes long over a short last axis."""
    every = mask[:, :, 0].copy()
    for channel in range(1, mask.shape[2]):
        every &= mask[:, :, channel]
    return every


def _over_white(pixels: Array, cover: npt.NDArray[np.uint8], premultiplied: bool) -> Array:
    """(H, W, C) on 0..255, laid over white by how much of each pixel is there; a few rows at a time."""
    out = np.empty_like(pixels)
    for row in range(0, len(pixels), _ROWS):
        share = cover[row : row + _ROWS, :, None].astype(np.float32) / np.float32(255)
        part = pixels[row : row + _ROWS].astype(np.float32)
        part = (part if premultiplied else part * share) + 255 * (1 - share)
        out[row : row + _ROWS] = np.rint(part).clip(0, 255) if out.dtype == np.uint8 else part
    return out
