"""What every kind of image does here: say what it is, and read a window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from fullconv.errors import BadInput
from fullconv.geometry.place import Affine, Place

Array = npt.NDArray[Any]
Span = tuple[int, int]
Alpha = Literal["", "mask", "straight", "premultiplied"]
_LONGEST = 1 << 31  # px a side; no library counts further
_BANDS = 1 << 16


class Unreadable(BadInput):
    """A part of an image that does not decode."""


class Window(NamedTuple):
    """A part of an image: (H, W, bands asked for) as they are stored, and how much of each pixel is there, (H, W) uint8 of 255, where the
    source says it."""

    pixels: Array
    cover: npt.NDArray[np.uint8] | None = None


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution of an image: its size in pixels, and the (height, width) of the blocks in which it is stored.

    ``once``: each block is decoded once, however many windows ask for it.
    """

    height: int
    width: int
    tile: tuple[int, int]
    once: bool = False

    def __post_init__(self) -> None:
        if not all(1 <= side <= _LONGEST for side in (self.height, self.width)):
            raise BadInput(f"a level of {self.width}×{self.height} px is no image")
        if not all(1 <= side <= _LONGEST for side in self.tile):
            raise BadInput(f"a level in blocks of {self.tile[1]}×{self.tile[0]} px cannot be read")


@dataclass(frozen=True, slots=True)
class About:
    """What a source knows of its image.

    Attributes:
        name: for people.
        bands, dtype: of a pixel, as stored; what says how much of a pixel is there is no band.
        levels: the finest first.
        in_rows: it is stored row after row, so that a part of a row costs as much as all of it.
        parallel: several threads may read at once, and its blocks are best decoded one by one and side by side. What is not is read by one
            thread at a time.
        white: the number that stands for 255; 0 where numbers are taken as they stand.
        inverted: 0 stands for 255, and ``white`` for 0.
        alpha: what a window's cover means: ``mask`` says which pixels hold data; ``straight`` is transparency; ``premultiplied`` is
            transparency by which colours are multiplied already; empty where windows have none.
        orientation: how it is to be turned to be seen upright, as TIFF and EXIF count; 1 where it is.
        pixel_size: (y, x) of a pixel of level 0 in ``unit``, None where it is not known.
        unit: ``micrometer``, ``meter`` or empty.
        transform: (a, b, c, d, e, f): x = a·col + b·row + c, y = d·col + e·row + f of a pixel's upper left corner in the CRS.
        crs: as WKT.
        nodata: the value that stands for no data, None where none does.
        held: bytes that the reader keeps beside what it returns.
        remarks: what was decided about the pixels, or left alone, in words.
        names: of the bands, empty for one that has none; () where the image names none.
    """

    name: str
    bands: int
    dtype: str
    levels: tuple[Level, ...]
    in_rows: bool = False
    parallel: bool = False
    white: int = 0
    inverted: bool = False
    alpha: Alpha = ""
    orientation: int = 1
    pixel_size: tuple[float, float] | None = None
    unit: str = ""
    transform: Affine | None = None
    crs: str | None = None
    nodata: float | None = None
    held: int = 0
    remarks: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.names) not in (0, self.bands):
            raise BadInput(f"{self.name}: names {len(self.names)} bands, and has {self.bands}")
        if not 1 <= self.bands <= _BANDS or not self.levels:
            raise BadInput(f"{self.name}: {self.bands} bands and {len(self.levels)} levels are no image")
        if np.dtype(self.dtype).kind not in "fiub":
            raise BadInput(f"{self.name}: an image must hold numbers, found {self.dtype}")
        if self.pixel_size is not None and not all(isfinite(side) and side > 0 for side in self.pixel_size):
            raise BadInput(
                f"{self.name}: says that a pixel is {self.pixel_size[1]}×{self.pixel_size[0]} {self.unit}; mend its metadata"
            )
        if self.transform is not None and not (all(map(isfinite, self.transform)) and _turns_back(self.transform)):
            raise BadInput(
                f"{self.name}: its place on the earth, {self.transform}, puts all pixels on one line; mend its metadata"
            )

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the finest level."""
        return self.levels[0].height, self.levels[0].width

    @property
    def place(self) -> Place:
        """Where its pixels lie."""
        return Place(self.pixel_size, self.unit, self.transform, self.crs)

    @property
    def pixel_bytes(self) -> int:
        """Of a pixel of all bands as stored, and of what covers it."""
        return self.bands * np.dtype(self.dtype).itemsize + bool(self.alpha)


class Source(Protocol):
    """An open image."""

    about: About

    def read(self, level: int, rows: Span, cols: Span, bands: Sequence[int]) -> Window:
        """The pixels [rows) × [cols) of a level, which lie inside it, of these bands (from 0 on).

        Raises:
            Unreadable: they do not decode. A reader lets its library's own errors pass: the boundary tells them.
        """

    def close(self) -> None:
        """Give back what the reader holds."""


def white_of(dtype: Any, bits: int | None = None) -> int:
    """The number that stands for 255 in whole numbers of so many bits: 255, 65,535, 4,095 of 12; 0 where numbers stand for themselves."""
    kind = np.dtype(dtype)
    if kind == np.bool_:
        return 1
    if kind.kind != "u" or kind.itemsize > 2:
        return 0
    own = 8 * kind.itemsize
    return int((1 << (bits if bits is not None and 1 <= bits < own else own)) - 1)


def cover_of(alpha: Array) -> npt.NDArray[np.uint8]:
    """Transparency in any type as how much of a pixel is there, of 255; 0 where it is not there at all, and only there."""
    if alpha.dtype == np.uint8:
        return alpha
    if alpha.dtype.kind == "f":
        alpha = np.nan_to_num(alpha)
        return np.ceil(np.clip(alpha, 0, 1) * np.float32(255)).astype(np.uint8)
    most = int(np.iinfo(alpha.dtype).max) if alpha.dtype.kind in "iu" else 1
    share: Array = np.ceil(np.clip(alpha, 0, most) * (255 / most))
    return share.astype(np.uint8)


def bits_of(white: float | None) -> int | None:
    """Bits of a largest value that is one less than a power of two; None of any other."""
    if white is None or not isfinite(white) or white != int(white) or white < 1:
        return None
    whole = int(white)
    return whole.bit_length() if whole & (whole + 1) == 0 else None


def _turns_back(transform: Affine) -> bool:
    a, b, _, d, e, _ = transform
    return a * e != b * d
