"""Cells whose crops hold too little data to be answered."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fullconv.geometry.grid import Grid

Mask = npt.NDArray[np.bool_]


def without_answer(missing: Mask, grid: Grid, most: float) -> Mask:
    """Cells (rows, cols) of which more than ``most`` of the crop is missing; ``missing`` is (H, W) of the grid's image."""
    rows, cols = (np.arange(count) * int(step) for count, step in zip((grid.rows, grid.cols), grid.stride, strict=True))
    return share_of(missing, rows, cols, (int(grid.crop[0]), int(grid.crop[1]))) > most


def share_of(
    mask: Mask, rows: npt.NDArray[np.intp], cols: npt.NDArray[np.intp], crop: tuple[int, int]
) -> npt.NDArray[np.float64]:
    """Share of True pixels in each crop: rows and cols are the crops' first pixels; what lies outside the mask does not count."""
    sums = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1), np.int32)
    sums[1:, 1:] = mask
    for axis in (0, 1):
        np.cumsum(sums, axis=axis, out=sums)
    y0, x0 = np.clip(rows, 0, mask.shape[0]), np.clip(cols, 0, mask.shape[1])
    y1, x1 = np.clip(rows + crop[0], 0, mask.shape[0]), np.clip(cols + crop[1], 0, mask.shape[1])
    inside = sums[np.ix_(y1, x1)] - sums[np.ix_(y0, x1)] - sums[np.ix_(y1, x0)] + sums[np.ix_(y0, x0)]
    area = np.outer(y1 - y0, x1 - x0)
    return inside / np.maximum(area, 1)
