"""Blame: with every layer cut the network is the crop's, and shares are what brute force finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import fullconv
from fullconv.errors import BadInput
from tests import helpers as h
from tests.formats.onnx.nets import ints, write
from tests.formats.torch.nets import INEXACT, SHAPE

FEW = ("ceil pools", "squeeze and excite", "layer norm over the map", "upsampling", "several heads")
CUT = [n for n in INEXACT if n not in ("reflected blur pool", "upsampling to a size")]


@pytest.mark.parametrize("name", [n if n in FEW else pytest.param(n, marks=pytest.mark.long) for n in CUT])
def test_with_every_layer_cut_it_is_the_untouched_network(name: str) -> None:
    torch.manual_seed(0)
    model = fullconv.load(INEXACT[name][0]().eval(), input_shape=SHAPE)
    image = np.random.default_rng(0).integers(0, 256, (44, 40, 3)).astype(np.uint8)
    found = fullconv.blame(model, image, cells=5, preprocess="unit")
    assert found.left < 1e-6
    assert found.left_out == ()
    assert {share.node for share in found.shares} == {cause.node for cause in model.plan.inexact}


def test_ceil_pools_and_padding_of_a_trained_network(quick) -> None:
    image = np.random.default_rng(0).integers(0, 256, (120, 130, 3), np.uint8)
    seen: list[tuple[int, int]] = []
    found = fullconv.blame(quick, image, cells=4, progress=lambda *told: seen.append(told))
    assert found.left < 1e-5
    assert {s.node for s in found.shares} == {"conv1", "conv2", "conv3", "pool1", "pool2", "pool3"}
    assert [s.alone for s in found.shares] == sorted((s.alone for s in found.shares), reverse=True)
    assert seen[-1] == (4 * 14, 4 * 14)
    assert found == fullconv.blame(quick, image, cells=4)
    assert "layers make half of it" in str(found)
    assert found.to_json()["shares"][0]["node"] == found.shares[0].node


def test_shares_are_what_brute_force_finds() -> None:
    """Two padded convolutions, by hand: one reads zeros at the crop's edge, the other the surroundings."""
    torch.manual_seed(0)
    a, b, fc = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1), nn.Linear(3 * 36, 2)
    model = fullconv.load(nn.Sequential(a, nn.ReLU(), b, nn.ReLU(), nn.Flatten(), fc).eval(), input_shape=(1, 6, 6))
    image = np.random.default_rng(0).integers(0, 256, (22, 20)).astype(np.uint8)
    found = fullconv.blame(model, image, cells=1, seed=3, preprocess="unit")
    picked = int(np.random.default_rng(3).choice(17 * 15, 1, replace=False)[0])
    row, col = divmod(picked, 15)
    assert found == fullconv.blame(model, image, at=[(row, col)], preprocess="unit")
    for wrong in ([], [(17, 0)], [(0, -1)]):
        with pytest.raises(BadInput, match="cells of a map of 17 × 15"):
            fullconv.blame(model, image, at=wrong, preprocess="unit")
    x = torch.from_numpy(image.astype(np.float32) / 255)[None, None]

    def crop(v: torch.Tensor) -> torch.Tensor:
        return v[:, :, row : row + 6, col : col + 6]

    def cut(v: torch.Tensor) -> torch.Tensor:
        kept = torch.zeros_like(v)
        crop(kept).copy_(crop(v))
        return kept

    def answer(first: bool, second: bool) -> torch.Tensor:
        y = torch.relu(F.conv2d(cut(x) if first else x, a.weight, a.bias, padding=1))
        y = torch.relu(F.conv2d(cut(y) if second else y, b.weight, b.bias, padding=1))
        return fc(crop(y).flatten(1))

    with torch.no_grad():
        whole, alone, both, other = answer(False, False), answer(True, False), answer(True, True), answer(False, True)
        np.testing.assert_allclose(both, model.run(crop(x).numpy())["5"], atol=1e-6)
    shares = {share.node: share for share in found.shares}
    assert shares["0"].alone == pytest.approx(float((alone - whole).abs().max()), rel=1e-4, abs=1e-7)
    assert shares["2"].alone == pytest.approx(float((other - whole).abs().max()), rel=1e-4, abs=1e-7)
    assert shares["0"].kept == pytest.approx(float((other - both).abs().max()), rel=1e-4, abs=1e-7)
    assert found.total == pytest.approx(float((whole - both).abs().max()), rel=1e-4)


def test_what_cannot_be_cut_is_told() -> None:
    torch.manual_seed(0)
    model = fullconv.load(INEXACT["reflected blur pool"][0]().eval(), input_shape=SHAPE)
    image = np.random.default_rng(0).integers(0, 256, (44, 40, 3)).astype(np.uint8)
    found = fullconv.blame(model, image, cells=3, preprocess="unit")
    assert "0: padding" in found.left_out[0]
    assert found.left == pytest.approx(found.total)
    assert "could not be cut" in found.advice


def test_an_exact_network_has_nobody_to_blame(lenet) -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8)
    found = fullconv.blame(lenet, image, preprocess="unit")
    assert found.shares == ()
    assert found.total < 1e-5
    assert "take the map for the crops" in found.advice
    with pytest.raises(fullconv.BadInput, match="smaller than one crop"):
        fullconv.blame(lenet, image[:20])


def test_branches_that_read_one_value() -> None:
    text = h.data(1, 2, 12, 12) + h.conv("a", "data", 3, 3, "pad: 1") + h.conv("b", "data", 3, 5, "pad: 2")
    text += h.layer("sum", "Eltwise", "a b") + h.pool("p", "sum", 3, 2) + h.fc("ip", "p", 3)
    image = np.random.default_rng(0).integers(0, 256, (40, 38, 2), np.uint8)
    found = fullconv.blame(h.model(text), image, cells=4, preprocess="unit")
    assert found.left < 1e-6
    assert {share.node for share in found.shares} == {"a", "b", "p"}


def test_networks_with_channels_last_and_in_half_precision(tmp_path: Path) -> None:
    """As Keras and phones have them: padding by a node of its own over (n, h, w, c), pools, all in float16."""
    rng = np.random.default_rng(0)
    body = (
        "t = Transpose <perm=[0,3,1,2]> (x)\nc = Conv <kernel_shape=[3,3], pads=[1,1,1,1]> (t, w, b)\nr = Relu(c)\n"
        "u = Transpose <perm=[0,2,3,1]> (r)\np = Pad(u, s)\nv = Transpose <perm=[0,3,1,2]> (p)\n"
        "m = MaxPool <kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]> (v)\n"
        "a = AveragePool <kernel_shape=[3,3], pads=[1,1,1,1]> (m)\ng = GlobalAveragePool(a)\nh = Mul(a, g)\n"
        "f = Flatten(h)\ny = Gemm(f, k, d)"
    )
    shapes = {"w": (4, 3, 3, 3), "b": (4,), "k": (4 * 5 * 5, 3), "d": (3,)}
    half = {name: (rng.standard_normal(shape) * 0.2).astype(np.float16) for name, shape in shapes.items()}
    path = write(tmp_path / "net.onnx", body, half | ints(s=[0, 1, 1, 0, 0, 0, 0, 0]),
                 inputs="float16[1,8,8,3] x", outputs="float16[1,3] y", opset=13)  # fmt: skip
    image = rng.integers(0, 256, (22, 20, 3), np.uint8)
    found = fullconv.blame(path, image, cells=3, preprocess="unit")
    assert found.left_out == ()
    assert {share.kind for share in found.shares} == {"padding", "local pooling"}
    assert len(found.shares) == 5
    assert found.left < 2e-3 < found.total  # half precision's own
