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


class Picture:
    """A mask of any size, laid over the image: what is not 0 is mapped."""

    def __init__(self, path: Path, about: About) -> None:
        self._mask: Mask = np.asarray(read_image(path).any(axis=2))
        self.fingerprint = hashlib.sha256(np.packbits(self._mask).tobytes()).hexdigest()[:32]
        self._scale = tuple(have / length for have, length in zip(self._mask.shape, about.size, strict=True))
        ratio = self._scale[0] / self._scale[1]
        if not 0.95 < ratio < 1.05:
            (height, width), (rows, cols) = about.size, self._mask.shape
            raise BadInput(f"{path}: a mask of {cols}×{rows} has another shape than the image of {width}×{height}")

    def cells(self, grid: Grid, rows: tuple[int, int], cols: tuple[int, int]) -> Mask:
        y, x = centres(grid, rows, cols)
        at = [
            np.clip(((place + 0.5) * scale).astype(int), 0, length - 1)
            for place, scale, length in zip((y, x), self._scale, self._mask.shape, strict=True)
        ]
        found: Mask = self._mask[np.ix_(at[0], at[1])]
        return found


def centres(grid: Grid, rows: tuple[int, int], cols: tuple[int, int]) -> tuple[Array, Array]:
    """y and x of cells' centres, as pixel indices."""
    y, x = (
        float(first) + np.arange(*between) * float(step)
        for first, step, between in zip(grid.centre0, grid.stride, (rows, cols), strict=True)
    )
    return y, x
