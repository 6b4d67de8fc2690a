"""Images held in memory, and ``.npy`` files, of which only the window asked for is."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np

from fullconv.errors import BadInput
from fullconv.rasters.again import Again
from fullconv.rasters.arrays import chosen
from fullconv.rasters.bandnames import RGB
from fullconv.rasters.pictures import decoded
from fullconv.rasters.source import About, Array, Level, Span, Window, white_of
from fullconv.system.guard import require_start

_HEADER = 10_000  # bytes of a .npy file's header that are parsed


class Held:
    """An array, a PIL image, or a picture small enough to hold whole."""

    def __init__(self, image: Any) -> None:
        found = decoded(image)
        self._pixels, self._cover = found.pixels, found.cover
        height, width, bands = self._pixels.shape
        self.about = About(
            str(image) if isinstance(image, str | Path) else "the image", bands, str(self._pixels.dtype),
            (Level(height, width, (1, 1)),), white=white_of(self._pixels.dtype), inverted=found.inverted,
            parallel=True, alpha="" if found.cover is None else "straight", remarks=found.remarks,
            names=RGB if bands == len(RGB) and not isinstance(image, np.ndarray) else (),
        )  # fmt: skip  # the process holds it already

    def read(self, level: int, rows: Span, cols: Span, bands: Sequence[int]) -> Window:
        part = slice(*rows), slice(*cols)
        return Window(chosen(self._pixels[part], bands), None if self._cover is None else self._cover[part])

    def close(self) -> None:
        pass


class RowsInFile:
    """A C-ordered array (H, W) or (H, W, C) that lies in a file as it is; rows of a window are read from their places.

    A mapping of it would count with what the kernel maps around every page that is touched, several times what is read.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], offset: int) -> None:
        self._path, self._shape, self._dtype, self._offset = path, shape, dtype, offset
        self._again = Again()

    def read(self, rows: Span, cols: Span) -> Array:
        """(rows, cols, C), in the machine's byte order."""
        part = self._again.empty((rows[1] - rows[0], cols[1] - cols[0], *self._shape[2:]), self._dtype)
        pixel = self._dtype.itemsize * (self._shape[2] if len(self._shape) == 3 else 1)
        into, row, step = part.reshape(-1).view(np.uint8).data, pixel * (cols[1] - cols[0]), pixel * self._shape[1]
        at = self._offset + rows[0] * step + cols[0] * pixel
        if row == step:  # the window lies in one piece
            row = len(into)
        with self._path.open("rb", buffering=0) as file:
            read = _reader(file)
            for first in range(0, len(into), row):
                got = read(into[first : first + row], at)
                while got < row:  # a system reads so much at once
                    if not (more := read(into[first + got : first + row], at + got)):
                        raise OSError("the file ends before the array does")
                    got += more
                at += step
        part = part if part.ndim == 3 else part[:, :, None]
        return part if part.dtype.isnative else part.astype(part.dtype.newbyteorder("="))


def _reader(file: FileIO) -> Callable[[memoryview, int], int]:
    """What fills memory from a place in a file, and says with how many bytes; by one call to the system where it has that."""
    if hasattr(os, "preadv"):
        number, of = file.fileno(), os.preadv
        return lambda part, at: of(number, (part,), at)

    def moved(part: memoryview, at: int) -> int:
        file.seek(at)
        return file.readinto(part)

    return moved


class Npy:
    """An array of (H, W) or (H, W, C) in a ``.npy`` file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        require_start(path, b"\x93NUMPY", "an .npy file")
        array = self._mapped()
        if array.ndim not in (2, 3) or array.size == 0 or array.dtype.kind not in "fiub":
            raise BadInput(
                f"{path}: an image must be numbers of (H, W) or (H, W, C), found {array.shape} of {array.dtype}"
            )
        self._rows = RowsInFile(path, array.shape, array.dtype, array.offset) if array.flags.c_contiguous else None
        height, width = array.shape[:2]
        bands = 1 if array.ndim == 2 else array.shape[2]
        self.about = About(
            str(path),
            bands,
            array.dtype.newbyteorder("=").name,
            (Level(height, width, (1, 1)),),
            parallel=True,
            white=white_of(array.dtype),
        )

    def _mapped(self) -> np.memmap[Any, Any]:
        found: np.memmap[Any, Any] = np.load(self._path, mmap_mode="r", allow_pickle=False, max_header_size=_HEADER)
        return found

    def read(self, level: int, rows: Span, cols: Span, bands: Sequence[int]) -> Window:
        if self._rows is not None:
            return Window(chosen(self._rows.read(rows, cols), bands))
        part = np.array(self._mapped()[slice(*rows), slice(*cols)]).astype(self.about.dtype, copy=False)
        return Window(chosen(part if part.ndim == 3 else part[:, :, None], bands))

    def close(self) -> None:
        pass
