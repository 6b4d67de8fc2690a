"""Cells whose crops hold too little data to be answered."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from fullconv.geometry.grid import Grid

Mask = npt.NDArray[np.bool_]
_BYTE = 255


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
    edges = np.unique(np.concatenate([y0, y1]))  # rows between two of them are in the same crops
    sums = np.zeros((len(edges), mask.shape[1] + 1), np.int32)
    ones = mask.view(np.uint8)
    for i, (first, last) in enumerate(pairwise(edges)):
        for row in range(first, last, _BYTE):  # so many ones fit in a byte, and bytes add up fastest
            sums[i + 1, 1:] += np.add.reduce(ones[row : min(row + _BYTE, last)], axis=0, dtype=np.uint8)
    np.cumsum(sums, axis=0, out=sums)
    np.cumsum(sums, axis=1, out=sums)
    across = sums[:, x1] - sums[:, x0]
    inside = across[np.searchsorted(edges, y1)] - across[np.searchsorted(edges, y0)]
    shares: npt.NDArray[np.float64] = inside / np.maximum(np.outer(y1 - y0, x1 - x0), 1)
    return shares
