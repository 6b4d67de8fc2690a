"""The first three principal components of features as a raster of red, green and blue."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.exports.geotiff import write_bands
from fullconv.maps.classmap import ClassMap
from fullconv.render.components import components_of, pieces

_NONE = 0  # of a cell without an answer; those with one are 1 to 255


def write_components(found: ClassMap, out: Path) -> None:
    """Write a cloud-optimised GeoTIFF of three bands of bytes, 0 where there is no answer."""
    components = components_of([found])
    shares = [*components.shares, 0.0, 0.0][:3]
    names = [f"component {i}, {share:.1%} of the variance" for i, share in enumerate(shares, 1)]

    def read(rows: slice, cols: slice) -> Iterator[tuple[int, npt.NDArray[Any]]]:
        shown = np.full((3, rows.stop - rows.start, cols.stop - cols.start), _NONE, np.uint8)
        for y, x in pieces(found, (rows, cols)):
            along = components.of(np.asarray(found.scores[:, y, x]))
            colours = np.moveaxis(np.maximum(components.colours(along[:3]), _NONE + 1), -1, 0)
            place = slice(y.start - rows.start, y.stop - rows.start), slice(x.start - cols.start, x.stop - cols.start)
            shown[:, *place] = np.where(np.isfinite(along).all(axis=0), colours, _NONE)
        yield 0, shown

    write_bands(found, out, names, "uint8", _NONE, read, resampling="average")
