"""Which pixels show nothing, and which pixels are a cell's own.

A pixel is blank where all its channels are 220 or more and no more than 16 apart (glass, paper), or all are 8 or less (outside a scan), of 255.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import numpy as np
import numpy.typing as npt

from fullconv.geometry.grid import Grid
from fullconv.rasters.source import Array

Mask = npt.NDArray[np.bool_]
_LEAST_SQUARE = 16  # pixels a side of a cell's own square, where cells are nearer
_BRIGHT, _APART, _DARK = 220, 16, 8
_ROWS = 64


def own_square(grid: Grid) -> tuple[tuple[int, int], tuple[int, int]]:
    """First pixel (y, x) from the crop's, and (height, width), of the square around a cell's centre that is its own: one stride, within the crop."""
    sides = []
    for step, crop, centre in zip(grid.stride, grid.crop, grid.centre0, strict=True):
        side = min(max(int(step), _LEAST_SQUARE), int(crop))
        sides.append((min(max(ceil(centre + Fraction(1 - side, 2)), 0), int(crop) - side), side))
    (top, high), (left, wide) = sides
    return (top, left), (high, wide)


def blank(pixels: Array) -> Mask:
    """Pixels (H, W, C) on 0..255 that show nothing, by the rule above; a few rows at a time, which stay in the processor's cache."""
    found: Mask = np.empty(pixels.shape[:2], np.bool_)
    for row in range(0, len(pixels), _ROWS):
        part = pixels[row : row + _ROWS]
        low = high = part[:, :, 0]
        for channel in range(1, part.shape[2]):  # whole planes: over a short last axis numpy takes 15 times as long
            low, high = np.minimum(low, part[:, :, channel]), np.maximum(high, part[:, :, channel])
        found[row : row + _ROWS] = ((low >= _BRIGHT) & (high - low <= _APART)) | (high <= _DARK)
    return found
