"""A window of an image at another resolution, whose pixels do not depend on how the image is cut into windows.

A triangle filter over the pixels that each one covers (as wide as two pixels where the image grows), with weights from places counted
from the image's first pixel and taps added in one order: what a pixel is does not change with its window, not by a rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor

import numpy as np
import numpy.typing as npt

_ROWS = 128  # rows that are made at once


@dataclass(frozen=True, slots=True)
class Axis:
    """One side of an image at two resolutions: ``length`` pixels as stored, ``count`` as seen."""

    length: int
    count: int

    @property
    def scale(self) -> float:
        """Pixels as stored for one as seen."""
        return self.length / self.count

    @property
    def support(self) -> float:
        """Half the filter's width."""
        return max(self.scale, 1.0)

    def needs(self, first: int, last: int) -> tuple[int, int]:
        """The pixels as stored that [first, last) are made of."""
        low = floor((first + 0.5) * self.scale - self.support)
        high = ceil((last - 0.5) * self.scale + self.support)
        return max(0, low), min(self.length, high + 1)

    def taps(self, first: int, last: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]:
        """(taps, pixels) places as stored, and their weights, which add up to one."""
        centre = (np.arange(first, last) + 0.5) * self.scale
        low = np.ceil(centre - self.support - 0.5).astype(np.intp)
        at = low[None] + np.arange(2 * ceil(self.support) + 1)[:, None]
        weight = np.clip(1 - np.abs(at + 0.5 - centre[None]) / self.support, 0, None)
        weight[(at < 0) | (at >= self.length)] = 0
        total = np.zeros(weight.shape[1])
        for row in weight:  # one order, whatever the window
            total += row
        return np.clip(at, 0, self.length - 1), (weight / total).astype(np.float32)


def resampled(
    values: npt.NDArray[np.float32],
    start: tuple[int, int],
    axes: tuple[Axis, Axis],
    rows: tuple[int, int],
    cols: tuple[int, int],
) -> npt.NDArray[np.float32]:
    """(rows, cols, channels) as seen.

    Args:
        values: (H, W, channels) as stored, at least what ``needs`` names.
        start: (row, column) of its first pixel.
    """
    across, weights = axes[1].taps(*cols)
    down, along = axes[0].taps(*rows)
    wide = np.zeros((len(values), cols[1] - cols[0], values.shape[2]), np.float32)
    for at, weight in zip(across - start[1], weights, strict=True):
        if weight.any():
            wide += values[:, np.clip(at, 0, values.shape[1] - 1)] * weight[None, :, None]
    out = np.zeros((rows[1] - rows[0], *wide.shape[1:]), np.float32)
    for at, weight in zip(down - start[0], along, strict=True):
        if weight.any():
            out += wide[np.clip(at, 0, len(wide) - 1)] * weight[:, None, None]
    return out


def strips(rows: tuple[int, int]) -> list[tuple[int, int]]:
    """Rows as seen in parts that are made at once."""
    return [(top, min(top + _ROWS, rows[1])) for top in range(rows[0], rows[1], _ROWS)]
