"""Options of commands that map images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from fullconv.cli.help import MAP, OUTPUT, SPEED, Old, option
from fullconv.cli.options import (
    Real,
    activation_option,
    colours_option,
    engine_options,
    head_option,
    json_option,
    labels_option,
    overwrite_option,
    picture_options,
)
from fullconv.cli.pixels import preprocess_option
from fullconv.cli.reading import bounded_options, reading_options, scheduler_option, storing_options

_MAPPING = (
    labels_option,
    colours_option,
    head_option,
    activation_option,
    preprocess_option,
    reading_options,
    option(
        "--class", "name", group=MAP, metavar="NAME,...", brief="Class to picture and to find; several with commas.",
        help="Class to picture and to find: a label, words of one, or a number; several with commas between.",
    ),
    option(
        "--threshold", group=MAP, type=Real(), metavar="SCORE", brief="Least score of the places listed for --class.",
        help="Least score of the places listed for --class; by default the card's, else 0.5 of probabilities.",
    ),
    option(
        "--fail-if", "fail_if", group=MAP, multiple=True, metavar="RULE", brief="Exit status 3 where it holds: 'crack > 0.9'.",
        help="A rule that must not hold: 'crack > 0.9', of a class's highest score, 'area(crack) > 5 mm²' or 'share(crack) > 2 %', with and, or, "
        "not. Where it does, exit status 3, after all is written. May be repeated.",
    ),
    option(
        "--by", group=MAP, type=click.Choice(["cast", "crops"]), default="cast", show_default=True,
        help="The cast network, or crop by crop with the untouched one.",
    ),
    option(
        "--stride", group=MAP, type=click.IntRange(1), metavar="N", brief="Pixels between cells, for a finer map.",
        help="Pixels between cells: a divisor of the network's own stride; any with --by crops.",
    ),
    option(
        "--finer", group=MAP, type=click.Choice(["auto", "dilation", "shifts"]), default="auto", show_default=True, metavar="HOW",
        help="How --stride is had: dilation (dilated windows in one run), shifts (one run a shift of the image), or auto.",
    ),
    option(
        "--confirm", group=MAP, metavar="LEVEL",
        help="Run the cells that a padded network's map is least sure of as crops: with 95 % confidence so many of the winners (0.99, say) are those of "
        "the crops, by a random sample that is run first. Or detections (detections:0.95): every cell that scores --threshold for --class does so by its "
        "crop, and so many of those whose crops do are there; where they are rare, reported: the same, and what is missed is bounded as a share of all cells. Where it would cost more than --by crops, it says so and stops.",
    ),
    option("--scales", group=MAP, metavar="X,...", help="Map the image at each of these sizes, 0.5,0.71,1,1.41 say, and fuse the maps."),
    option(
        "--fuse", group=MAP, type=click.Choice(["max", "mean"]), default="max", show_default=True, help="Of each class over the scales.",
    ),
    storing_options,
    picture_options,
    overwrite_option,
    json_option,
    bounded_options,
    engine_options,
    option(
        "--batch", group=SPEED, type=click.IntRange(1), default=16, show_default=True, metavar="N", help="Crops a run (--by crops and --confirm).",
    ),
    option(
        "--device-memory", "device_memory", group=SPEED, metavar="SIZE",
        help="What a store's run takes of each GPU, 8GB say, so that two runs share one; by default most of what is free, alone.",
    ),
    scheduler_option,
)  # fmt: skip


def output_option(about: str, brief: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """-o, of what maps become."""
    return option(
        "--output", "-o", "out", group=OUTPUT, required=True, type=click.Path(), metavar="PATH",
        brief=brief, help=about,
    )  # fmt: skip


def mapping_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """All of them but MODEL's own and the output."""
    for each in reversed(_MAPPING):
        command = each(command)
    return command


def _old_head(args: Sequence[str], value: str | None) -> str | None:
    """``--output NAME`` named the network's output while ``-o`` or ``--output-dir`` named the folder."""
    return (
        "--head" if any(text == "--output-dir" or (text[:2] == "-o" and text != "--output") for text in args) else None
    )


OLD: dict[str, Old] = {"--output-dir": "--output", "--type": "--dtype", "--output": _old_head}
