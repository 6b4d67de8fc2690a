"""Pictures of maps too large to draw cell by cell: blocks of cells, of which the highest score, or the middle one's class, is shown."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from fullconv.errors import BadInput
from fullconv.rasters.view import Selection, View
from fullconv.render.canvas import Canvas
from fullconv.render.components import components_picture
from fullconv.render.overlay import Look, heat_picture, top1_picture
from fullconv.render.subject import Subject

_CELLS = 1600  # a side, as many as a picture has pixels
_THUMBNAIL = 1600  # px


def reduced_picture(
    found: Subject,
    name: str | int | None,
    image: Any,
    look: Look | None = None,
    select: Selection | None = None,
    components: bool = False,
) -> Canvas:
    """The picture of a stored map, read piece by piece, over a small picture of its image."""
    factor = max(1, -(-max(found.grid.rows, found.grid.cols) // _CELLS))
    grid = found.grid.coarser(factor)
    picture = None if image is None else thumbnail_of(found, image, select)
    if components:
        return components_picture(found, picture, look, factor)
    if name is not None:
        index = found.class_index(name)
        scores = highest_of_blocks(found, index, factor)
        return heat_picture(found, index, picture, look, drawn=(grid, scores))
    winners, counts = winners_of_blocks(found, factor)
    return top1_picture(found, picture, look, drawn=(grid, winners, counts))


def highest_of_blocks(found: Subject, index: int, factor: int) -> npt.NDArray[np.float32]:
    """The highest score of one class in each block of factor × factor cells; NaN where none has an answer. Of winners' numbers the middle cell's."""
    if found.score_kind == "winner":
        return middle_of_blocks(found, factor)
    grid = found.grid.coarser(factor)
    out = np.full((grid.rows, grid.cols), np.nan, np.float32)
    for top, left, scores in found.blocks(index):
        part = scores
        firsts = []
        for axis, start in ((0, top), (1, left)):
            place = np.arange(start, start + scores.shape[axis]) // factor
            edges = np.flatnonzero(np.diff(place, prepend=place[0] - 1))
            part = np.fmax.reduceat(part, edges, axis=axis)
            firsts.append(int(place[0]))
        into = out[firsts[0] : firsts[0] + part.shape[0], firsts[1] : firsts[1] + part.shape[1]]
        np.fmax(into, part, out=into)
    return out


def middle_of_blocks(found: Subject, factor: int) -> npt.NDArray[np.float32]:
    """The winner's number of the cell in the middle of each block, NaN without an answer."""
    grid = found.grid.coarser(factor)
    out = np.full((grid.rows, grid.cols), np.nan, np.float32)
    for top, left, numbers in found.blocks(0):
        places = [
            np.minimum(np.arange(count) * factor + factor // 2, length - 1) - first
            for count, length, first in ((grid.rows, found.grid.rows, top), (grid.cols, found.grid.cols, left))
        ]
        rows, cols = (
            np.flatnonzero((place >= 0) & (place < side)) for place, side in zip(places, numbers.shape, strict=True)
        )
        out[np.ix_(rows, cols)] = numbers[np.ix_(places[0][rows], places[1][cols])]
    return out


def winners_of_blocks(found: Subject, factor: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The winning class of the cell in the middle of each block, -1 without an answer, and how many cells each class wins."""
    grid = found.grid.coarser(factor)
    out = np.full((grid.rows, grid.cols), -1, np.intp)
    counts = np.zeros(len(found.labels), np.intp)
    middle = [
        np.minimum(np.arange(count) * factor + factor // 2, length - 1)
        for count, length in ((grid.rows, found.grid.rows), (grid.cols, found.grid.cols))
    ]
    for top, left, winners in found.winning():
        counts += np.bincount(winners[winners >= 0], minlength=len(counts))
        rows = np.flatnonzero((middle[0] >= top) & (middle[0] < top + winners.shape[0]))
        cols = np.flatnonzero((middle[1] >= left) & (middle[1] < left + winners.shape[1]))
        out[np.ix_(rows, cols)] = winners[np.ix_(middle[0][rows] - top, middle[1][cols] - left)]
    return out, counts


def thumbnail_of(found: Subject, image: Any, select: Selection | None) -> Image.Image | None:
    """A small picture of a map's image; None where that is too much to read.

    Raises:
        BadInput: it is of another size than the map's.
    """
    with closing(View(image, select)) as view:
        if view.about.size != found.grid.image:
            (height, width), (rows, cols) = view.about.size, found.grid.image
            raise BadInput(f"the image is {width}×{height}, the map is of {cols}×{rows}")
        return view.thumbnail(_THUMBNAIL)
