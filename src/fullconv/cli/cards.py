"""A model card for people, as ``inspect`` shows it."""

from __future__ import annotations

from fullconv.cards.card import Card

_SHOWN = 8  # classes


def card_lines(card: Card) -> list[str]:
    """What a card says, a line each."""
    said = card.to_json()
    lines = ["", f"card: {card.origin}"]
    classes = said.pop("classes", [])
    for key, value in said.items():
        if isinstance(value, dict):
            value = ", ".join(f"{name} {_text(each)}" for name, each in value.items())
        lines.append(f"  {key.replace('_', ' ')}: {_text(value)}")
    if classes:
        names = [
            " ".join(
                [
                    kind["name"],
                    *([kind["colour"]] if "colour" in kind else []),
                    *(["(background)"] if kind.get("background") else []),
                ]
            )
            for kind in classes
        ]
        more = f", ... ({len(names)})" if len(names) > _SHOWN else ""
        lines.append(f"  classes: {', '.join(names[:_SHOWN])}{more}")
    return lines


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)
