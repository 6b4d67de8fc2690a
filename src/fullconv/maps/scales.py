"""Maps of one image at several scales as one: each on its own grid, all in pixels of the original image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fullconv.errors import BadInput
from fullconv.geometry.grid import Grid
from fullconv.maps.classmap import ClassMap

Array = npt.NDArray[Any]
Fuse = Literal["max", "mean"]


def require_fuse(how: str, scales: Sequence[float] | None) -> None:
    """BadInput where there is no such way, or nothing to be fused by it."""
    if how not in ("max", "mean"):
        raise BadInput(f"fuse {how!r}: not max or mean")
    if scales is None and how != "max":
        raise BadInput(f"fuse {how}: is of maps of several scales; give these with --scales (scales=)")


def fused(parts: Sequence[ClassMap], scales: Sequence[float], how: Fuse, pixels: Array | None) -> ClassMap:
    """One map on the finest grid of all; a cell takes of each scale the cell whose centre is nearest.

    Args:
        parts: one map a scale, their grids in pixels of the original image.
        scales: of the parts.
        how: the largest score of each class over the scales that have a cell there, or the mean.
        pixels: the original image.
    """
    finest = min(parts, key=lambda part: part.grid.stride)
    grid = finest.grid
    shape = finest.scores.shape
    total = np.full(shape, -np.inf if how == "max" else 0, np.float32)
    count = np.zeros(shape[1:], np.float32)
    top = np.full(shape[1:], -np.inf, np.float32)
    won = np.zeros(shape[1:], np.int16)
    for i, part in enumerate(parts):
        rows, has_row = _nearest(grid, part.grid, 0)
        cols, has_col = _nearest(grid, part.grid, 1)
        inside = np.ix_(has_row, has_col)
        scores = part.scores[:, rows[has_row]][:, :, cols[has_col]]
        answers = ~np.isnan(scores).any(axis=0)
        before = total[:, inside[0], inside[1]]
        both = np.fmax(before, scores) if how == "max" else before + np.where(answers, scores, 0)
        total[:, inside[0], inside[1]] = both
        count[inside] += answers
        best = scores.max(axis=0)
        beats = best > top[inside]
        won[inside] = np.where(beats, i, won[inside])
        top[inside] = np.where(beats, best, top[inside])
    if how == "mean":
        total /= np.maximum(count, 1)
    total[:, count == 0] = np.nan  # no scale has an answer there
    return replace(finest, scores=total, parts=tuple(parts), scales=tuple(scales), won=won, pixels=pixels)


def _nearest(grid: Grid, other: Grid, side: int) -> tuple[Array, Array]:
    """For each row (side 0) or column (1) of a grid, the other's whose centre is nearest, as ``Grid.nearest`` has it, and whether there is one so near."""
    count, most = ((grid.rows, other.rows), (grid.cols, other.cols))[side]
    places = [
        (grid.centre0[side] + i * grid.stride[side] - other.centre0[side]) / other.stride[side] for i in range(count)
    ]
    found = np.array([round(place) for place in places])
    inside = np.array([-Fraction(1, 2) <= place < most - Fraction(1, 2) for place in places])
    return np.clip(found, 0, most - 1), inside
