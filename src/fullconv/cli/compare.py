"""``fullconv compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fullconv.cli.help import IMAGE, MAP, OUTPUT, argument, as_command, option
from fullconv.cli.idle import require_of
from fullconv.cli.options import Input, json_option, overwrite_option
from fullconv.cli.terminal import complain, note, print_json, print_table, say, tell

if TYPE_CHECKING:
    from fullconv.maps.comparison import Comparison

_SHOWN = 20


@as_command()
@argument("first", type=Input(), metavar="FIRST", about="A map: x.zarr or x.npz.")
@argument("second", type=Input(), metavar="SECOND", about="Another map of the same image.")
@option(
    "--class", "classes", group=MAP, metavar="NAME", brief="Compare these classes alone, with commas between.",
    help="Compare these classes alone, with commas between: cells that are of them in both maps, in one, or in none.",
)  # fmt: skip
@option(
    "--threshold", "-t", group=MAP, type=float, metavar="SCORE", brief="A cell is of a class of this score or more.",
    help="A cell is of a class of --class whose score is at least this; without it, the one that wins.",
)  # fmt: skip
@option(
    "--fail-under", group=MAP, type=click.FloatRange(0, 1), metavar="SHARE", brief="Exit status 1 where less of the cells agree.",
    help="Exit status 1 where less than this share of the cells agree: 0.99.",
)  # fmt: skip
@option("--partial", group=MAP, is_flag=True, help="Compare what is there of maps that are not finished.")
@option(
    "--image", group=IMAGE, type=Input(), metavar="FILE", brief="What the picture is laid over.",
    help="What the picture is laid over; a stored map's own image by default, where it is still there.",
)  # fmt: skip
@option(
    "--output", "-o", group=OUTPUT, type=click.Path(), metavar="FILE", brief="Draw where they part (.png, .svg, .pdf).",
    help="Draw where the two agree and where they part (.png, .svg, .pdf).",
)  # fmt: skip
@overwrite_option
@json_option
def command(
    first: str, second: str, classes: str | None, threshold: float | None, fail_under: float | None, partial: bool,
    image: str | None, output: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Compare two maps of one image: of two models, two versions of one, or two ways to run it.

    \b
    Examples:
      fullconv compare old.zarr new.zarr -o where.png --image slide.svs
      fullconv compare old.npz new.npz --class tumour -t 0.5 --fail-under 0.99
    """
    from fullconv.maps.comparison import compare
    from fullconv.system.guard import require_writable

    require_of("--image", "image", used=output is not None, of="a picture (-o)")
    if output is not None:
        require_writable(Path(output))
    found = compare(first, second, classes=classes, threshold=threshold, partial=partial)
    if output is not None:
        found.picture(image).save(Path(output))
    if as_json:
        print_json(found.to_json())
    else:
        for remark in found.remarks:
            note(remark)
        say(str(found))
        _print_classes(found)
        _print_pairs(found)
        if output is not None:
            tell(f"wrote {output}")
    if fail_under is not None and found.share < fail_under:
        complain(f"fullconv: {found.share:.4%} of the cells agree, less than {fail_under:.4%} (--fail-under)")
        raise SystemExit(1)


def _print_classes(found: Comparison) -> None:
    titles = ["class", "first", "second", "both", "overlap", *(["mean gap"] if found.mean_gap is not None else [])]
    classes = sorted(found.classes, key=lambda each: -(each.first + each.second))
    seen = [each for each in classes if each.first or each.second][:_SHOWN]
    rows = [
        [
            each.label, f"{each.first:,}", f"{each.second:,}", f"{each.both:,}", "" if each.overlap is None else f"{each.overlap:.3f}",
            *([f"{each.gap:+.3g}" if each.gap is not None else ""] if found.mean_gap is not None else []),
        ]
        for each in seen
    ]  # fmt: skip
    print_table(titles, rows, titles[1:])
    left = len(found.classes) - len(seen)
    if left:
        tell(f"and {left} classes of fewer cells or none; --json lists all")


def _print_pairs(found: Comparison) -> None:
    if not found.pairs:
        return
    titles = ["first says", "second says", "cells"]
    print_table(titles, [[a, b, f"{count:,}"] for a, b, count in found.pairs[:10]], titles[2:])
