"""OME-TIFF of scores, by tifffile (extra ``slide``): a channel a class with its name and colour, sizes in micrometres, a pyramid; as QuPath opens it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.errors import MissingExtra
from fullconv.exports.bands import Bands, windows
from fullconv.maps.classmap import ClassMap
from fullconv.results.levels import halved, levels_of
from fullconv.system.files import written_whole
from fullconv.system.guard import MARK, sign

Array = npt.NDArray[Any]
_TILE = 256
_LEAST = 256  # cells a side below which no coarser level is made
_BIG = 4 << 30  # bytes of values from which the file is a BigTIFF
_UNITS = {"micrometer": "µm", "meter": "m"}


def write_ometiff(found: ClassMap, out: Path, classes: tuple[int, ...], image: str) -> None:
    """Write the scores of some classes as float32, NaN without an answer.

    A pixel is a cell, as large as the stride; ``PositionX`` and ``PositionY`` say where the first one's upper left corner lies in the image, in the
    same unit. Level k holds means of 2 × 2 pixels of level k - 1. Planes are written one by one, from a file beside the output that holds all of them
    uncompressed while it is written.
    """
    try:
        import tifffile
    except ImportError:
        raise MissingExtra(f"{out}: OME-TIFF needs tifffile; install it with: pip install 'fullconv[slide]'") from None
    bands = Bands(found, classes)
    sizes = levels_of(found.grid, _LEAST)
    with written_whole(out) as (part,):
        raws = [part.with_name(f"{part.name}.{i}.raw") for i in range(len(sizes))]
        try:
            levels = [
                np.memmap(raw, np.float32, "w+", shape=(len(bands.names), *size))
                for raw, size in zip(raws, sizes, strict=True)
            ]
            for rows, cols in windows(found.grid.rows, found.grid.cols):
                for first, values in bands.read(rows, cols):
                    levels[0][first : first + len(values), rows, cols] = values
            for fine, coarse in pairwise(levels):
                _halve(fine, coarse, nearest=bands.winners)
            with tifffile.TiffWriter(part, bigtiff=sum(level.nbytes for level in levels) > _BIG, ome=True) as file:
                for i, level in enumerate(levels):
                    first_level = i == 0
                    about: dict[str, Any] = (
                        {
                            "subifds": len(levels) - 1,
                            "metadata": _metadata(found, bands, classes, image),
                            "software": MARK,
                        }
                        if first_level
                        else {"subfiletype": 1, "metadata": None}
                    )
                    file.write(
                        _tiles(level), shape=level.shape, dtype=level.dtype, tile=(_TILE, _TILE), photometric="minisblack",
                        compression="zlib", **about,
                    )  # fmt: skip
            del levels, level
            sign(part)
        finally:
            for raw in raws:
                raw.unlink(missing_ok=True)


def _halve(fine: Array, coarse: Array, *, nearest: bool) -> None:
    """Means of 2 × 2 pixels; of numbers of classes the first of the four, since a mean would be another class."""
    for rows, cols in windows(coarse.shape[1], coarse.shape[2]):
        y, x = slice(2 * rows.start, 2 * rows.stop), slice(2 * cols.start, 2 * cols.stop)
        for i in range(len(fine)):
            part = np.asarray(fine[i : i + 1, y, x])
            coarse[i : i + 1, rows, cols] = part[:, ::2, ::2] if nearest else halved(part)


def _tiles(level: Array) -> Iterator[Array]:
    """Tiles of a file, plane by plane; outer ones are filled up."""
    for plane in level:
        for rows, cols in windows(plane.shape[0], plane.shape[1], _TILE):
            part = np.full((_TILE, _TILE), np.nan, np.float32)
            part[: rows.stop - rows.start, : cols.stop - cols.start] = plane[rows, cols]
            yield part


def _metadata(found: ClassMap, bands: Bands, classes: tuple[int, ...], image: str) -> dict[str, Any]:
    count = len(bands.names)
    channels: dict[str, Any] = {"Name": [_printable(name) for name in bands.names]}
    if not bands.winners:
        channels["Color"] = [_rgba(found.colour(index)) for index in classes]
    data: dict[str, Any] = {"axes": "CYX", "Name": _printable(image) or "scores", "Creator": MARK, "Channel": channels}
    pixel, grid = found.place.pixel_size, found.grid
    if pixel is not None:
        unit = _UNITS.get(found.place.unit, "µm")
        y, x = (
            float(first + (1 - step) / 2) * size
            for first, step, size in zip(grid.centre0, grid.stride, pixel, strict=True)
        )
        data |= {
            "PhysicalSizeY": float(grid.stride[0]) * pixel[0], "PhysicalSizeYUnit": unit,
            "PhysicalSizeX": float(grid.stride[1]) * pixel[1], "PhysicalSizeXUnit": unit,
            "Plane": {"PositionX": [x] * count, "PositionXUnit": [unit] * count, "PositionY": [y] * count, "PositionYUnit": [unit] * count},
        }  # fmt: skip
    return data


def _rgba(colour: tuple[int, int, int]) -> int:
    """A colour as OME has it: a signed number of 32 bits, red first, opaque."""
    return int.from_bytes(bytes((*colour, 255)), "big", signed=True)


def _printable(text: str) -> str:
    """Text without what XML cannot hold."""
    return "".join(each if each.isprintable() else " " for each in text)
