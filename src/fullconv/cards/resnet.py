"""A ResNet of transformers as torchvision's: the same network, whose layers have other names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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


def as_torchvision(data: Mapping[str, Any]) -> tuple[str, tuple[str, ...]] | None:
    """The name of torchvision's network and what its layers are called there, ``OLD=NEW`` each; None where it is another one.

    Args:
        data: the ``config.json`` of a ``ResNetForImageClassification``.
    """
    kind, depths = data.get("layer_type", "bottleneck"), data.get("depths", [3, 4, 6, 3])
    name = _NAMES.get((kind, tuple(depths))) if isinstance(depths, list) and isinstance(kind, str) else None
    if name is None or data.get("hidden_sizes", _WIDTHS["bottleneck"]) != _WIDTHS[kind]:
        return None
    if any(data.get(key, value) != value for key, value in _SAME.items()):
        return None
    return name, (*_RENAME, *(_DEEP if kind == "bottleneck" else ()), *_SHORTCUT)
