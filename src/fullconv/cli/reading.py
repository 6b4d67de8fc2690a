"""Options of what is read of an image, and of how it is mapped in bounded memory."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import click

from fullconv.cli.help import IMAGE, OUTPUT, SPEED, option
from fullconv.cli.options import Input, Real

_UNITS = {
    "": 1,
    "K": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "KI": 1 << 10,
    "MI": 1 << 20,
    "GI": 1 << 30,
    "TI": 1 << 40,
}
_READING = (
    option(
        "--where", group=IMAGE, type=Input(), metavar="FILE", brief="Map only here: a mask, polygons, tissue, auto.",
        help="Map only here: a mask picture, polygons (GeoJSON, GeoPackage, Shapefile, in any CRS), tissue: where the colour is saturated (Otsu's threshold), or auto: where at least a tenth of a cell's own square shows something (auto:0.3 sets that share).",
    ),
    option("--bands", group=IMAGE, metavar="N,...", help="Bands in the network's order: by number from 1 on (4,3,2), or by the names that the image gives them (red,green,nir; B04,B03,B02; DAPI,CD3)."),
    option("--level", group=IMAGE, type=click.IntRange(0), metavar="N", help="Level of the image's pyramid that the network reads, 0 the finest."),
    option(
        "--mpp", group=IMAGE, type=Real(0), metavar="X", brief="Pixel size to read at: um of a slide, m of a scene.",
        help="Pixel size that the network reads: micrometres of a slide, metres of a scene.",
    ),
    option("--nodata", group=IMAGE, type=float, metavar="V", help="Value that stands for no data; the image's own where it states one."),
    option(
        "--missing", group=IMAGE, type=click.FloatRange(0, 1), default=0.5, show_default=True, metavar="SHARE",
        help="Share of a crop without data above which its cell has no answer.",
    ),
    option(
        "--on-error", group=IMAGE, type=click.Choice(["stop", "skip"]), default="stop", show_default=True,
        help="At pixels that do not decode: stop, or take them as missing.",
    ),
    option(
        "--subdataset", group=IMAGE, metavar="NAME",
        help="Which image of a file of several (HDF5, NetCDF, NITF, Zarr); the error that lists them has their names.",
    ),
    option(
        "--allow-remote", group=IMAGE, is_flag=True,
        help="Let a mosaic (VRT) name files on other machines. An image given by its own https://, s3:// or gs:// address needs no leave.",
    ),
    option(
        "--trust", group=IMAGE, is_flag=True,
        help="Let a mosaic (VRT) name files outside its folder, and compute bands by GDAL's own functions.",
    ),
)  # fmt: skip
_STORING = (
    option(
        "--keep", group=OUTPUT, default="all", show_default=True, metavar="WHICH",
        help="Scores that a store (.zarr) holds: all, top1, or classes with commas between.",
    ),
    option(
        "--dtype", "stored", group=OUTPUT, type=click.Choice(["float32", "float16", "uint8"]), default="float32", show_default=True,
        metavar="TYPE", help="Type of the scores in a store (.zarr): float32, float16 or uint8.",
    ),
    option("--restart", group=OUTPUT, is_flag=True, help="Start anew where the store (.zarr) holds another result, or is finished."),
)  # fmt: skip
memory_option = option(
    "--memory",
    group=SPEED,
    metavar="SIZE",
    brief="What the process may take: 2GB, say.",
    help="What the process may take, 2GB say; at most half of what is free for a store, three quarters otherwise.",
)
_BOUNDED = (
    memory_option,
    option("--workers", group=SPEED, type=click.IntRange(1), metavar="N", help="Do the tiles in so many processes of this machine (Dask)."),
)  # fmt: skip


def _all(options: tuple[Callable[..., Any], ...]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def with_options(command: Callable[..., Any]) -> Callable[..., Any]:
        for each in reversed(options):
            command = each(command)
        return command

    return with_options


reading_options = _all(_READING)
storing_options = _all(_STORING)
bounded_options = _all(_BOUNDED)
scheduler_option = option(
    "--dask",
    "scheduler",
    group=SPEED,
    metavar="ADDRESS",
    help="Do a store's tiles on the workers of this Dask scheduler, tcp://host:8786 say.",
)


def bytes_of(text: str | None, option: str = "--memory") -> int | None:
    """``2GB``, ``1.5GiB``, ``800M`` or a number of bytes."""
    from fullconv.errors import BadInput

    if text is None:
        return None
    match = re.fullmatch(r"\s*([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*([KMGT]?I?)B?\s*", text.upper())
    if match is None or match[2] not in _UNITS or float(match[1]) == 0:
        raise BadInput(f"{option} {text!r}: an amount of memory, 2GB or 800MB say")
    return int(float(match[1]) * _UNITS[match[2]])


def numbers_of(option: str, text: str) -> list[float]:
    """Numbers with commas between."""
    from fullconv.errors import BadInput

    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise BadInput(f"{option} {text!r}: numbers with commas between, 0.5,1,1.41 say") from None
