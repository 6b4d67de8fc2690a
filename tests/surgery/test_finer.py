"""Finer maps by dilation: every cell against the untouched network's crop, against shifted images, and as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import fullconv
from fullconv.errors import BadInput, CannotCast
from fullconv.loading import load
from fullconv.maps.crops import run_crops
from fullconv.maps.mapping import map_image, run_cast, run_shifted
from fullconv.surgery.refine import strides
from tests import helpers as h
from tests.conftest import worst
from tests.formats.onnx.nets import TRUNK, TRUNK_WEIGHTS, ints, weights, write
from tests.formats.torch.nets import EXACT, SHAPE, Of


def finer(model: fullconv.Model, image: np.ndarray, stride: int):
    """The refined map, and the same cells by crops and by shifted images."""
    refined = model.refined(stride)
    for output, untouched in zip(refined.graph.outputs, model.graph.outputs, strict=True):
        grid = refined.sampling(output).over(image.shape[2:])
        found = run_cast(refined, image, output)[:, : grid.rows, : grid.cols]
        full = model.cast()
        shifts = tuple(int(own) // stride for own in model.sampling(full.graph.outputs[0]).stride)
        shifted = run_shifted(full, image, full.graph.outputs[refined.graph.outputs.index(output)], grid, shifts)
        yield found, run_crops(model, image, untouched, grid), shifted, grid


def test_strides_that_a_network_can_take() -> None:
    assert strides(12) == [1, 2, 3, 4, 6, 12]


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_lenet(lenet, stride: int) -> None:
    image = np.random.default_rng(0).random((1, 1, 45, 39), np.float32)
    for found, crops, shifted, grid in finer(lenet, image, stride):
        assert found.shape == (10, (45 - 28) // stride + 1, (39 - 28) // stride + 1)
        assert np.abs(found - crops).max() < 1e-5
        assert np.abs(found - shifted).max() < 1e-6
        assert grid.box(1, 2) == (2 * stride, stride, 2 * stride + 28, stride + 28)


def test_the_weights_are_shared(lenet) -> None:
    refined = lenet.refined(1)
    own = lenet.cast().format.lower(lenet.cast().native, {"data": (1, 1, 28, 28)}).weights
    kept = refined.native.model.graph.initializers
    for name, array in own.items():
        assert np.shares_memory(kept[name].const_value.numpy(), array)


@pytest.mark.parametrize("name", EXACT)
def test_every_structure_at_stride_one(name: str) -> None:
    torch.manual_seed(0)
    model = fullconv.load(EXACT[name]().eval(), input_shape=SHAPE)
    image = np.random.default_rng(0).standard_normal((1, 3, 21, 19)).astype(np.float32)
    if "pixel unshuffle" in name or "space to depth" in name:
        with pytest.raises(CannotCast, match="makes blocks of cells"):
            model.refined(1)
        return
    for found, crops, _, _ in finer(model, image, 1):
        assert found.shape[1:] == (6, 4)
        assert worst(found, crops) < 1e-5


BRANCHES = {
    "branches of strides three and six": (
        lambda: Of(
            lambda m, x: m.fc(m.c(m.a(x) + m.b(x)).flatten(1)),
            a=nn.Conv2d(3, 4, 5, stride=3), b=nn.Sequential(nn.Conv2d(3, 4, 3), nn.AvgPool2d(3, 3)), c=nn.MaxPool2d(2), fc=nn.Linear(4 * 5 * 5, 5),
        ), 34, 6,
    ),
    "grouped convolutions and a mean at the head": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 6, 3, stride=2), nn.ReLU(), nn.Conv2d(6, 6, 3, stride=2, groups=3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5)
        ), 31, 4,
    ),
    "a strided slice": (lambda: Of(lambda m, x: m.fc(m.a(x)[:, :, ::2, ::2].amax((2, 3))), a=nn.Conv2d(3, 4, 3), fc=nn.Linear(4, 5)), 18, 2),
}  # fmt: skip


@pytest.mark.parametrize("name", BRANCHES)
def test_every_stride_over_branches(name: str) -> None:
    make, side, own = BRANCHES[name]
    torch.manual_seed(0)
    model = fullconv.load(make().eval(), input_shape=(3, side, side))
    assert model.plan.exactness.startswith("exact")
    image = np.random.default_rng(0).standard_normal((1, 3, side + 13, side + 9)).astype(np.float32)
    for stride in strides(own):
        for found, crops, shifted, _ in finer(model, image, stride) if stride < own else ():
            assert worst(found, crops) < 1e-5
            assert worst(found, shifted) < 1e-5


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_inside_a_padded_network_it_is_the_network_on_the_shifted_image(quick, stride: int) -> None:
    """Ceil pools, pooled means that do not count what lies outside: the quick net, away from the image's edge."""
    image = np.random.default_rng(0).random((1, 3, 110, 102), np.float32)
    ((found, _, shifted, _),) = finer(quick, image, stride)
    edge = 24 // stride
    assert np.abs(found - shifted)[:, edge:-edge, edge:-edge].max() < 1e-6
    assert np.abs(found - shifted).max() < 0.02


def test_the_first_cells_are_the_networks_own(quick) -> None:
    """At training size nothing is outside: a finer map's first cell is the answer for the crop."""
    crop = np.random.default_rng(0).random((1, 3, 32, 32), np.float32)
    expected = next(iter(quick.run(crop).values())).reshape(-1)
    found = next(iter(quick.refined(4).run(crop).values()))
    assert np.abs(found[0, :, 0, 0] - expected).max() < 1e-6


def test_map_takes_dilation_and_says_when_it_cannot(lenet) -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 36), np.uint8)
    maps = [map_image(lenet, image, preprocess="unit", stride=1, finer=how) for how in ("dilation", "shifts", "auto")]
    assert maps[0].grid == maps[1].grid == maps[2].grid
    assert np.abs(maps[0].scores - maps[1].scores).max() < 1e-6
    text = h.data(1, 1, 16, 16) + h.conv("c", "data", 2, 3, "stride: 2")
    text += h.layer(
        "d", "Deconvolution", "c", "d", "convolution_param { num_output: 2 kernel_size: 2 stride: 2 bias_term: false }"
    )
    text += h.pool("p", "d", 2, 2) + h.fc("ip", "p", 3)
    model, notes = h.model(text), []
    with pytest.raises(CannotCast, match="makes a map larger behind a stride"):
        map_image(model, image, stride=1, finer="dilation")
    found = map_image(model, image, stride=1, notes=notes.append)
    assert any("a finer map by shifted images: " in note for note in notes)
    assert found.scores.shape == (3, 25, 21)
    with pytest.raises(BadInput, match="not auto, dilation or shifts"):
        map_image(lenet, image, finer="magic")
    with pytest.raises(BadInput, match="it can step by 1, 2, 4"):
        lenet.refined(3)


def test_what_is_written_is_onnx_of_any_size(lenet, tmp_path: Path) -> None:
    (path,) = lenet.refined(2).save(tmp_path / "finer.onnx")
    onnx.checker.check_model(str(path), full_check=True)
    again = fullconv.load(path, input_shape=(1, 28, 28))
    image = np.random.default_rng(0).random((1, 1, 45, 39), np.float32)
    assert worst(next(iter(again.run(image).values())), next(iter(lenet.refined(2).run(image).values()))) < 1e-6


def test_plan_and_cast_take_a_stride(lenet) -> None:
    told = fullconv.plan(lenet, stride=2)
    assert [str(edit) for edit in told.refinements][-1].endswith("stride 1, dilation 2")
    assert "stride 1, dilation 2" in str(told)
    assert told.to_json()["refinements"][0]["edit"] == "SetWindow"
    image = np.random.default_rng(0).random((1, 1, 40, 36), np.float32)
    one, other = fullconv.cast(lenet, stride=2), lenet.refined(2)
    np.testing.assert_array_equal(next(iter(one.run(image).values())), next(iter(other.run(image).values())))


def test_openvino_runs_finer_networks(lenet, quick) -> None:
    for model, channels in ((lenet, 1), (quick, 3)):
        refined = model.refined(2)
        image = np.random.default_rng(0).random((1, channels, 50, 46), np.float32)
        one, other = (next(iter(refined.run(image, runtime=name).values())) for name in ("onnxruntime", "openvino"))
        assert worst(one, other) < 1e-5


def test_padding_of_other_layouts_and_gates_is_as_wide_as_before(tmp_path: Path) -> None:
    """A Pad over (n, h, w, c), and the edges of a local pool, whose amounts the cast has named already."""
    body = (
        "c = Conv <kernel_shape=[3,3], strides=[2,2]> (x, w1, b1)\nt = Transpose <perm=[0,2,3,1]> (c)\n"
        "p = Pad(t, s)\nu = Transpose <perm=[0,3,1,2]> (p)\ng = GlobalAveragePool(u)\nm = Mul(u, g)\n"
        "d = Conv <kernel_shape=[3,3], strides=[2,2]> (m, w2, b2)\nf = Flatten(d)\ny = Gemm(f, w, b)"
    )
    numbers = weights(w1=(4, 3, 3, 3), b1=(4,), w2=(4, 4, 3, 3), b2=(4,), w=(36, 5), b=(5,))
    path = write(tmp_path / "net.onnx", body, numbers | ints(s=[0, 1, 0, 0, 0, 0, 1, 0]), opset=13)
    model = load(path)
    finer = model.refined(2)
    image = np.random.default_rng(0).standard_normal((1, 3, 30, 34)).astype(np.float32)
    grid = finer.sampling().over((30, 34))
    found = run_cast(finer, image, finer.output())[:, : grid.rows, : grid.cols]
    own = run_cast(model.cast(), image, "y")
    # Away from the border, where a shift of two pixels moves no padding, the cells are the network's own.
    assert (
        worst(
            found[:, 2:-2:2, 2:-2:2],
            own[:, 1 : 1 + len(range(2, grid.rows - 2, 2)), 1 : 1 + len(range(2, grid.cols - 2, 2))],
        )
        < 1e-5
    )


def test_a_mean_of_no_channels_of_its_own_is_had_by_shifts(tmp_path: Path) -> None:
    """Behind a mean over channels: as a convolution it would make an axis that its readers do not expect."""
    body = (
        TRUNK
        + "m = ReduceMean <axes=[1], keepdims=1> (p)\nq = AveragePool <kernel_shape=[3,3], strides=[2,2]> (m)\ny = GlobalMaxPool(q)"
    )
    path = write(tmp_path / "net.onnx", body, weights(**TRUNK_WEIGHTS), outputs="float[1,1,1,1] y", opset=13)
    with pytest.raises(CannotCast, match="no dilated form"):
        load(path).refined(1)


def test_a_network_that_only_lays_out_its_input_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "net.onnx", "y = Flatten(x)", {}, outputs="float[1,768] y")
    (refusal,) = load(path).plan.refusals
    assert str(refusal) == "y: it is the input x itself, laid out anew: nothing is left to run"


def test_a_gate_behind_columns_that_a_stride_leaves_over_is_had_by_shifts(tmp_path: Path) -> None:
    """Stride 2 over 6 columns of windows leaves one over; finer, it would be the gate's edge instead of the crop's own last window."""
    body = (
        TRUNK
        + "m = MaxPool <kernel_shape=[1,1], strides=[2,2]> (c)\ng = GlobalAveragePool(m)\nh = Mul(m, g)\nf = Flatten(h)\ny = Gemm(f, w, b)"
    )
    path = write(tmp_path / "net.onnx", body, weights(**TRUNK_WEIGHTS, w=(196, 5), b=(5,)), opset=13)
    with pytest.raises(CannotCast, match="repeat cells"):
        load(path).refined(1)


def test_branches_of_different_steps_are_a_refusal_of_the_plan(tmp_path: Path) -> None:
    body = TRUNK + "q = GlobalAveragePool(p)\nd = Conv <kernel_shape=[1,1], strides=[2,2]> (q, v)\ny = Add(q, d)"
    numbers = weights(**TRUNK_WEIGHTS, v=(4, 4, 1, 1))
    path = write(tmp_path / "net.onnx", body, numbers, outputs="float[1,4,1,1] y", opset=13)
    assert [r.node for r in load(path).plan.refusals] == ["Add_5"]


def test_a_step_that_is_no_whole_number_of_pixels_is_not_made_finer(tmp_path: Path) -> None:
    """Cells every 4/3 pixels are no cells every pixel."""
    body = (
        "a = AveragePool <kernel_shape=[2,2], strides=[2,2]> (x)\nc = Conv <kernel_shape=[3,3], strides=[2,2]> (a, w1)\n"
        'r = Resize <mode="nearest"> (c, , k)\nd = Conv <kernel_shape=[3,3], pads=[1,1,1,1]> (r, w2)\ny = GlobalAveragePool(d)'
    )
    numbers = weights(w1=(4, 3, 3, 3), w2=(2, 4, 3, 3)) | {"k": np.array([1, 1, 3, 1], np.float32)}
    path = write(tmp_path / "n.onnx", body, numbers, "float[1,3,9,9] x", "float[1,2,1,1] y", 13)
    with pytest.raises(BadInput, match="only whole pixels"):
        fullconv.load(path).refined(1)


def test_a_window_that_is_dilated_already_reaches_as_far_as_before(tmp_path: Path) -> None:
    body = (
        TRUNK
        + "d = Conv <kernel_shape=[3,2], dilations=[2,3]> (p, v, b1)\nf = Flatten(d)\ny = Gemm <transB=1> (f, w, b)"
    )
    path = write(tmp_path / "net.onnx", body, weights(**TRUNK_WEIGHTS, v=(4, 4, 3, 2), w=(5, 48), b=(5,)), opset=13)
    image = np.random.default_rng(0).standard_normal((1, 3, 21, 19)).astype(np.float32)
    for found, crops, _, _ in finer(load(path), image, 1):
        assert found.shape[1:] == (6, 4)
        assert worst(found, crops) < 1e-5
