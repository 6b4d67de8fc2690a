"""What stands for a network is the network: two that answer differently have different fingerprints."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import fullconv
from fullconv import fingerprint
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


@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("compiled", [True, False])
def test_a_sum_tells_an_image_from_what_it_was(
    size: str, compiled: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is of the very bytes of the fingerprint: all of a small file, pieces of a large one; with Google's sum and without."""
    monkeypatch.setattr(fingerprint, "_FAST", compiled)
    if size == "large":
        monkeypatch.setattr(fingerprint, "_WHOLE", 1000)
        monkeypatch.setattr(fingerprint, "_PIECES", 3)
        monkeypatch.setattr(fingerprint, "_PIECE", 256)
    path = tmp_path / "x.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (40, 50), np.uint8))
    about, when = ((40, 50), 1), path.stat()
    whole, added = fingerprint.with_sum(path, *about)
    assert whole == fingerprint.of_image(path, *about)
    assert added == fingerprint.sum_of(path, *about)
    seen = []
    for at in (0, 3, 127, 128, 1000, 1200, len(path.read_bytes()) - 1):
        before = path.read_bytes()
        path.write_bytes(before[:at] + bytes([before[at] ^ 1]) + before[at + 1 :])
        os.utime(path, ns=(when.st_atime_ns, when.st_mtime_ns))
        told = fingerprint.of_image(path, *about) != whole
        assert (fingerprint.sum_of(path, *about) != added) == told
        seen.append(told)
        path.write_bytes(before)
        os.utime(path, ns=(when.st_atime_ns, when.st_mtime_ns))
    assert all(seen) == (size == "small")
    assert any(seen)


def test_the_fingerprint_of_an_image_stays(tmp_path: Path) -> None:
    """Stores hold it: one that were made otherwise would let no run go on."""
    (tmp_path / "x.npy").write_bytes(bytes(range(256)) * 5000)
    assert fingerprint.of_image(tmp_path / "x.npy", (100, 200), 3) == "ec7032480f506741eadf83c92251428a"
