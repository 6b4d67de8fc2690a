"""What stands for a network is the network: two that answer differently have different fingerprints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import fullconv
from fullconv.fingerprint import of_model
from tests import helpers as h
from tests.formats.onnx.nets import TRUNK, TRUNK_WEIGHTS, weights, write

NUMBERS = weights(**TRUNK_WEIGHTS, w=(5, 196), b=(5,))
HEAD = "f = Flatten(a)\ny = Gemm <transB=1{more}> (f, w, b)"


def onnx(
    folder: Path,
    act: str = "LeakyRelu <alpha=0.1> (p)",
    more: str = "",
    trunk: str = TRUNK,
    numbers: dict | None = None,
) -> str:
    path = write(folder / "n.onnx", trunk + f"a = {act}\n" + HEAD.format(more=more), numbers or NUMBERS)
    return of_model(fullconv.load(path))


def test_the_same_network_read_twice_is_the_same(tmp_path: Path) -> None:
    assert onnx(tmp_path) == onnx(tmp_path)


@pytest.mark.parametrize(
    "other",
    [
        {"act": "LeakyRelu <alpha=0.5> (p)"},
        {"act": "Elu <alpha=0.1> (p)"},
        {"more": ", alpha=0.5"},
        {"more": ", beta=0.5"},
        {"trunk": TRUNK.replace("Relu(c)", "Selu(c)")},
        {"numbers": NUMBERS | {"b": NUMBERS["b"] + np.float32(1e-7)}},
    ],
    ids=str,
)
def test_attributes_and_weights_tell_onnx_networks_apart(other: dict, tmp_path: Path) -> None:
    assert onnx(tmp_path) != onnx(tmp_path, **other)


def caffe(extra: str, kind: str = "ReLU") -> str:
    text = h.data(1, 1, 12, 12) + h.conv("c", "data", 3, 3) + h.layer("a", kind, "c", "a", extra) + h.fc("ip", "a", 4)
    return of_model(h.model(text))


def test_attributes_tell_caffe_networks_apart() -> None:
    slopes = [caffe(f"relu_param {{ negative_slope: {slope} }}") for slope in (0, 0.1, 0.5)]
    sizes = [caffe(f"lrn_param {{ alpha: {alpha} }}", "LRN") for alpha in (1e-4, 2e-4)]
    assert len({*slopes, *sizes}) == 5
    assert caffe("relu_param { negative_slope: 0.1 }") == slopes[1]


class Net(nn.Module):
    def __init__(self, activation: nn.Module, epsilon: float = 1e-5) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, epsilon), activation, nn.Flatten(), nn.Linear(784, 5)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


def test_attributes_tell_pytorch_networks_apart() -> None:
    nets = (Net(nn.LeakyReLU(0.1)), Net(nn.LeakyReLU(0.5)), Net(nn.LeakyReLU(0.1), 1e-3), Net(nn.ELU(0.1)))
    seen = [of_model(fullconv.load(net.eval(), input_shape=(3, 16, 16))) for net in (*nets, Net(nn.LeakyReLU(0.1)))]
    assert len(set(seen)) == 4
    assert seen[0] == seen[4]
