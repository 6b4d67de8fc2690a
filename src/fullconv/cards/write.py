"""A card as text: what is known, and as comments what is left to fill in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fullconv.cards.card import Card
from fullconv.system.guard import MARK

_ABOUT: Mapping[str, tuple[str, str]] = {
    "network": ('"model.onnx"', "a file, from this one's folder, or timm:NAME or torchvision:NAME"),
    "weights": ('"weights.safetensors"', "where weights lie apart"),
    "fingerprint": ('"sha256:..."', "of the weights file, or of the network's: another one is refused"),
    "weights_prefix": ('"model_ema"', "which of the weights, where the file holds several"),
    "rename": ('["classifier=fc"]', "parts of the weights' names that the network calls otherwise"),
    "input_shape": ("[3, 224, 224]", "channels, height and width of a crop"),
    "output": ('"logits"', "which output, where there are several"),
    "activation": (
        '"softmax"',
        "behind it, where it ends in logits: softmax (one class a crop), sigmoid (several) or none",
    ),
    "threshold": ("0.5", "least score that counts"),
    "pixel_size": ("0.5", "that it was trained at: micrometres of a slide, metres of a scene"),
    "tolerance": ("0.05", "share by which an image's pixels may differ from that before they are resampled"),
    "bands": (
        '["red", "green", "blue"]',
        "of the image, in the network's order: names that it gives them, or numbers from 1 on",
    ),
    "licence": ('"CC-BY-4.0"', "of the weights"),
    "source": ('"https://..."', "where they are from, how they were trained"),
}
_PREPROCESS = (
    '# preprocess = "imagenet"  # raw, unit, signed, imagenet, caffe, or a table of channels, scale, mean, std'
)
_CLASSES = (
    '# [[classes]]  # one each, in the network\'s order\n# name = "tumour"\n# colour = "#d55e00"\n# background = false'
)


def text_of(card: Card, *, whole: bool = True) -> str:
    """The card's text.

    Args:
        whole: with comments for what it does not say; else what it says alone, as a network's file carries it.
    """
    said = card.to_json()
    lines = (
        [f"# A model card, {MARK}; docs/cards.md has its keys. Remove the # before what you fill in.", ""]
        if whole
        else []
    )
    for key, (example, about) in _ABOUT.items():
        if key in said:
            lines.append(f"{key} = {_value(said[key])}" + (f"  # {about}" if whole else ""))
        elif whole:
            lines.append(f"# {key} = {example}  # {about}")
    if "preprocess" in said:
        lines += ["", "[preprocess]  # value = (pixel · scale - mean) / std"] if whole else ["[preprocess]"]
        lines += [f"{key} = {_value(value)}" for key, value in said["preprocess"].items()]
    elif whole:
        lines += [_PREPROCESS]
    for kind in said.get("classes", ()):
        lines += ["", "[[classes]]", *(f"{key} = {_value(value)}" for key, value in kind.items())]
    if whole and "classes" not in said:
        lines += ["", _CLASSES]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    """A value as TOML has it: JSON's texts, numbers, truths and lists are TOML's, but for a text's DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
