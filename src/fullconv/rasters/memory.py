"""Images held in memory, and ``.npy`` files, of which only the window asked for is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fullconv.errors import BadInput
from fullconv.images import read_image
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
    """An array of (H, W) or (H, W, C) in a ``.npy`` file; mapped anew for every window, so that no page stays."""

    def __init__(self, path: Path) -> None:
        self._path = path
        array = self._open()
        if array.ndim not in (2, 3) or array.size == 0 or array.dtype.kind not in "fiub":
            raise BadInput(
                f"{path}: an image must be numbers of (H, W) or (H, W, C), found {array.shape} of {array.dtype}"
            )
        height, width = array.shape[:2]
        bands = 1 if array.ndim == 2 else array.shape[2]
        self.about = About(str(path), bands, str(array.dtype), (Level(height, width, (1, 1)),), mapped=True)

    def _open(self) -> Array:
        try:
            found: Array = np.load(self._path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise BadInput(f"{self._path}: not a readable .npy file ({error})") from None
        return found

    def read(self, level: int, rows: tuple[int, int], cols: tuple[int, int]) -> Array:
        with decoding(self.about.name, rows, cols):
            part = np.array(self._open()[rows[0] : rows[1], cols[0] : cols[1]])
        return part if part.ndim == 3 else part[:, :, None]

    def close(self) -> None:
        pass
