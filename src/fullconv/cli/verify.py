"""``fullconv verify``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fullconv.cli.help import MAP, OUTPUT, argument, as_command, option
from fullconv.cli.options import (
    Input,
    activation_option,
    engine_options,
    head_option,
    json_option,
    labels_option,
    model_options,
    overwrite_option,
)
from fullconv.cli.pixels import preprocess_option
from fullconv.cli.reading import bytes_of, memory_option, reading_options
from fullconv.cli.terminal import noted_once, print_json, print_table, progress, say, tell

if TYPE_CHECKING:
    from fullconv.model import Model
    from fullconv.trust.verified import Report


def _old_head(args: Sequence[str], value: str | None) -> str | None:
    """``--output NAME`` named the network's output while ``--report`` named the file."""
    return None if value is None or value.endswith((".html", ".htm")) else "--head"


@as_command(old={"--report": "--output", "--output": _old_head})
@model_options
@argument("images", nargs=-1, required=True, type=Input(), metavar="IMAGE...", about="Images to compare on.")
@option(
    "--cells", group=MAP, default="all", show_default=True, metavar="N", brief="How many cells to compare, or all.",
    help="How many cells to compare, chosen at random, or all.",
)  # fmt: skip
@option("--seed", group=MAP, type=click.IntRange(0), default=0, show_default=True, metavar="N", help="Of that choice.")
@option(
    "--moved", group=MAP, type=click.IntRange(0), metavar="N", brief="Cells whose crop is moved by a pixel (1,000).",
    help="About how many cells have their crop moved by a pixel, both ways: how well the classifier agrees with itself is what the map is held "
    "against. By default 1,000, and none for an exact map; 0 leaves it out.",
)  # fmt: skip
@preprocess_option
@labels_option
@head_option
@activation_option
@reading_options
@option(
    "--blame", "blamed", group=MAP, type=click.IntRange(1), metavar="CELLS", brief="Measure each layer's share in the difference.",
    help="Measure each layer's share in the difference, on this many cells.",
)  # fmt: skip
@option(
    "--by", "by", group=OUTPUT, type=click.Choice(["class"]), brief="Print agreement and bias of each class.",
    help="Print agreement, the classifier's with itself, and bias of each class, the most frequent first.",
)  # fmt: skip
@option(
    "--output", "-o", "report", group=OUTPUT, type=click.Path(), metavar="FILE", brief="Write a page with numbers and pictures (.html).",
    help="Write a page with numbers and pictures (.html), one file.",
)  # fmt: skip
@overwrite_option
@memory_option
@engine_options
@json_option
def command(
    model: Callable[[], Model],
    images: tuple[str, ...],
    cells: str,
    blamed: int | None,
    by: str | None,
    report: str | None,
    memory: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Compare the map with crop-by-crop answers of the untouched network, on your own images, of any size: what the cells see is read, no more.

    Exit status 1: a map that the graph calls exact differs from its crops by more than noise.

    \b
    Example:
      fullconv verify deploy.prototxt -w net.caffemodel photo.jpg -p caffe \\
        --cells 500 -o report.html
    """
    from fullconv.errors import BadInput
    from fullconv.system.guard import require_writable
    from fullconv.system.parse import whole_number
    from fullconv.trust.verify import verify

    options |= {"memory": bytes_of(memory)}
    once = noted_once()
    if cells != "all" and not whole_number(cells):
        raise BadInput(f"--cells {cells!r}: a number from 1, or all")
    if report is not None:
        require_writable(Path(report))  # before the work
    opened = model()
    reports, shares = [], []
    for image in images:
        with progress(Path(image).name, "crops") as told:
            reports.append(
                verify(
                    opened, image, cells="all" if cells == "all" else int(cells), progress=told, notes=once, **options
                )
            )
        if not as_json:
            say(str(reports[-1]))
            if by == "class":
                _by_class(reports[-1])
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


def _by_class(report: Report) -> None:
    from fullconv.reports.verification import CLASS_NOTE, class_rows

    stick = report.yardstick
    if stick is None or not stick.seen:
        say("by class: the network's answers are of no classes")
        return
    titles, rows = class_rows(stick)
    print_table(titles, rows, titles[1:])
    say(CLASS_NOTE)


def _blame(model: Model, image: str, cells: int, options: dict[str, Any]) -> Any:
    from fullconv.trust.blame import blame

    keep = {name: value for name, value in options.items() if name not in ("labels", "moved")}
    with progress(f"{Path(image).name}: blame", "runs") as told:
        return blame(model, image, cells=cells, progress=told, **keep)


def _write(path: Path, reports: list[Any], model: str, shares: list[str]) -> None:
    from fullconv.reports.verification import html_report
    from fullconv.system.files import written_whole

    with written_whole(path) as (part,):
        part.write_text(html_report(reports, model, shares), encoding="utf-8")
