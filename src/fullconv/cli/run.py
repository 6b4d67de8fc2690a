"""``fullconv run``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fullconv.cli.batch import STOP
from fullconv.cli.help import OUTPUT, SPEED, argument, as_command, option
from fullconv.cli.images import images_of
from fullconv.cli.mapping import mapping_options, output_option
from fullconv.cli.options import model_options
from fullconv.cli.reading import bytes_of
from fullconv.cli.terminal import complain, noted_once, print_event, print_table, shown, tell
from fullconv.errors import BadInput, SomeFailed

if TYPE_CHECKING:
    from fullconv.study.outcome import Outcome
    from fullconv.study.run import Study, Told

_SHOWN = 20
_PICTURED = ("interpolate", "alpha", "cmap", "dpi")


@as_command()
@model_options
@argument(
    "images", nargs=-1, required=True, type=click.Path(), metavar="IMAGE...",
    about="Slides, scenes or pictures; folders, lists (.txt) and tables (.csv) stand for the images in them.",
)  # fmt: skip
@output_option(
    "The folder of the study: a store and a picture of each image, what --export names, and summary.csv.",
    "The folder of the study.",
)
@option(
    "--export", "exports", group=OUTPUT, default="geojson,csv", show_default=True, metavar="KIND,...",
    help="What is written of each map beside its store and picture: geojson, csv, tif, ome.tif, gpkg, fgb, parquet, svg, pdf, html (a report, and summary.html of all); or none. With --class "
    "polygons are its regions above --threshold and tables its peaks; without, winners and areas.",
)  # fmt: skip
@option(
    "--by-class", group=OUTPUT, is_flag=True, help="Write a GeoJSON of each class of --class too, with its regions alone.",
)  # fmt: skip
@option(
    "--jobs", group=SPEED, type=click.IntRange(1), default=1, show_default=True, metavar="N",
    help="Images at once, each in a process of its own with its share of the processors and of --memory.",
)  # fmt: skip
@option(
    "--no-verify", "verify", group=SPEED, flag_value=False, is_flag=True, default=True,
    help="Do not compare some cells of maps that are not exact with their crops.",
)  # fmt: skip
@mapping_options
def command(
    images: tuple[str, ...],
    out: str,
    exports: str,
    by_class: bool,
    jobs: int,
    verify: bool,
    name: str | None,
    threshold: float | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Map a whole study: of each image a store, a picture and exports, and one table of all.

    An image that fails stops no other, and stands in the table with its reason. Stopped at any moment, the same command goes on; what is done is
    left as it is.

    \b
    Example:
      fullconv run model.onnx slides/ -o results -p imagenet --mpp 0.5 \\
        --where auto --activation softmax --class tumour --jobs 2
    """
    from fullconv.study.run import run

    model = options.pop("model")()
    found = images_of(images)
    study_of = {key: options.pop(key) for key in ("fail_if", "restart")} | {"memory": bytes_of(options.pop("memory"))}
    how = _how(options, name, threshold)
    with _watching(len(found), as_json) as told:
        try:
            study = run(
                model, found, out, classes=name, threshold=threshold, exports=exports, by_class=by_class, verify=verify, jobs=jobs,
                report=told, notes=noted_once(), **study_of, **how,
            )  # fmt: skip
        except KeyboardInterrupt:
            complain("fullconv: stopped; what is done is kept, and the same command goes on from there")
            raise click.exceptions.Exit(130) from None
    if as_json:
        print_event("study", study.to_json())
    else:
        _tell(study, out)
    _end(study)


def _how(options: dict[str, Any], name: str | None, threshold: float | None) -> dict[str, Any]:
    """The options of a map in a store; those of maps in memory are refused."""
    if options.pop("scales") is not None:
        raise BadInput(
            "--scales maps images that fit in memory (fullconv map); give --level or --mpp, and a study for each resolution"
        )
    if options.pop("fuse") != "max":
        raise BadInput("--fuse is of maps of several --scales")
    for key in (*_PICTURED, "overwrite"):
        options.pop(key, None)
    if options["confirm"] is not None:
        options |= {"confirm_class": name, "confirm_threshold": threshold}
    return {key: value for key, value in options.items() if not (key in ("workers", "scheduler") and value is None)}


@contextmanager
def _watching(count: int, as_json: bool) -> Iterator[Told]:
    """A bar of the images, and one of each that is mapped; lines of JSON where these are asked for."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskID,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeElapsedColumn(),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, disable=as_json or not console.is_terminal) as bar:
        whole = bar.add_task("images", total=count, rate="")
        tasks: dict[str, TaskID] = {}

        def told(image: str, event: str, what: Mapping[str, Any]) -> None:
            if as_json:
                print_event(event, {"image": image, **what})
            if event == "image":
                if image in tasks:
                    bar.remove_task(tasks.pop(image))
                bar.update(whole, completed=what["done"])
                if not as_json:
                    bar.console.print(shown(_line(image, what)), markup=False, highlight=False, soft_wrap=True)
                return
            if image not in tasks:
                tasks[image] = bar.add_task(shown(Path(image).name), total=None, rate="")
            if event == "plan":
                bar.update(tasks[image], total=what["tiles"], completed=what["done"])
            elif event == "tile":
                bar.update(
                    tasks[image], completed=what["done"], rate=f"{what['megapixels_per_second']:.3g} megapixels/s"
                )

        yield told


def _line(image: str, what: Mapping[str, Any]) -> str:
    if what["error"]:
        return f"failed: {_reason(image, what['error'])}"
    if what["before"]:
        return f"{image}: done before"
    winner = what["winner"]
    share = next((f" in {each['share']:.0%} of them" for each in what["classes"] if each["label"] == winner), "")
    return f"{image}: {what['rows'] * what['cols']:,} cells in {what['seconds']:,.1f} s{f', {winner!r}{share}' if winner else ''}"


def _reason(image: str, error: str) -> str:
    return error if image in error else f"{image}: {error}"


def _tell(study: Study, out: str) -> None:
    mapped = [each for each in study.outcomes if each.mapped]
    before = f", {study.before} of them before" if study.before else ""
    tell(f"{len(mapped)} of {len(study.outcomes)} images are mapped{before}; {study.summary} has a row of each")
    if not mapped:
        return
    titles = ["image", "cells", "winner", "share", "agrees with crops", "rules that hold"]
    rows = [
        [Path(each.image).name, f"{each.answered:,}", each.winner, _share(each), _agrees(each), "; ".join(each.rules)]
        for each in mapped[:_SHOWN]
    ]
    print_table(titles, rows, ["cells", "share"])
    if len(mapped) > _SHOWN:
        tell(f"and {len(mapped) - _SHOWN} more, in {out}")


def _share(found: Outcome) -> str:
    return next((f"{each.share:.1%}" for each in found.classes if each.label == found.winner), "")


def _agrees(found: Outcome) -> str:
    if found.agreement is None:
        return "exact" if found.exactness.startswith("exact") else "not compared"
    share, low, high = found.agreement
    return f"{share:.0%} ({100 * low:.0f}–{100 * high:.0f} %)"


def _end(study: Study) -> None:
    """Leave with what came of all images: a rule that holds first, as ``fullconv map`` does."""
    holding = [each for each in study.outcomes if each.rules]
    failed = "\n  ".join(_reason(each.image, each.error) for each in study.failed)
    text = f"{len(study.failed)} of {len(study.outcomes)} images failed:\n  {failed}"
    if holding:
        if failed:
            complain(f"fullconv: {text}")
        names = ", ".join(each.image for each in holding)
        complain(f"fullconv: a rule of --fail-if holds for {len(holding)} of {len(study.outcomes)} images: {names}")
        raise SystemExit(STOP)
    if failed:
        raise SomeFailed(text)
