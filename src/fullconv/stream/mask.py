"""A mask picture that says which cells are mapped: those whose centre lies on what is not 0."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.errors import BadInput
from fullconv.geometry.grid import Grid
from fullconv.rasters.source import About
from fullconv.rasters.view import read_image

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


class Laid:
    """A mask (H, W) of any size, laid over an image of (height, width): cells whose centre lies on it are mapped."""

    def __init__(self, mask: Mask, size: tuple[int, int]) -> None:
        self._mask = mask
        self._scale = tuple(have / length for have, length in zip(mask.shape, size, strict=True))

    def cells(self, grid: Grid, rows: tuple[int, int], cols: tuple[int, int]) -> Mask:
        y, x = centres(grid, rows, cols)
        at = [
            np.clip(((place + 0.5) * scale).astype(int), 0, length - 1)
            for place, scale, length in zip((y, x), self._scale, self._mask.shape, strict=True)
        ]
        found: Mask = self._mask[np.ix_(at[0], at[1])]
        return found


class Picture(Laid):
    """A mask in a file: what is not 0 is mapped."""

    def __init__(self, path: Path, about: About) -> None:
        mask: Mask = np.asarray(read_image(path).any(axis=2))
        super().__init__(mask, about.size)
        self.fingerprint = hashlib.sha256(np.packbits(mask).tobytes()).hexdigest()[:32]
        ratio = self._scale[0] / self._scale[1]
        if not 0.95 < ratio < 1.05:
            (height, width), (rows, cols) = about.size, mask.shape
            raise BadInput(f"{path}: a mask of {cols}×{rows} has another shape than the image of {width}×{height}")


def centres(grid: Grid, rows: tuple[int, int], cols: tuple[int, int]) -> tuple[Array, Array]:
    """y and x of cells' centres, as pixel indices."""
    y, x = (
        float(first) + np.arange(*between) * float(step)
        for first, step, between in zip(grid.centre0, grid.stride, (rows, cols), strict=True)
    )
    return y, x
