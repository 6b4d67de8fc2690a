"""``fullconv export``."""

from __future__ import annotations

from typing import Any

import click

from fullconv.cli.help import IMAGE, MAP, OUTPUT, argument, as_command, option
from fullconv.cli.options import PICTURED, Input, Real, colours_option, json_option, overwrite_option, picture_options
from fullconv.cli.terminal import note, print_json, tell, waiting

_OPENS = {"qupath": "run it in QuPath, with the image open", "qgis": "QGIS takes it with the raster of its name"}
_WHAT = ["scores", "winners", "regions", "peaks", "cells", "areas", "pca"]


@as_command()
@argument("results", type=Input(), metavar="RESULT...", nargs=-1, required=True, about="Maps: x.zarr or x.npz.")
@option(
    "--output", "-o", "out", group=OUTPUT, required=True, type=click.Path(), metavar="FILE", brief="The file to write; its suffix is the format.",
    help="The file to write; its suffix is the format: .tif, .ome.tif, .geojson, .gpkg, .fgb, .csv, .parquet, .png, .svg, .pdf or .npz.",
)  # fmt: skip
@option(
    "--class", "name", group=MAP, metavar="NAME", brief="Classes, with commas between; all by default.",
    help="A class: a label, words of one, or a number; several with commas between. All by default.",
)  # fmt: skip
@option(
    "--what", group=MAP, type=click.Choice(_WHAT), metavar="WHAT", brief="scores, winners, regions, peaks, cells, areas or pca.",
    help="What of the map: scores, winners, regions, peaks, cells, areas, or pca (the first principal components of features as red, green and blue); by the "
    "format by default.",
)  # fmt: skip
@option(
    "--threshold", group=MAP, type=Real(), metavar="SCORE", brief="Least score of regions and peaks.",
    help="Least score of regions, peaks and, with --class, of cells; by default the card's, else 0.5 of probabilities. Of winners, none by default.",
)  # fmt: skip
@option(
    "--distance",
    group=MAP,
    type=Real(0),
    metavar="PX",
    help="Least distance of two peaks in pixels; half a crop by default.",
)
@option(
    "--crs", group=OUTPUT, metavar="CRS", brief="Of coordinates, such as EPSG:4326.",
    help="CRS of coordinates, such as EPSG:4326; image is the image's own. By default GeoJSON is in WGS84 and all else in the image's CRS; in pixels where "
    "the image has none.",
)  # fmt: skip
@option(
    "--to", "program", group=OUTPUT, type=click.Choice(["qupath", "qgis", "napari"]), metavar="PROGRAM", brief="For qupath, qgis or napari: with names and colours.",
    help="Write what a program opens with names and colours: qupath, a .geojson with a script that imports it; qgis, a .tif of the winners, or of one class's "
    "scores, with its style (.qml); napari, a script (.py) that shows the result, over --image where that is given.",
)  # fmt: skip
@option("--partial", group=MAP, is_flag=True, help="Write what is there of a map that is not finished.")
@option(
    "--image",
    group=IMAGE,
    type=Input(),
    metavar="IMAGE",
    help="The image that a picture, or napari's layers, are laid over.",
)
@colours_option
@picture_options
@overwrite_option
@json_option
def command(results: tuple[str, ...], out: str, program: str | None, as_json: bool, **options: Any) -> None:
    """Write maps (x.zarr or x.npz) in the format of another program.

    .tif holds scores, or winners with colours and names; .ome.tif scores, as QuPath opens them; .geojson, .gpkg and .fgb regions, winners, peaks
    or cells as polygons; .csv and .parquet cells, peaks or areas; .png, .svg and .pdf are pictures.

    Regions are cells that score at least --threshold. Winners are a partition: each cell belongs to the class that wins it. Areas count what each
    class wins. Several maps of the same classes go into one file of polygons or one table, with the image's name in each row.

    \b
    Examples:
      fullconv export scene.zarr -o scene.gpkg --what winners
      fullconv export slide.zarr -o tumour.geojson --class tumour --threshold 0.8
      fullconv export features.zarr -o pca.png --image slide.svs
      fullconv export a.zarr b.zarr -o areas.csv --what areas
      fullconv export slide.zarr -o slide.geojson --to qupath
      fullconv export slide.zarr -o slide.py --to napari --image slide.svs
    """
    from fullconv.errors import BadInput
    from fullconv.exports.export import Asked, write
    from fullconv.exports.programs import write_for

    asked = Asked(look={key: options.pop(key) for key in PICTURED}, **options)
    beside = None
    with waiting(f"writing {out}"):
        if program is None:
            written = write(list(results), out, asked)
        else:
            if len(results) > 1:
                raise BadInput("--to is of one map: write each by itself")
            written, beside = write_for(results[0], out, program, asked)
    for text in written.notes:
        note(text)
    if as_json:
        print_json({"written": str(written.path), "what": written.what, "count": written.count})
        return
    count = "" if written.count is None else f": {written.count:,} {written.what}"
    tell(f"wrote {written.path}{count}")
    if beside is not None:
        tell(f"wrote {beside}: {_OPENS[str(program)]}")
    elif program is not None:
        tell(f"run it where napari is installed: python {written.path}")
