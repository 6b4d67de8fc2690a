"""Images held in memory, and ``.npy`` files, of which only the window asked for is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fullconv.errors import BadInput
from fullconv.rasters.pictures import read_image
from fullconv.rasters.source import About, Array, Level, decoding

_TILE = 512  # px; any will do


class Held:
    """An array, a PIL image, or a picture small enough to hold whole."""

    def __init__(self, image: Any) -> None:
        pixels = read_image(image)
        self._pixels = pixels
        height, width, bands = pixels.shape
        name = str(image) if isinstance(image, str | Path) else "the image"
        self.about = About(
            name, bands, str(pixels.dtype), (Level(height, width, (_TILE, _TILE)),), held=0
        )  # the process holds it already

    def read(self, level: int, rows: tuple[int, int], cols: tuple[int, int]) -> Array:
        return self._pixels[rows[0] : rows[1], cols[0] : cols[1]]

    def close(self) -> None:
        pass


class Npy:
    """An array of (H, W) or (H, W, C) in a ``.npy`` file.

    Rows of a window are read from their places in the file: a mapping of it would count with what the kernel maps around every page
    that is touched, several times what is read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        array = self._mapped()
        if array.ndim not in (2, 3) or array.size == 0 or array.dtype.kind not in "fiub":
            raise BadInput(
                f"{path}: an image must be numbers of (H, W) or (H, W, C), found {array.shape} of {array.dtype}"
            )
        self._shape, self._dtype, self._offset = array.shape, array.dtype, array.offset
        self._by_rows = array.flags.c_contiguous
        height, width = array.shape[:2]
        bands = 1 if array.ndim == 2 else array.shape[2]
        self.about = About(str(path), bands, array.dtype.name, (Level(height, width, (1, 1)),))

    def _mapped(self) -> np.memmap[Any, Any]:
        try:
            found: np.memmap[Any, Any] = np.load(self._path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise BadInput(f"{self._path}: not a readable .npy file ({error})") from None
        return found

    def read(self, level: int, rows: tuple[int, int], cols: tuple[int, int]) -> Array:
        with decoding(self.about.name, rows, cols):
            part = self._rows(rows, cols) if self._by_rows else np.array(self._mapped()[slice(*rows), slice(*cols)])
        return part if part.ndim == 3 else part[:, :, None]

    def _rows(self, rows: tuple[int, int], cols: tuple[int, int]) -> Array:
        part = np.empty((rows[1] - rows[0], cols[1] - cols[0], *self._shape[2:]), self._dtype)
        pixel = self._dtype.itemsize * (self._shape[2] if len(self._shape) == 3 else 1)
        with self._path.open("rb", buffering=0) as file:
            for i, row in enumerate(range(*rows)):
                file.seek(self._offset + (row * self._shape[1] + cols[0]) * pixel)
                if file.readinto(part[i].view(np.uint8).reshape(-1).data) != part[i].nbytes:
                    raise OSError("the file ends before the array does")
        return part

    def close(self) -> None:
        pass
