"""Which cells are mapped: those whose centre lies in a mask or in polygons, or whose own square is not blank.

``auto`` maps a cell of whose own square, one stride around its centre, at least a tenth shows something; ``auto:0.3`` sets that share. A
pixel is blank where all its channels are 220 or more and no more than 16 apart (glass, paper), or all are 8 or less (outside a scan),
of 255.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Protocol

import numpy as np

from fullconv.errors import BadInput
from fullconv.geometry.grid import Grid
from fullconv.rasters.source import About
from fullconv.stream.mask import Array, Mask, Picture
from fullconv.stream.polygons import SUFFIXES, Polygons
from fullconv.system.guard import reads, require_file

_SHARE = 0.1  # of a cell's own square that shows something: thin tissue, fat say, is mostly white
_LEAST_SQUARE = 16  # pixels a side of that square, where cells are nearer
_BRIGHT, _APART, _DARK = 220, 16, 8


class Where(Protocol):
    """A rule that is known before a pixel is read."""

    fingerprint: str

    def cells(self, grid: Grid, rows: tuple[int, int], cols: tuple[int, int]) -> Mask:
        """Which of these cells are mapped, (rows, cols); the grid is in pixels of the finest level."""


def where_of(given: str | None, about: About) -> Where | None:
    """The rule of a file; None where there is none, or where it needs the pixels (``auto``)."""
    if given is None or auto_share(given) is not None:
        return None
    path = Path(given)
    require_file(path, "--where takes auto, a mask picture, or polygons (GeoJSON, GeoPackage, Shapefile)")
    reads(path)
    if path.suffix.lower() in SUFFIXES:
        return Polygons(path, about)
    return Picture(path, about)


def auto_share(given: str | None) -> float | None:
    """The least share of a cell's own square that shows something, as ``auto`` says; None for any other rule.

    Raises:
        BadInput: a share that is none.
    """
    word, _, share = (given or "").partition(":")
    if word != "auto":
        return None
    try:
        value = float(share) if share else _SHARE
    except ValueError:
        value = -1
    if not 0 < value <= 1:
        raise BadInput(
            f"--where {given}: after auto: comes a share of a cell's own square above 0 and up to 1, as in auto:0.3"
        )
    return value


def own_square(grid: Grid) -> tuple[tuple[int, int], tuple[int, int]]:
    """First pixel (y, x) from the crop's, and (height, width), of the square around a cell's centre that is its own: one stride, within the crop."""
    sides = []
    for step, crop, centre in zip(grid.stride, grid.crop, grid.centre0, strict=True):
        side = min(max(int(step), _LEAST_SQUARE), int(crop))
        sides.append((min(max(ceil(centre + Fraction(1 - side, 2)), 0), int(crop) - side), side))
    (top, high), (left, wide) = sides
    return (top, left), (high, wide)


def fingerprint(given: str | None, rule: Where | None) -> str | None:
    """What a run must share with an earlier one."""
    share = auto_share(given)
    if share is not None:
        return f"auto, {share:g} of a cell's own square"
    return None if rule is None else rule.fingerprint


def blank(pixels: Array) -> Mask:
    """Pixels (H, W, C) on 0..255 that show nothing, by the rule above."""
    low = high = pixels[:, :, 0]
    for channel in range(1, pixels.shape[2]):  # whole planes: over a short last axis numpy takes 15 times as long
        low, high = np.minimum(low, pixels[:, :, channel]), np.maximum(high, pixels[:, :, channel])
    found: Mask = ((low >= _BRIGHT) & (high - low <= _APART)) | (high <= _DARK)
    return found
