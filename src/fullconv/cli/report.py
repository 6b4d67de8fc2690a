"""``fullconv report``."""

from __future__ import annotations

from typing import Any

import click

from fullconv.cli.help import IMAGE, MAP, OUTPUT, argument, as_command, option
from fullconv.cli.idle import require_of
from fullconv.cli.options import Input, Real, maker_options, opened_model, overwrite_option
from fullconv.cli.terminal import tell, waiting


@as_command()
@argument("result", type=Input(), metavar="RESULT", about="A map (x.zarr or x.npz), or the folder of a study.")
@option(
    "--output", "-o", "out", group=OUTPUT, required=True, type=click.Path(), metavar="FILE", brief="The page to write (.html).",
    help="The page to write (.html), one file below 5 MB.",
)  # fmt: skip
@option(
    "--image", group=IMAGE, type=Input(), metavar="FILE", brief="The image that was mapped.",
    help="The image that was mapped: it is drawn below the map, and crops are cut of it.",
)  # fmt: skip
@maker_options("some of its cells are compared with their crops, and its card is shown.")
@option(
    "--class", "classes", group=MAP, metavar="NAME", brief="Classes that are shown, with commas between.",
    help="Classes that have a part of their own, with commas between; by default the six that win most cells, without one that wins more than half of them.",
)  # fmt: skip
@option(
    "--threshold", group=MAP, type=Real(), metavar="SCORE", brief="Score from which cells and peaks count.",
    help="Score from which cells and peaks count; by default the card's, else 0.5 of probabilities and none of logits.",
)  # fmt: skip
@option(
    "--cells", group=MAP, type=click.IntRange(1), default=50, show_default=True, metavar="N",
    help="Cells, chosen at random, that are compared with their crops, with --model.",
)  # fmt: skip
@option("--title", group=OUTPUT, metavar="TEXT", help="Title of the page; the image's name by default.")
@overwrite_option
def command(
    result: str, out: str, model: str | None, weights: str | None, input_shape: str | None, **options: Any
) -> None:
    """Write a page of a map, or of a study, that opens anywhere: one HTML file without a script, which loads nothing.

    The map over its image, areas and counts of the classes, crops of the best peaks, scores, one cell's crop and field, how far the map is its
    crops' own, the network, and how it was run. Of the folder of a study (fullconv run) one page of all images.

    \b
    Examples:
      fullconv report slide.zarr --image slide.svs -o slide.html
      fullconv report results/ -o study.html
    """
    from fullconv.reports.report import report

    for called, key in (("--cells", "cells"), ("--weights", "weights"), ("--input-shape", "input_shape")):
        require_of(called, key, used=model is not None, of="the network (--model)")
    with waiting(f"writing {out}"):
        network = None if model is None else opened_model(model, weights, input_shape)
        written = report(result, out, model=network, **options)
    tell(f"wrote {written} ({written.stat().st_size / 1e6:.2g} MB)")
