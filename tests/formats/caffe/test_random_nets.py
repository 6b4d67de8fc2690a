"""Random nets of odd layers: their answers are the formulas', and so is every cell of their maps that is told to be its crop's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fullconv.loading import load
from fullconv.model import Model
from tests.conftest import worst
from tests.formats.caffe.formulas import Unfit
from tests.formats.caffe.random_nets import RandomNet, net_of, random_net

TOLERANCE = 5e-4  # of the largest value; powers and logarithms of random values lose some digits in single precision
SLOW = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]


def loaded(net: RandomNet, folder: Path) -> Model:
    (folder / "n.prototxt").write_text(net.text)
    (folder / "n.caffemodel").write_bytes(net.caffemodel())
    return load(folder / "n.prototxt", folder / "n.caffemodel" if net.weights else None)


def image(net: RandomNet, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(net.seed).standard_normal((1, net.shape[1], height, width)).astype(np.float32)


def close(found: np.ndarray, expected: np.ndarray) -> bool:
    scale = max(1e-3, float(np.abs(expected).max()))
    return found.shape == expected.shape and float(np.abs(found - expected).max()) <= TOLERANCE * scale


@settings(max_examples=120, deadline=None, suppress_health_check=SLOW)
@given(st.integers(0, 2**32))
def test_blobs_are_the_formulas_and_cells_their_crops(tmp_path: Path, seed: int) -> None:
    net = random_net(seed)
    model = loaded(net, tmp_path)
    x = image(net, *net.shape[2:])
    found = model.run({"data": x}, outputs=[blob for blob in net.values if blob != "data"])
    for blob, expected in net.forward(x).items():
        assert blob == "data" or close(found[blob], expected), (blob, net.text)
    if not model.plan.refusals:
        check_cells(net, model)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('type: "Bias" bottom: "data" top: "y" bias_param { axis: -4 }', "lie along the batch"),
        ('type: "Scale" bottom: "data" top: "y" scale_param { axis: 0 num_axes: 2 bias_term: true }', "lie along the batch"),
        ('type: "Flatten" bottom: "data" top: "y" flatten_param { axis: 0 end_axis: 1 }', "moves the batch into other axes"),
        ('type: "Flatten" bottom: "data" top: "y" flatten_param { axis: 0 }', "moves the batch into other axes"),
        ('type: "Reshape" bottom: "data" top: "y" reshape_param { shape { dim: 2 dim: 1 dim: 9 } num_axes: 3 }', "into the batch"),
        ('type: "Reshape" bottom: "data" top: "y" reshape_param { shape { dim: 2 dim: 9 dim: -1 } }', "into the batch"),
        ('type: "Reshape" bottom: "data" top: "y" reshape_param { shape { dim: 1 dim: -1 } num_axes: 0 }', "into the batch"),
        ('type: "Reshape" bottom: "data" top: "y" reshape_param { shape { dim: 2 dim: 9 dim: 1 dim: 0 } }', "into the batch"),
        ('type: "Reshape" bottom: "data" top: "y" reshape_param { shape { dim: 0 dim: 2 dim: 9 dim: 1 dim: 11 } }', "reshapes a map of any size"),
    ],
)  # fmt: skip
def test_odd_axes_are_refused_by_the_plan(text: str, reason: str, tmp_path: Path) -> None:
    head = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 2 dim: 9 dim: 11 } } }'
    (tmp_path / "n.prototxt").write_text(
        f'{head} layer {{ name: "y" {text} }} layer {{ name: "r" type: "ReLU" bottom: "y" top: "r" }}'
    )
    (refusal,) = load(tmp_path / "n.prototxt").plan.refusals
    assert reason in refusal.reason


def test_a_reshape_of_the_batch_keeps_the_axes_behind_it(tmp_path: Path) -> None:
    """Of a map of one cell, any axis could be height."""
    pool = ("Pooling", {"pool": "AVE", "global_pooling": True})
    net = net_of((1, 1, 10, 11), pool, ("Reshape", {"dims": [0, -1], "num_axes": 1}), ("TanH", {}))
    model = loaded(net, tmp_path)
    assert str(model.graph.values[model.output()]) == "n () c h w"
    image = np.random.default_rng(0).standard_normal((1, 1, 11, 13)).astype(np.float32)
    (found,) = model.cast().run(image).values()
    assert found.shape == (1, 1, 1, 2, 3)
    assert close(found[..., 1, 2], np.tanh(image[..., 1:, 2:].mean((2, 3)))[None])


def check_cells(net: RandomNet, model: Model) -> None:
    """Every free cell of a larger map, its last output's, is its crop's answer by the formulas."""
    full, plan = model.cast(), model.plan
    sampling, blob = full.sampling(), model.native.placement.blobs[model.output()]
    height, width = net.shape[2:]
    size = full.fitting((int(height + 2 * sampling.stride[0] + 1), int(width + 3 * sampling.stride[1])), full.output())
    large = image(net, *size)
    cells = full.run({"data": large})[full.output()]
    grid = sampling.over(size)
    rows, cols = plan.free_cells(grid)
    for row, col in np.ndindex(grid.rows, grid.cols):
        y, x = int(row * sampling.stride[0]), int(col * sampling.stride[1])
        crop = large[:, :, y : y + height, x : x + width]
        if not (rows[row] and cols[col]) or crop.shape[2:] != (height, width):
            continue
        try:
            expected = net.forward(crop)[blob].ravel()
        except Unfit:  # an average of no cell at all
            return
        if expected.shape != cells[0, :, row, col].shape:
            return  # the net answers with a map: its crops are smaller than its training size
        assert close(cells[0, :, row, col], expected), (row, col, net.text)


def test_the_judge_is_not_blind() -> None:
    net = next(net for net in map(random_net, range(100)) if "Convolution" in {part.kind for part in net.parts})
    x = image(net, *net.shape[2:])
    before = net.forward(x)
    name = next(part.name for part in net.parts if part.kind == "Convolution")
    net.weights[name][0] = net.weights[name][0] + 0.1
    assert any(worst(after, before[blob]) > TOLERANCE for blob, after in net.forward(x).items() if blob != "data")
