"""A ResNet of transformers as torchvision's: the same network, whose layers have other names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fullconv.cards.card import Card, Kind
from fullconv.errors import BadInput
from fullconv.rasters.transforms import transform_of

_NAMES = {
    ("basic", (2, 2, 2, 2)): "resnet18",
    ("basic", (3, 4, 6, 3)): "resnet34",
    ("bottleneck", (3, 4, 6, 3)): "resnet50",
    ("bottleneck", (3, 4, 23, 3)): "resnet101",
    ("bottleneck", (3, 8, 36, 3)): "resnet152",
}
_WIDTHS = {"basic": [64, 128, 256, 512], "bottleneck": [256, 512, 1024, 2048]}
# What must be so for the network to be torchvision's, and what a configuration that does not say it means.
_SAME: Mapping[str, Any] = {
    "embedding_size": 64,
    "hidden_act": "relu",
    "downsample_in_first_stage": False,
    "downsample_in_bottleneck": False,
    "num_channels": 3,
}
_RENAME = (
    "resnet.embedder.embedder.convolution=conv1",
    "resnet.embedder.embedder.normalization=bn1",
    *(f"resnet.encoder.stages.{i}.layers=layer{i + 1}" for i in range(4)),
    *(f"layer.{i}.convolution=conv{i + 1}" for i in range(2)),
    *(f"layer.{i}.normalization=bn{i + 1}" for i in range(2)),
)
_DEEP = ("layer.2.convolution=conv3", "layer.2.normalization=bn3")
_SHORTCUT = ("shortcut.convolution=downsample.0", "shortcut.normalization=downsample.1", "classifier.1=fc")


def resnet_card(data: Mapping[str, Any], beside: Mapping[str, Any] | None, config: Path, weights: Path) -> Card:
    """The card of a ``ResNetForImageClassification``.

    Args:
        data: its ``config.json``.
        beside: its ``preprocessor_config.json``; None where there is none.

    Raises:
        BadInput: it is another network than torchvision's.
    """
    kind, depths = data.get("layer_type", "bottleneck"), data.get("depths", [3, 4, 6, 3])
    name = _NAMES.get((kind, tuple(depths))) if isinstance(depths, list) and isinstance(kind, str) else None
    other = [key for key, value in _SAME.items() if data.get(key, value) != value]
    if name is None or data.get("hidden_sizes", _WIDTHS["bottleneck"]) != _WIDTHS[kind]:
        other.append("layer_type, depths and hidden_sizes")
    if other:
        raise BadInput(
            f"{config}: is a ResNet whose {', '.join(other)} torchvision's have otherwise, so it is not built here"
        )
    names = data.get("id2label")
    shape, preprocess = None, None
    if beside is not None:
        where = str(config.with_name("preprocessor_config.json"))
        preprocess = transform_of(beside, where).preprocess
        side = _side(beside)
        shape = None if side is None else (3, *side)
    return Card(
        str(config), network=f"torchvision:{name}", weights=str(weights), input_shape=shape, preprocess=preprocess,
        rename=(*_RENAME, *(_DEEP if kind == "bottleneck" else ()), *_SHORTCUT), classes=() if names is None else _kinds(names, config),
    )  # fmt: skip


def _kinds(names: Any, config: Path) -> tuple[Kind, ...]:
    listed = [names.get(str(i)) for i in range(len(names))] if isinstance(names, dict) else []
    if not listed or not all(isinstance(name, str) for name in listed):
        raise BadInput(f"{config}: its id2label does not name every class from 0 on")
    return tuple(Kind(str(name)) for name in listed)


def _side(data: Mapping[str, Any]) -> tuple[int, int] | None:
    """(height, width) that images have in the end; None where it does not say."""
    size = data.get("crop_size") if data.get("do_center_crop") else data.get("size")
    if not isinstance(size, dict):
        size = {"shortest_edge": size}
    height, width = (size.get(key, size.get("shortest_edge")) for key in ("height", "width"))
    if isinstance(height, int) and isinstance(width, int) and min(height, width) > 0:
        return height, width
    return None
