"""The training size that a file's metadata states, where its input leaves it open: Ultralytics' ``imgsz``, a card's ``input_shape``."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from typing import Any

CARD = "fullconv.card"  # key of a card within a file
LONGEST = 4 << 20  # characters of a card; one of 21,000 classes with colours takes some 1.5 MB


def stated_size(metadata: Mapping[str, str]) -> tuple[int, int] | None:
    """(height, width), None where nothing says it."""
    return _sides(_json(metadata.get("imgsz", ""))) or _sides(_of_card(metadata.get(CARD, ""))[1:])


def stated_channels(metadata: Mapping[str, str]) -> int | None:
    """Channels of an image, None where nothing says it."""
    own = _of_card(metadata.get(CARD, ""))[:1] or [_json(metadata.get("channels", ""))]
    usual = 3 if metadata.get("author") == "Ultralytics" else None  # which said so in later versions only
    return own[0] if type(own[0]) is int and own[0] > 0 else usual


def _json(text: str) -> Any:
    try:
        return json.loads(text) if 0 < len(text) < 100 else None
    except (ValueError, RecursionError):
        return None


def _of_card(text: str) -> list[Any]:
    try:
        shape = tomllib.loads(text).get("input_shape") if 0 < len(text) <= LONGEST else None
    except (tomllib.TOMLDecodeError, RecursionError):  # which is told where the card is read
        return []
    return shape if isinstance(shape, list) else []


def _sides(value: Any) -> tuple[int, int] | None:
    value = [value, value] if type(value) is int else value
    whole = isinstance(value, list) and len(value) == 2 and all(type(each) is int and each > 0 for each in value)
    return (value[0], value[1]) if whole else None
