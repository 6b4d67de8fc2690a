"""A card that travels within an ONNX file, in its metadata; and what other tools leave there of a network."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

from fullconv.cards.card import Card, Kind
from fullconv.cards.read import LONGEST, parse_card
from fullconv.cards.taken import travelling
from fullconv.cards.write import text_of
from fullconv.errors import BadInput

KEY = "fullconv.card"
_NAMES = ("names", "class_names", "labels", "classes", "categories")


def carry(path: Path, card: Card) -> None:
    """Put a card into an ONNX file that was just written."""
    message = onnx.load(str(path), load_external_data=False)
    text = text_of(travelling(card), whole=False)
    for entry in [each for each in message.metadata_props if each.key == KEY]:
        message.metadata_props.remove(entry)
    message.metadata_props.add(key=KEY, value=text)
    path.write_bytes(message.SerializeToString())


def carried(metadata: Mapping[str, str], origin: str) -> Card | None:
    """The card of a network's metadata: fullconv's own, or classes as other tools name them (``{0: 'cat', 1: 'dog'}``, a list, or JSON of either).

    Raises:
        BadInput: the card is none.
    """
    text = metadata.get(KEY)
    if text is not None:
        if len(text) > LONGEST:
            raise BadInput(f"{origin}: the card in its metadata is larger than any ({LONGEST >> 20} MB)")
        return parse_card(text, f"{origin} (its metadata)", None)
    for key in _NAMES:
        names = _names(metadata.get(key, ""))
        if names:
            return Card(f"{origin} (its metadata, {key})", classes=tuple(map(Kind, names)))
    return None


def _names(text: str) -> list[str]:
    """Names of classes by their numbers; none where the text is something else."""
    if not text or len(text) > LONGEST or text.lstrip()[:1] not in ("{", "["):
        return []
    try:
        try:
            value: Any = json.loads(text)
        except ValueError:
            value = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return []
    if isinstance(value, dict):
        numbered = {str(key): name for key, name in value.items()}
        value = [numbered.get(str(i)) for i in range(len(numbered))]
    return value if isinstance(value, list) and all(isinstance(name, str) for name in value) else []
