"""A card of what can be read off a network; the rest is for the person who trained it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fullconv.cards.card import Card
from fullconv.cards.taken import fingerprint_of
from fullconv.rasters.preprocess import Preprocess
from fullconv.system.guard import resolved

_LIBRARY = re.compile(r"(torchvision|timm|keras):")


@dataclass(frozen=True, slots=True)
class Read:
    """What can be read off a network.

    Attributes:
        card: what its file or folder says of itself.
        input_shape: (C, H, W).
        preprocess: that its source states.
        outputs: by name.
    """

    card: Card | None
    input_shape: tuple[int, int, int]
    preprocess: Preprocess | None
    outputs: Sequence[str]


def card_of(read: Read, source: Any, asked: Mapping[str, Any], out: Path) -> Card:
    """What is known of a network, as a card that will lie at ``out``.

    Args:
        source: what it was loaded from.
        asked: the other arguments of ``fullconv.load``: weights, weights_prefix, rename.
    """
    card = read.card or Card(str(out))
    network = card.network if card.network is not None else str(source)
    weights = asked.get("weights") or card.weights
    # A library's name with weights of its own says both.
    whole = _LIBRARY.match(str(source)) is not None and asked.get("weights") is None and card.weights is not None
    return replace(
        card,
        origin=str(out),
        network=str(source) if whole else _beside(network, out),
        weights=None if weights is None or whole else _beside(str(weights), out),
        fingerprint=_fingerprint(weights if weights is not None else network),
        weights_prefix=asked.get("weights_prefix") or card.weights_prefix,
        rename=tuple(asked.get("rename") or card.rename),
        input_shape=read.input_shape,
        preprocess=read.preprocess,
        output=card.output or (read.outputs[-1] if len(read.outputs) > 1 else None),
    )


def _beside(text: str, out: Path) -> str | None:
    """A path as the card's folder has it, a library's name as it is; none of code of one's own, or of what lies elsewhere, which a card does not name."""
    if _LIBRARY.match(text):
        return text
    path = Path(text.removeprefix("transformers:"))
    if path.is_dir():  # whose configuration stands for it
        path = path / "config.json"
    if not path.is_file() or not resolved(path).is_relative_to(resolved(out.parent)):
        return None
    return os.path.relpath(path, out.parent).replace(os.sep, "/")


def _fingerprint(file: Any) -> str | None:
    path = Path(file)
    return fingerprint_of(path) if path.is_file() else None
