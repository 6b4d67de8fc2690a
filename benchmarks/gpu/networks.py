"""The networks that are measured, with random weights of sane activations: by PyTorch, torchvision and timm where they are there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import nn

import fullconv
from benchmarks.caffenet.build import build as build_caffenet
from benchmarks.coverage.models import declare_torchvision, sane
from fullconv.formats.torch.source import build

_SHAPE = (3, 224, 224)


@dataclass(frozen=True, slots=True)
class Measured:
    """A network.

    Attributes:
        model: as it is loaded.
        module: for code as people write it; None where the network is of no framework that they would run.
        preprocess: pixels to its input.
        by, stride: how it gets over an image.
    """

    model: fullconv.Model
    module: nn.Module | None
    preprocess: str
    by: str = "cast"
    stride: int | None = None


def _small() -> Measured:
    torch.manual_seed(0)
    body = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 8 * 8, 10)
    ).eval()
    return Measured(fullconv.load(body, input_shape=(3, 32, 32)), body, "unit")


def _small_crops() -> Measured:
    small = _small()
    return Measured(small.model, small.module, "unit", "crops", 16)


def _of(name: str, by: str = "cast", stride: int | None = None) -> Callable[[], Measured]:
    def made() -> Measured:
        declare_torchvision()
        module = sane(build(name, None).module, _SHAPE)
        return Measured(fullconv.load(module, input_shape=_SHAPE), module, "imagenet", by, stride)

    return made


def _caffenet() -> Measured:
    with TemporaryDirectory() as folder:
        return Measured(fullconv.load(*build_caffenet(Path(folder))), None, "caffe")


NETWORKS: dict[str, Callable[[], Measured]] = {
    "resnet18": _of("torchvision:resnet18"),
    "resnet50": _of("torchvision:resnet50"),
    "efficientnet_b0": _of("torchvision:efficientnet_b0"),
    "caffenet": _caffenet,
    "vit_small_16": _of("timm:vit_small_patch16_224", "crops", 112),
    "small": _small,
    "small_crops": _small_crops,
}
