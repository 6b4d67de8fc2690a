"""Arrays of any axes as (H, W, bands): OME-Zarr, Zarr, and TIFF by tifffile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fullconv.errors import BadInput
from fullconv.rasters.source import Array, Span


def axes_of(shape: Sequence[int], named: str | None, name: str) -> str:
    """One letter an axis, ``y``, ``x`` and ``c`` among them: as stated, or by the shape.

    Raises:
        BadInput: no reading of the shape is an image.
    """
    if named is not None:
        axes = named.lower().replace("s", "c")
    elif len(shape) == 2:
        axes = "yx"
    elif len(shape) == 3:
        axes = "cyx" if shape[0] <= 4 < shape[2] or shape[0] < shape[2] else "yxc"
    else:
        axes = "tczyx"[-len(shape) :]
    wrong = axes.count("y") != 1 or axes.count("x") != 1 or axes.count("c") > 1 or len(axes) != len(shape)
    if wrong or 0 in shape:
        raise BadInput(f"{name}: an array of {tuple(shape)}, axes {axes!r}, is no image of (y, x) and channels")
    many = [axis for axis, size in zip(axes, shape, strict=True) if axis not in "yxc" and size > 1]
    if many:
        planes = ", ".join(f"{size} of {axis}" for axis, size in zip(axes, shape, strict=True) if axis in many)
        raise BadInput(f"{name}: holds several planes ({planes}); write the one to be mapped to a file of its own")
    return axes


def window_of(array: Any, axes: str, rows: Span, cols: Span, bands: Sequence[int]) -> Array:
    """A window of an array with these axes as (H, W, bands); no band outside the least run of bands that holds those asked for is read."""
    first, last = min(bands), max(bands) + 1
    at = {"y": slice(*rows), "x": slice(*cols), "c": slice(first, last)}
    part = np.asarray(array[tuple(at.get(axis, 0) for axis in axes)])
    left = [axis for axis in axes if axis in at]
    if "c" not in left:
        part, left = part[..., None], [*left, "c"]
    part = part.transpose([left.index(axis) for axis in "yxc"])
    wanted = [band - first for band in bands]
    return part if wanted == list(range(part.shape[2])) else part[:, :, wanted]


def size_of(shape: Sequence[int], axes: str) -> tuple[int, int, int]:
    """(height, width, bands)."""
    along = dict(zip(axes, shape, strict=True))
    return along["y"], along["x"], along.get("c", 1)


def chosen(pixels: Array, bands: Sequence[int]) -> Array:
    """These bands of (H, W, bands)."""
    return pixels if list(bands) == list(range(pixels.shape[2])) else pixels[:, :, list(bands)]
