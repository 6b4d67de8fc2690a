"""``fullconv adapt``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fullconv.cli.help import MAP, OUTPUT, argument, as_command, option
from fullconv.cli.images import images_of
from fullconv.cli.options import (
    activation_option,
    head_option,
    json_option,
    model_options,
    overwrite_option,
)
from fullconv.cli.pixels import preprocess_option
from fullconv.cli.reading import bytes_of, memory_option, reading_options
from fullconv.cli.terminal import note, noted_once, print_json, print_table, progress, say, tell

if TYPE_CHECKING:
    from fullconv.adaptation.report import Report
    from fullconv.model import Model


@as_command()
@model_options
@argument(
    "images", nargs=-1, required=True, type=click.Path(), metavar="IMAGE...",
    about="Images as the network is to be used on; folders, lists (.txt) and tables (.csv) stand for the images in them.",
)  # fmt: skip
@option(
    "--output", "-o", "out", group=OUTPUT, required=True, type=click.Path(), metavar="FILE",
    brief="The network to write: .onnx, .prototxt, .pt2, ...",
    help="The network to write; its suffix is the format, as for fullconv cast.",
)  # fmt: skip
@option(
    "--out-weights", group=OUTPUT, type=click.Path(), metavar="FILE", brief="Its weights, as for fullconv cast.",
    help="Weights of a .prototxt (.caffemodel or .h5), beside it by default; of an .onnx, a file for its tensors, within it by default.",
)  # fmt: skip
@option(
    "--crops", group=MAP, type=click.IntRange(1), default=1000, show_default=True, metavar="N", brief="How many crops to fit on.",
    help="How many crops to fit on, of all images together, chosen at random: by image, place and the class that wins.",
)  # fmt: skip
@option("--seed", group=MAP, type=click.IntRange(0), default=0, show_default=True, metavar="N", help="Of that choice.")
@preprocess_option
@head_option
@activation_option
@reading_options
@overwrite_option
@memory_option
@json_option
def command(
    model: Callable[[], Model],
    images: tuple[str, ...],
    out: str,
    out_weights: str | None,
    crops: int,
    seed: int,
    memory: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Bring a padded network's map nearer to its crops, without labels and without training.

    A head is fitted on crops of your own images, in seconds, and written with the network: as fully convolutional as before. What it gives is
    measured on cells that it was not fitted on; where it brings nothing, nothing is written (exit status 1).

    \b
    Example:
      fullconv adapt model.onnx photos/ -p imagenet -o adapted.onnx
      fullconv map adapted.onnx photo.jpg -p imagenet -o maps
    """
    from fullconv.adaptation.adapt import adapt
    from fullconv.formats.format import require_suffix
    from fullconv.system.guard import require_writable

    for name in (out, out_weights):
        if name is not None:
            require_writable(Path(name))  # before the work
    every, once, opened = images_of(images), noted_once(), model()
    require_suffix(opened.format, Path(out))
    with progress(Path(out).name, "crops") as told:
        adapted = adapt(
            opened, every, crops=crops, seed=seed, memory=bytes_of(memory), notes=once, progress=told, **options
        )
    written = adapted.model.save(out, out_weights)
    if as_json:
        print_json({**adapted.to_json(), "written": [str(path) for path in written]})
        return
    print_ladder(adapted.report)
    say(str(adapted))
    for path in written:
        tell(f"wrote {path}")
    if adapted.report.itself is not None and adapted.report.after.agreement >= adapted.report.itself:
        note("the map agrees with its crops as well as the classifier agrees with itself: no better can be had")


def print_ladder(report: Report) -> None:
    """The steps that were tried, as cross-validation saw them; the one that was taken is marked."""
    rows = [
        [f"{rung.name}{' *' if rung.name == report.taken else ''}", f"{rung.features:,}", f"{rung.strength:g}", f"{rung.divergence:.3g}", f"{rung.agreement:.1%}"]
        for rung in report.rungs
    ]  # fmt: skip
    numbers = ["features", "λ", report.divergence, "agreement"]
    print_table(["head", *numbers], rows, numbers)
