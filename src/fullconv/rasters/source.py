"""What every kind of image does here: say what it is, and read a window."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt

from fullconv.errors import BadInput

Array = npt.NDArray[Any]
Affine = tuple[float, float, float, float, float, float]


class Unreadable(BadInput):
    """A part of an image that does not decode."""


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution of an image: its size in pixels, and the (height, width) of the tiles in which it is stored."""

    height: int
    width: int
    tile: tuple[int, int]


@dataclass(frozen=True, slots=True)
class About:
    """What a source knows of its image.

    Attributes:
        name: for people.
        bands, dtype: of a pixel.
        levels: the finest first.
        in_rows: it is stored row after row, so that a part of a row costs as much as all of it.
        pixel_size: (y, x) of a pixel of level 0 in ``unit``, None where it is not known.
        unit: ``micrometer``, ``meter`` or empty.
        transform: (a, b, c, d, e, f): x = a·col + b·row + c, y = d·col + e·row + f of a pixel's upper left corner in the CRS.
        crs: as WKT.
        nodata: the value that stands for no data, None where none does.
        mask_band: the last band is no colour but says which pixels hold data (0: none).
        held: bytes that the reader keeps beside what it returns.
    """

    name: str
    bands: int
    dtype: str
    levels: tuple[Level, ...]
    in_rows: bool = False
    pixel_size: tuple[float, float] | None = None
    unit: str = ""
    transform: Affine | None = None
    crs: str | None = None
    nodata: float | None = None
    mask_band: bool = False
    held: int = 0

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the finest level."""
        return self.levels[0].height, self.levels[0].width


class Source(Protocol):
    """An open image."""

    about: About

    def read(self, level: int, rows: tuple[int, int], cols: tuple[int, int]) -> Array:
        """(height, width, bands) of the pixels [rows) × [cols) of a level, which lie inside it.

        Raises:
            Unreadable: they do not decode.
        """

    def close(self) -> None:
        """Give back what the reader holds."""


@contextmanager
def decoding(name: str, rows: tuple[int, int], cols: tuple[int, int], *errors: type[Exception]) -> Iterator[None]:
    """Tell a library's error as what it is: pixels that do not decode, and where."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, (OSError, ValueError, *errors)):
            raise
        told = " ".join(str(error).split())[:200] or type(error).__name__
        raise Unreadable(
            f"{name}: the pixels {cols[0]} to {cols[1]} × {rows[0]} to {rows[1]} do not decode ({told})"
        ) from None
