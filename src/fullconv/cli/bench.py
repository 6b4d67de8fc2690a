"""``fullconv bench``."""

from __future__ import annotations

from typing import Any

import click

from fullconv.cli.options import SIZE, engine_options, json_option, model_options, open_model, print_json, waiting


@click.command()
@model_options
@click.option("--size", type=SIZE, help="Image size, HxW; eight cells a side by default.")
@click.option("--runs", type=click.IntRange(1), default=5, show_default=True, help="Runs of each; the median counts.")
@engine_options
@json_option
def command(
    model: str,
    weights: str | None,
    input_shape: tuple[int, ...] | None,
    stages: tuple[str, ...],
    size: tuple[int, int] | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Time the map against the same cells crop by crop, in the best batch size.

    \b
    Example:
      fullconv bench deploy.prototxt --weights net.caffemodel --size 451x451
    """
    from fullconv.bench import bench

    found = open_model(model, weights, input_shape, stages)
    with waiting("timing"):
        result = bench(found, size, **options)
    if as_json:
        print_json(result.to_json())
    else:
        click.echo(str(result))
