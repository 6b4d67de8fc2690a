"""The padded networks of the table: real trained ones, where ``FULLCONV_TEST_DATA`` has them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import fullconv
from fullconv.model import Model

_KINDS = (".png", ".jpg", ".jpeg", ".tif", ".tiff")


def networks() -> Iterator[tuple[str, Model, str]]:
    """Name, network, preprocessing."""
    folder = os.environ.get("FULLCONV_TEST_DATA")
    if folder is None:
        print("FULLCONV_TEST_DATA names no folder of trained networks")
        return
    data = Path(folder)
    quick, full = data / "caffe" / "cifar10_quick_caffe_v1", data / "caffe" / "cifar10_full_caffe_h5"
    yield (
        "CIFAR quick (Caffe)",
        fullconv.load(quick / "cifar10_quick.prototxt", quick / "cifar10_quick_iter_5000.caffemodel"),
        "caffe",
    )
    yield (
        "CIFAR full (Caffe)",
        fullconv.load(full / "cifar10_full.prototxt", full / "cifar10_full_iter_70000.caffemodel.h5"),
        "caffe",
    )
    yield (
        "mini_XCEPTION (Keras)",
        fullconv.load(data / "keras" / "face_classification" / "fer2013_mini_XCEPTION.102-0.66.hdf5"),
        "unit",
    )
    from tests.formats.torch.real import resnet20

    yield "ResNet-20 (PyTorch)", fullconv.load(resnet20(data), input_shape=(3, 32, 32)), "imagenet"


def pictures(folder: str) -> list[str]:
    """The pictures of a folder, by name."""
    return sorted(str(path) for path in Path(folder).iterdir() if path.suffix.lower() in _KINDS)
