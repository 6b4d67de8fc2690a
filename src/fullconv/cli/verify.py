"""``fullconv verify``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fullconv.cli.options import Input, activation_option, engine_options, json_option, model_options, overwrite_option
from fullconv.cli.terminal import print_json, progress, say, tell

if TYPE_CHECKING:
    from fullconv.model import Model


@click.command()
@model_options
@click.argument("images", nargs=-1, required=True, type=Input(), metavar="IMAGE...")
@click.option("--cells", default="all", show_default=True, help="How many cells to compare, chosen at random, or all.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of that choice.")
@click.option(
    "--preprocess",
    "-p",
    type=Input(),
    help="raw, unit, signed, imagenet, caffe, a JSON file, or Caffe's mean.binaryproto.",
)
@click.option("--labels", type=Input(), help="One label a line, in the network's order.")
@click.option("--output", help="Which output, where the network has several.")
@activation_option
@click.option(
    "--blame",
    "blamed",
    type=click.IntRange(1),
    metavar="CELLS",
    help="Measure each layer's share in the difference, on this many cells.",
)
@click.option("--report", type=click.Path(), help="Write a page with numbers and pictures (.html), one file.")
@overwrite_option
@engine_options
@json_option
def command(
    model: Callable[[], Model],
    images: tuple[str, ...],
    cells: str,
    blamed: int | None,
    report: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Compare the map with crop-by-crop answers of the untouched network, on your own images.

    Exit status 1: a map that the graph calls exact differs from its crops by more than noise.

    \b
    Example:
      fullconv verify deploy.prototxt -w net.caffemodel photo.jpg -p caffe \\
        --cells 500 --report report.html
    """
    from fullconv.errors import BadInput
    from fullconv.system.guard import require_writable
    from fullconv.system.parse import whole_number
    from fullconv.trust.verify import verify

    if cells != "all" and not whole_number(cells):
        raise BadInput(f"--cells {cells!r}: a number from 1, or all")
    if report is not None:
        require_writable(Path(report))  # before the work
    opened = model()
    reports, shares = [], []
    for image in images:
        with progress(Path(image).name, "crops") as told:
            reports.append(
                verify(opened, image, cells="all" if cells == "all" else int(cells), progress=told, **options)
            )
        if not as_json:
            say(str(reports[-1]))
        if blamed is not None:
            shares.append(_blame(opened, image, blamed, options))
            if not as_json:
                say(f"which layers: {shares[-1]}")
    if report is not None:
        _write(Path(report), reports, str(opened.path), [str(each) for each in shares])
        if not as_json:
            tell(f"wrote {report}")
    if as_json:
        print_json({"reports": [each.to_json() for each in reports], "blame": [each.to_json() for each in shares]})
    if any(each.failed for each in reports):
        raise SystemExit(1)


def _blame(model: Model, image: str, cells: int, options: dict[str, Any]) -> Any:
    from fullconv.trust.blame import blame

    keep = {name: options[name] for name in ("preprocess", "output", "activation", "seed")}
    with progress(f"{Path(image).name}: blame", "runs") as told:
        return blame(model, image, cells=cells, progress=told, **keep)


def _write(path: Path, reports: list[Any], model: str, shares: list[str]) -> None:
    from fullconv.system.files import written_whole
    from fullconv.trust.report import html_report

    with written_whole(path) as (part,):
        part.write_text(html_report(reports, model, shares), encoding="utf-8")
