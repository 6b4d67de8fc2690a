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
    y0, x0 = np.clip(rows, 0, mask.shape[0]), np.clip(cols, 0, mask.shape[1])
    y1, x1 = np.clip(rows + crop[0], 0, mask.shape[0]), np.clip(cols + crop[1], 0, mask.shape[1])
    across = np.zeros((mask.shape[0], mask.shape[1] + 1), np.int32)
    np.cumsum(mask, axis=1, out=across[:, 1:])
    down = np.zeros((mask.shape[0] + 1, len(cols)), np.int32)
    np.cumsum(across[:, x1] - across[:, x0], axis=0, out=down[1:])
    inside = down[y1] - down[y0]
    area = np.outer(y1 - y0, x1 - x0)
    return inside / np.maximum(area, 1)
