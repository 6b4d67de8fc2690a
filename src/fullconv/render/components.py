"""Principal components of features, counted piece by piece, and their picture: the first three as red, green and blue.

Sums of squares are taken around each piece's own mean, in float64, and joined (Chan, Golub & LeVeque 1979), so that a map of any size takes the memory
of a piece and of one matrix of (channels, channels).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from fullconv.errors import BadInput
from fullconv.geometry.grid import Grid
from fullconv.render import canvas as on
from fullconv.render.listed import Entry, list_entries, plan_list, told_share
from fullconv.render.overlay import Look, tell_about
from fullconv.render.subject import Subject

FEATURES = "features"  # what scores are, of a layer's value
Array = npt.NDArray[Any]
_PIECE = 16 << 20  # bytes of features that are read at once
_MOST = 8192  # channels: a matrix of half a gigabyte
_WIDE = 2.5  # standard deviations that a colour's scale has on either side of the mean
_COLOURS = (("first, red", (220, 50, 47)), ("second, green", (50, 160, 60)), ("third, blue", (50, 90, 220)))


@dataclass(frozen=True, eq=False)
class Components:
    """Principal components of the features of one or several maps.

    Attributes:
        mean: float64 (channels,).
        axes: float64 (components, channels), of length 1 each, the one of most variance first; the entry that is largest is positive.
        variances: float64 (components,), along them.
        total: variance of all channels together.
        cells: that were counted; those without an answer are not.
    """

    mean: Array
    axes: Array
    variances: Array
    total: float
    cells: int

    @property
    def shares(self) -> Array:
        """(components,), of all variance."""
        return self.variances / self.total if self.total > 0 else np.zeros_like(self.variances)

    def of(self, features: Array) -> npt.NDArray[np.float32]:
        """Features (channels, ...) along the components, (components, ...); NaN where there is no answer."""
        channels = len(self.mean)
        if len(features) != channels:
            raise BadInput(f"features of {len(features)} channels; the components are of {channels}")
        flat = np.asarray(features, np.float64).reshape(channels, -1) - self.mean[:, None]
        return (self.axes @ flat).astype(np.float32).reshape(len(self.axes), *features.shape[1:])

    def colours(self, along: Array) -> npt.NDArray[np.uint8]:
        """What ``of`` gives for three components or fewer as colours, (..., 3): 2.5 standard deviations about the mean fill each channel."""
        wide = np.sqrt(self.variances)[:3].reshape(-1, *[1] * (along.ndim - 1)) * 2 * _WIDE
        shown = np.full((3, *along.shape[1:]), 0.5)
        np.divide(np.nan_to_num(along[:3]), wide, out=shown[: len(along[:3])], where=wide > 0)
        shown[: len(along[:3])] += np.where(wide > 0, 0.5, 0.0)
        if len(along) == 1:
            shown[1:] = shown[:1]
        return np.asarray(np.rint(255 * np.clip(np.moveaxis(shown, 0, -1), 0, 1)), np.uint8)

    def __repr__(self) -> str:
        told = ", ".join(f"{share:.1%}" for share in self.shares[:3])
        more = ", ..." if len(self.shares) > 3 else ""
        return f"Components({len(self.axes)} of {len(self.mean)} channels, {told}{more} of the variance, {self.cells:,} cells)"


def components_of(maps: Sequence[Subject], count: int = 3) -> Components:
    """The first components of the features of all cells with an answer.

    Raises:
        BadInput: maps differ in their channels, hold too many, or fewer than two cells with an answer.
    """
    channels = len(maps[0].labels)
    if any(len(found.labels) != channels for found in maps):
        told = ", ".join(str(len(found.labels)) for found in maps)
        raise BadInput(f"maps of {told} channels: components are of one layer's")
    if count < 1:
        raise BadInput(f"components {count}: must be at least 1")
    if channels > _MOST:
        raise BadInput(f"{channels} channels: components are found of up to {_MOST}")
    cells, mean, squares = 0, np.zeros(channels), np.zeros((channels, channels))
    for found in maps:
        for rows, cols in pieces(found):
            part = np.asarray(found.scores[:, rows, cols]).reshape(channels, -1)
            part = part[:, np.isfinite(part).all(axis=0)].astype(np.float64)
            if not part.shape[1]:
                continue
            own = part.mean(axis=1)
            part -= own[:, None]
            gap, more = own - mean, part.shape[1]
            squares += part @ part.T + np.outer(gap, gap) * (cells * more / (cells + more))
            cells += more
            mean = mean + gap * (more / cells)
    if cells < 2:
        raise BadInput(f"{cells} cells have an answer; components are of two at least")
    squares /= cells
    values, vectors = np.linalg.eigh(squares)
    axes = vectors.T[::-1][:count]
    axes = axes * np.where(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)] < 0, -1.0, 1.0)[:, None]
    return Components(mean, axes, np.maximum(values[::-1][:count], 0), float(np.trace(squares)), cells)


def pieces(found: Subject, within: tuple[slice, slice] | None = None) -> Iterator[tuple[slice, slice]]:
    """A map, or a part of it, in pieces of which all channels are read at once: rows of its store's chunks."""
    for rows, cols in found.pieces() if within is None else (within,):
        step = max(1, _PIECE // (4 * len(found.labels) * (cols.stop - cols.start)))
        for first in range(rows.start, rows.stop, step):
            yield slice(first, min(first + step, rows.stop)), cols


def components_picture(
    found: Subject,
    picture: Image.Image | None,
    look: Look | None = None,
    factor: int = 1,
    components: Components | None = None,
) -> on.Canvas:
    """The first three components as red, green and blue over the image.

    Args:
        factor: blocks of so many cells a side are drawn as one, by their mean.
        components: of other maps, or of several, to be shown in the same colours; the map's own by default.
    """
    components = components or components_of([found])
    alpha = (look or Look()).alpha or 1.0
    grid, along = _along(found, components, factor)
    plan = plan_list(3, on.drawn_size(found.grid)[1][1])
    page = on.start(picture, found.grid, plan.height, plan.columns)
    on.lay_cells(page, grid, components.colours(along), np.where(np.isnan(along[0]), 0.0, alpha))
    subtitle = f"of {len(found.labels)} channels of {found.output}, by their share of the variance"
    top = on.text_lines(page, on.MARGIN, [("principal components", 20, on.INK), (subtitle, 13, on.FAINT)])
    entries = [
        Entry(colour, name, told_share(float(share)))
        for (name, colour), share in zip(_COLOURS, components.shares, strict=False)
    ]
    y = list_entries(page, plan, entries, top + 8)
    tell_about(page, found, y + 6)
    return page


def _along(found: Subject, components: Components, factor: int) -> tuple[Grid, Array]:
    """A grid of blocks of cells, and the means of these along three components, (components, rows, cols); NaN without an answer."""
    grid = found.grid.coarser(factor)
    sums = np.zeros((min(3, len(components.axes)), grid.rows, grid.cols))
    counts = np.zeros((grid.rows, grid.cols))
    for rows, cols in pieces(found):
        part = components.of(np.asarray(found.scores[:, rows, cols]))[:3].astype(np.float64)
        known = np.isfinite(part).all(axis=0)
        at = np.ix_(np.arange(rows.start, rows.stop) // factor, np.arange(cols.start, cols.stop) // factor)
        np.add.at(counts, at, known)
        for plane, values in zip(sums, part, strict=True):
            np.add.at(plane, at, np.where(known, values, 0.0))
    return grid, np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
