"""``fullconv export``."""

from __future__ import annotations

from typing import Any

import click

from fullconv.cli.help import IMAGE, MAP, OUTPUT, argument, as_command, option
from fullconv.cli.options import PICTURED, Input, Real, json_option, overwrite_option, picture_options
from fullconv.cli.terminal import note, print_json, tell, waiting


@as_command()
@argument("result", type=Input(), metavar="RESULT", about="A map: x.zarr or x.npz.")
@option(
    "--output", "-o", "out", group=OUTPUT, required=True, type=click.Path(), metavar="FILE", brief="The file to write; its suffix is the format.",
    help="The file to write; its suffix is the format: .tif, .geojson, .csv, .parquet, .png, .svg, .pdf or .npz.",
)  # fmt: skip
@option(
    "--class", "name", group=MAP, metavar="NAME", brief="One class; all by default.",
    help="One class: a label, words of one, or a number; all by default.",
)  # fmt: skip
@option(
    "--what", group=MAP, type=click.Choice(["regions", "peaks", "cells", "areas"]), metavar="WHAT", brief="regions, peaks, cells or areas.",
    help="What of the map: regions, peaks, cells or areas; by the format by default.",
)  # fmt: skip
@option(
    "--threshold", group=MAP, type=Real(), metavar="SCORE", brief="Least score of regions and peaks.",
    help="Least score of regions and peaks; 0.5 of probabilities by default.",
)  # fmt: skip
@option(
    "--distance",
    group=MAP,
    type=Real(0),
    metavar="PX",
    help="Least distance of two peaks in pixels; half a crop by default.",
)
@option("--image", group=IMAGE, type=Input(), metavar="IMAGE", help="The image that a picture is laid over.")
@picture_options
@overwrite_option
@json_option
def command(result: str, out: str, as_json: bool, **options: Any) -> None:
    """Write a map (x.zarr or x.npz) in the format of another program.

    .tif is a cloud-optimised GeoTIFF with a band a class; .geojson holds regions or peaks as QuPath imports them, in the image's CRS or in
    pixels; .csv and .parquet hold cells or peaks; .png, .svg and .pdf are pictures.

    \b
    Examples:
      fullconv export scene.zarr -o scene.tif
      fullconv export slide.zarr -o tumour.geojson --class tumour --threshold 0.8
    """
    from fullconv.exports.export import export
    from fullconv.maps.classmap import ClassMap

    found = ClassMap.load(result)
    options["look"] = {key: options.pop(key) for key in PICTURED}
    if found.record is not None and not found.record.finished:
        note(f"{result} is not finished: cells of tiles that are not done have no answer")
    with waiting(f"writing {out}"):
        written = export(found, out, **options)
    if as_json:
        print_json({"written": str(written)})
    else:
        tell(f"wrote {written}")
