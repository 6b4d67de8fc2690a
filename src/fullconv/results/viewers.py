"""What viewers read of a map: OME-Zarr 0.5 metadata and coarser levels.

Level k holds means of 2 × 2 cells of level k - 1, of those that have an answer. A cell is a sample at its centre, in micrometres
or metres where the image says how large a pixel is, in pixels otherwise. Arrays begin at the image's origin, as near as a whole cell
comes, since some viewers leave the translation out.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.geometry.grid import Grid
from fullconv.render.palette import class_colour
from fullconv.results.encoding import decoded, encoded
from fullconv.results.record import Record

_NAMED = 64  # classes up to which viewers are told a name and a colour each
_PIECE = 1 << 20  # bytes of float32 scores that are made coarser at once, if no chunk is larger


def name_of(level: int) -> str:
    """A level's array. Coarser ones have a group of their own: arrays of a group whose axes have the same names have the same sizes."""
    return f"levels/{level}" if level else "0"


def levels_of(grid: Grid, least: int) -> list[tuple[int, int]]:
    """(rows, cols) of every level, the finest first."""
    sizes = [(grid.rows, grid.cols)]
    while max(sizes[-1]) > least:
        rows, cols = sizes[-1]
        sizes.append((-(-rows // 2), -(-cols // 2)))
    return sizes


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


def make_levels(group: Any, record: Record) -> Iterator[str]:
    """Fill every coarser level from the one before, piece by piece; the keys of what was written."""
    level, arrays = 1, record.arrays
    while f"{arrays}{name_of(level)}" in group:
        fine, coarse = group[f"{arrays}{name_of(level - 1)}"], group[f"{arrays}{name_of(level)}"]
        planes, rows, cols = coarse.chunks
        tall, wide = rows, max(1, _PIECE // (4 * planes * 4 * rows * cols)) * cols
        for c in range(0, coarse.shape[0], planes):
            for y in range(0, coarse.shape[1], tall):
                for x in range(0, coarse.shape[2], wide):
                    part = np.asarray(fine[c : c + planes, 2 * y : 2 * (y + tall), 2 * x : 2 * (x + wide)])
                    # Plane by plane: what lies between is a fraction of what is read.
                    means = [encoded(halved(decoded(part[i : i + 1])), record.stored) for i in range(len(part))]
                    coarse[c : c + planes, y : y + tall, x : x + wide] = np.concatenate(means)
        yield from (
            f"{arrays}{name_of(level)}/{coarse.metadata.encode_chunk_key(at)}" for at in np.ndindex(*coarse.cdata_shape)
        )
        yield f"{arrays}{name_of(level)}/zarr.json"
        level += 1


def halved(part: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Means of 2 × 2 cells, of those that are no NaN; a last row or column stands for itself."""
    classes, rows, cols = part.shape
    padded = np.pad(part, ((0, 0), (0, rows % 2), (0, cols % 2)), constant_values=np.nan)
    blocks = padded.reshape(classes, (rows + 1) // 2, 2, (cols + 1) // 2, 2)
    found: npt.NDArray[np.float32] = blocks[:, :, 0, :, 0] + blocks[:, :, 0, :, 1]
    found += blocks[:, :, 1, :, 0]
    found += blocks[:, :, 1, :, 1]
    found *= np.float32(0.25)
    left = np.isnan(found)
    if not left.any():
        return found
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # blocks without any answer stay NaN
        known = np.nanmean(blocks.transpose(0, 1, 3, 2, 4)[left], axis=(1, 2), dtype=np.float32)
    found[left] = known
    return found
