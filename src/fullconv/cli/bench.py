"""``fullconv bench``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from fullconv.cli.help import IMAGE, MAP, as_command, option
from fullconv.cli.options import SIZE, engine_options, json_option, model_options
from fullconv.cli.terminal import print_json, tell, waiting

if TYPE_CHECKING:
    from fullconv.model import Model


@as_command()
@model_options
@option("--size", group=IMAGE, type=SIZE, brief="Image size.", help="Image size, HxW; eight cells a side by default.")
@option(
    "--runs",
    group=MAP,
    metavar="N",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Runs of each; the median counts.",
)
@engine_options
@json_option
def command(
    model: Callable[[], Model],
    size: tuple[int, int] | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Time the map against the same cells crop by crop, in the best batch size.

    \b
    Example:
      fullconv bench deploy.prototxt --weights net.caffemodel --size 451x451
    """
    from fullconv.trust.bench import bench

    found = model()
    with waiting("timing"):
        result = bench(found, size, **options)
    if as_json:
        print_json(result.to_json())
    else:
        tell(str(result))
