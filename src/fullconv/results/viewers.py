"""What viewers read of a map: OME-Zarr 0.5 metadata of its levels (``levels.py``).

A cell is a sample at its centre, in micrometres
or metres where the image says how large a pixel is, in pixels otherwise. Arrays begin at the image's origin, as near as a whole cell
comes, since some viewers leave the translation out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.render.palette import class_colour
from fullconv.results.levels import levels_of, name_of
from fullconv.results.record import Record

_NAMED = 64  # classes up to which viewers are told a name and a colour each


def for_viewers(record: Record, least: int) -> dict[str, Any]:
    """The attribute ``ome``."""
    grid, pixel = record.stored_grid, record.pixel_size or (1.0, 1.0)
    space = {"type": "space", **({"unit": record.unit} if record.unit and record.pixel_size else {})}
    datasets = []
    for level in range(len(levels_of(grid, least))):
        at = grid.coarser(2**level)
        scale = [float(step) * size for step, size in zip(at.stride, pixel, strict=True)]
        first = [float(centre) * size for centre, size in zip(at.centre0, pixel, strict=True)]
        datasets.append({
            "path": f"{record.arrays}{name_of(level)}",
            "coordinateTransformations": [{"type": "scale", "scale": [1.0, *scale]}, {"type": "translation", "translation": [0.0, *first]}],
        })  # fmt: skip
    found: dict[str, Any] = {
        "version": "0.5",
        "multiscales": [{
            "name": f"{record.output} of {record.request.get('model', {}).get('name', 'a network')}",
            "axes": [{"name": "c", "type": "channel"}, {"name": "y", **space}, {"name": "x", **space}],
            "datasets": datasets,
            "type": "mean of 2x2 cells",
        }],
    }  # fmt: skip
    if record.classes <= _NAMED:
        top = 254 if record.stored == "uint8" else 1
        names = ["highest score"] if record.keep == "top1" else record.labels
        found["omero"] = {
            "channels": [
                {
                    "label": name, "active": i == 0, "color": _colour(record, i),
                    "window": {"min": 0, "max": top, "start": 0, "end": top},
                }
                for i, name in enumerate(names)
            ]
        }  # fmt: skip
    return found


def _colour(record: Record, index: int) -> str:
    own = record.colours.get(str(index))
    return (bytes(class_colour(record.number(index))).hex() if own is None else own.removeprefix("#")).upper()


def coordinates(record: Record) -> dict[str, tuple[npt.NDArray[Any], dict[str, Any]]]:
    """Where the centres of rows and columns lie, as for xarray: values and attributes by axis."""
    grid, pixel = record.stored_grid, record.pixel_size or (1.0, 1.0)
    unit = record.unit if record.unit and record.pixel_size else "px"
    about = {"units": unit, "long_name": "centre of the cell, from the middle of the image's first pixel"}
    sides = zip(("y", "x"), grid.centre0, grid.stride, (grid.rows, grid.cols), pixel, strict=True)
    return {
        axis: ((float(first) + np.arange(count) * float(step)) * size, about)
        for axis, first, step, count, size in sides
    }
