"""``fullconv card``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fullconv.cli.help import OUTPUT, as_command, option
from fullconv.cli.options import json_option, model_options, overwrite_option
from fullconv.cli.terminal import note, print_json, tell

if TYPE_CHECKING:
    from fullconv.model import Model


@as_command()
@model_options
@option(
    "--output", "-o", "out", group=OUTPUT, required=True, type=click.Path(), metavar="FILE", brief="The card to write (.toml).",
    help="The card to write (.toml); paths in it are meant from its folder.",
)  # fmt: skip
@overwrite_option
@json_option
def command(model: Callable[[], Model], out: str, as_json: bool) -> None:
    """Write a model card: what a network's file says of it, and what is left for you to fill in as comments.

    With it nothing else is needed: fullconv map model.toml slides/ -o maps.

    \b
    Example:
      fullconv card model.onnx -o model.toml
      fullconv card timm:resnet18 --weights breast.pth -o breast.toml
    """
    from fullconv.cards.made import Read, card_of
    from fullconv.cards.write import text_of
    from fullconv.errors import BadInput
    from fullconv.system.files import written_whole
    from fullconv.system.guard import require_writable

    path = Path(out)
    if path.suffix != ".toml":
        raise BadInput(f"{out}: a card is written as .toml; name it so")
    require_writable(path)
    asked: dict[str, Any] = getattr(model, "asked")  # noqa: B009 - of model_options
    net = model()
    made = card_of(Read(net.card, net.image_shape, net.preprocess, net.graph.outputs), asked["source"], asked, path)
    with written_whole(path) as (part,):
        part.write_text(text_of(made), encoding="utf-8")
    if as_json:
        print_json({"card": made.to_json(), "written": [str(path)]})
        return
    if made.network is None:
        note(
            f"the network is code of your own or lies outside the card's folder, so that the card does not name it: give it as MODEL with --card {out}"
        )
    if made.weights is None and asked["weights"] is not None:
        note(
            f"{asked['weights']}: lies outside the card's folder, so that the card does not name it: give it with --weights"
        )
    said = [
        key for key in ("preprocess", "classes", "activation", "pixel_size", "threshold") if key not in made.to_json()
    ]
    tell(f"wrote {path}" + (f"; left to fill in where it matters: {', '.join(said)}" if said else ""))
