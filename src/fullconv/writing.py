"""Writing a network in its own format: read again and held against itself before it takes its place, with its card where the format has room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fullconv.cards.carried import SUFFIXES, carry
from fullconv.errors import BadInput
from fullconv.formats.registry import read_back
from fullconv.system.guard import guarded
from fullconv.trust.reread import same_answers, same_heads

if TYPE_CHECKING:
    from fullconv.model import Model


def written(model: Model, path: Path, weights: Path | None, overwrite: bool) -> list[Path]:
    """Write a network; the paths written. See ``Model.save``."""
    if model.activation is not None:
        raise BadInput(f"{path}: a network is written without the {model.activation.function} that maps have behind it")

    def approve(parts: Sequence[Path]) -> None:
        if model.card is not None and path.suffix in SUFFIXES:
            shape = model.image_shape if model.graph.image is not None else None
            carry(parts[0], path.suffix, replace(model.card, input_shape=model.card.input_shape or shape))
        if model.checks:
            _read_again(model, parts)

    with guarded(*model.files, overwrite=overwrite):
        return model.format.write(model.native, path, weights, approve)


def _read_again(model: Model, parts: Sequence[Path]) -> None:
    """Hold what was written against the network, before it takes its place."""
    if model.graph.image is None:
        return
    made = read_back(parts, model.image_shape)
    if made is not None:
        kind, native = made
        again = type(model)(native, kind)
        same_answers(model, again, parts[0].name)
        same_heads(model.heads, again.heads, parts[0].name)
