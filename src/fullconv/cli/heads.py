"""The heads of an adapted network, in words and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fullconv.formats.head import FittedHead

_LONGEST = 120  # characters of what is told of one thing


def head_lines(fitted: FittedHead) -> list[str]:
    """What it moves, by what, and what it was fitted on."""
    head = fitted.head
    what = "its logits" if head.logits == head.output else f"its logits {head.logits}"
    by = [f"{level.value} (means of {len(level.rows)}×{len(level.cols)} regions)" for level in head.levels]
    if fitted.mixing is not None:
        by.append("the logits themselves")
    lines = [f"adapted: a fitted head moves {what} of {head.output} by {', '.join(by) or 'a constant'}"]
    return lines + [f"  {name}: {_told(value)}" for name, value in fitted.about.items()]


def _told(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list) and all(isinstance(each, str | int | float) for each in value):
        return _cut(", ".join(map(_told, value)))
    return _cut(str(value) if isinstance(value, str | int) else json.dumps(value))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def head_json(fitted: FittedHead) -> Mapping[str, Any]:
    """Where it lies and what it was fitted on; no weights."""
    head = fitted.head
    return {
        "output": head.output, "logits": head.logits, "classes": head.classes, "mixes": fitted.mixing is not None, "levels": [level.to_json() for level in head.levels],
        "about": dict(fitted.about),
    }  # fmt: skip
