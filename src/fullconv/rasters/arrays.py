"""Arrays of any axes as (H, W, bands): OME-Zarr, Zarr, and TIFF by tifffile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fullconv.errors import BadInput
from fullconv.rasters.source import Array


def axes_of(shape: Sequence[int], named: str | None, name: str) -> str:
    """One letter an axis, ``y``, ``x`` and ``c`` among them: as told, or by the shape.

    Raises:
        BadInput: no reading of the shape is an image.
    """
    if named is not None:
        found = named.lower().replace("s", "c")
    elif len(shape) == 2:
        found = "yx"
    elif len(shape) == 3:
        found = "cyx" if shape[0] <= 4 < shape[2] or shape[0] < shape[2] else "yxc"
    else:
        found = "tczyx"[-len(shape) :]
    if "y" not in found or "x" not in found or len(found) != len(shape) or found.count("c") > 1:
        raise BadInput(f"{name}: an array of {tuple(shape)}, axes {found!r}, is no image of (y, x) and channels")
    many = [axis for axis, size in zip(found, shape, strict=True) if axis not in "yxc" and size > 1]
    if many:
        told = ", ".join(f"{size} of {axis}" for axis, size in zip(found, shape, strict=True) if axis in many)
        raise BadInput(f"{name}: holds several planes ({told}); write the one to be mapped to a file of its own")
    return found


def window_of(array: Any, axes: str, rows: tuple[int, int], cols: tuple[int, int]) -> Array:
    """A window of an array with these axes as (H, W, bands)."""
    at = {"y": slice(*rows), "x": slice(*cols), "c": slice(None)}
    part = np.asarray(array[tuple(at.get(axis, 0) for axis in axes)])
    left = [axis for axis in axes if axis in at]
    if "c" not in left:
        return part[:, :, None] if left == ["y", "x"] else part.T[:, :, None]
    return part.transpose([left.index(axis) for axis in "yxc"])


def size_of(shape: Sequence[int], axes: str) -> tuple[int, int, int]:
    """(height, width, bands)."""
    along = dict(zip(axes, shape, strict=True))
    return along["y"], along["x"], along.get("c", 1)
