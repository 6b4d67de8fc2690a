"""What other tools leave in a file's metadata of a network, as a card: names of classes, how pixels go in, sizes, licences.

Exporters that are known: Ultralytics (``task``, ``names``, ``imgsz``) and those that write what ONNX's specification says of images
(``Image.BitmapPixelFormat``, ``Image.NominalPixelRange``, ``Image.ColorSpaceGamma``), as Windows ML reads them and Custom Vision writes them. What is there
and cannot be read is told.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fullconv.cards.card import Card, Kind
from fullconv.cards.read import LONGEST
from fullconv.rasters.preprocess import NAMED, Channels, Preprocess

Found = tuple[Card | None, tuple[str, ...]]
_NAMES = ("names", "class_names", "labels", "classes", "categories", "id2label")
_LICENCES, _SOURCES = ("license", "licence", "modelspec.license"), ("source", "modelspec.title")
_FORMATS: Mapping[str, Channels] = {"Rgb8": "RGB", "Bgr8": "BGR", "Gray8": "grey"}
_PIXEL = 255.0
# ONNX's ranges: scale, mean and std by which pixels on 0..255 get there.
_RANGES = {
    "NominalRange_0_255": (1.0, 0.0, 1.0),
    "Normalized_0_1": (1 / _PIXEL, 0.0, 1.0),
    "Normalized_1_1": (2 / _PIXEL, 1.0, 1.0),
    "NominalRange_16_235": (219 / _PIXEL, -16.0, 1.0),
}


def card_of_metadata(metadata: Mapping[str, str], origin: str) -> Found:
    """A card of what other tools say, None where they say nothing, and what is to be known of it."""
    card, remarks = Card(f"{origin} (its metadata)"), []
    names, unread = _classes(metadata)
    card = replace(card, classes=names)
    if unread:
        remarks.append(
            f"its metadata has {unread!r}, which is no list of names that can be read; give them with --labels"
        )
    if metadata.get("author") == "Ultralytics":
        task = metadata.get("task")
        if task not in (None, "classify"):
            remarks.append(f"its metadata says that it is for the task {task!r}, not to classify")
        else:
            card = replace(card, preprocess=NAMED["unit"])
            remarks.append("as Ultralytics's metadata has it: pixels go in as RGB on 0..1")
    if any(key.startswith("Image.") for key in metadata):
        preprocess, why_not = _windows(metadata)
        card = replace(card, preprocess=preprocess)
        if preprocess is None:
            remarks.append(f"its metadata says how pixels go in, and it is not done: {why_not}; give --preprocess")
        else:
            remarks.append(f"as its metadata has it: pixels go in as {preprocess.channels} on {_on(preprocess)}")
    card = replace(card, licence=_first(metadata, _LICENCES), source=_first(metadata, _SOURCES))
    return (card if card.to_json() else None), tuple(f"{origin}: {remark}" for remark in remarks)


def listed(text: str) -> list[str]:
    """Names of classes by their numbers, of ``{0: 'cat', 1: 'dog'}``, a list, or JSON of either; none where the text is something else."""
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


def _classes(metadata: Mapping[str, str]) -> tuple[tuple[Kind, ...], str]:
    """The classes, and the key of what may name them and cannot be read, where nothing else does."""
    unread = ""
    for key in _NAMES:
        text = metadata.get(key, "")
        names = listed(text)
        if names:
            return tuple(map(Kind, names)), ""
        if text.strip() and text.strip() not in ("{}", "[]"):
            unread = unread or key
    return (), unread


def _windows(metadata: Mapping[str, str]) -> tuple[Preprocess | None, str]:
    """How pixels go in by what ONNX's specification says of images; or why that is not done."""
    order = metadata.get("Image.BitmapPixelFormat", "Rgb8")
    spread = metadata.get("Image.NominalPixelRange", "NominalRange_0_255")
    gamma = metadata.get("Image.ColorSpaceGamma", "SRGB")
    if order not in _FORMATS:
        return None, f"pixels of the format {order!r}"
    if spread not in _RANGES:
        return None, f"pixels on the range {spread!r}"
    if gamma != "SRGB":
        return None, f"colours of gamma {gamma!r}"
    scale, mean, std = _RANGES[spread]
    return Preprocess(_FORMATS[order], scale, (mean,), (std,)), ""


def _on(preprocess: Preprocess) -> str:
    low, high = ((pixel * preprocess.scale - preprocess.mean[0]) / preprocess.std[0] for pixel in (0.0, _PIXEL))
    return f"{low:g}..{high:g}"


def _first(metadata: Mapping[str, str], keys: tuple[str, ...]) -> str | None:
    return next((metadata[key].strip() for key in keys if metadata.get(key, "").strip()), None)
