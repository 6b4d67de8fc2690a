"""What a map holds as polygons: regions, winners' regions, peaks and cells, some at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.exports.cells import Cells, cells_of, peaks_of
from fullconv.exports.names import names_of
from fullconv.exports.outlines import rings_of
from fullconv.exports.projection import Projection
from fullconv.exports.regions import Region, regions_of, winners_of
from fullconv.maps.areas import area_columns
from fullconv.maps.classmap import ClassMap

Array = npt.NDArray[Any]
POLYGONS = ("regions", "winners", "peaks", "cells")
_AT_ONCE = 4096  # features
_OWN = (
    "fid",
    "geom",
    "image",
    "class",
    "label",
    "color",
    "score",
    "row",
    "col",
    "confirmed",
)  # of formats and of features


@dataclass(frozen=True, slots=True)
class Features:
    """Some polygons.

    Attributes:
        shapes: (n,) of shapely, in the coordinates of the export.
        classes: (n,) the class of each.
        numbers: (n,) columns by name.
    """

    shapes: Array
    classes: Array
    numbers: dict[str, Array]


def features_of(
    found: ClassMap,
    projection: Projection,
    classes: tuple[int, ...],
    what: str,
    threshold: float | None,
    distance: float | None,
) -> Iterator[Features]:
    """Polygons of a map; at least once, though none may be left.

    Args:
        threshold: as it counts for ``what``; None where all counts.
    """
    if what == "regions":
        assert threshold is not None
        yield from _regions(found, projection, regions_of(found, classes, threshold))
    elif what == "winners":
        yield from _regions(found, projection, winners_of(found, classes, threshold))
    elif what == "peaks":
        for cells in peaks_of(found, classes, threshold, distance):
            yield _features(cells, projection.shapes(_rectangles(*cells.boxes.T), of_pixels=True), {})
    else:
        every = names_of(found.labels, _OWN)
        names = [every[i] for i in classes]
        for cells in cells_of(found, classes, threshold):
            for some in _parts(cells):
                squares = _rectangles(some.cols, some.rows, some.cols + 1, some.rows + 1)
                each = {} if some.each is None else dict(zip(names, some.each.T, strict=True))
                yield _features(some, projection.shapes(squares), each)


def _features(cells: Cells, shapes: Array, each: dict[str, Array]) -> Features:
    own = {} if cells.confirmed is None else {"confirmed": cells.confirmed.astype(np.int64)}
    return Features(shapes, cells.classes, {"score": cells.scores, "row": cells.rows, "col": cells.cols, **own, **each})


def _parts(cells: Cells) -> Iterator[Cells]:
    for first in range(0, max(1, len(cells.rows)), _AT_ONCE):
        yield cells.part(slice(first, first + _AT_ONCE))


def _regions(found: ClassMap, projection: Projection, regions: Iterator[Region]) -> Iterator[Features]:
    for some in _batches(regions):
        shapes = np.empty(len(some), object)
        shapes[:] = [_outline(region) for region in some]
        cells = np.array([region.cells for region in some], np.int64)
        yield Features(
            projection.shapes(shapes),
            np.array([region.key for region in some], np.intp),
            {
                "cells": cells,
                **area_columns(found, cells),
                "score_max": np.array([region.best for region in some], np.float64),
                "score_mean": np.array([region.mean for region in some], np.float64),
            },
        )


def _batches(regions: Iterator[Region]) -> Iterator[list[Region]]:
    """Some regions at a time, at least once."""
    some: list[Region] = []
    runs, empty = 0, True
    for region in regions:
        some.append(region)
        runs += len(region.runs)
        if runs >= _AT_ONCE:
            yield some
            some, runs, empty = [], 0, False
    if some or empty:
        yield some


def _outline(region: Region) -> Any:
    """The polygon around a region's cells with its holes, over corners of cells (col, row)."""
    import shapely

    outline, *holes = rings_of(region.runs)
    return shapely.Polygon(outline, holes)


def _rectangles(x0: Array, y0: Array, x1: Array, y1: Array) -> Array:
    import shapely

    return np.asarray(shapely.box(*(np.asarray(side, np.float64) for side in (x0, y0, x1, y1))), object).reshape(-1)
