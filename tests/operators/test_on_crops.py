"""Networks that a rule once took for others: every cell of the map is ONNX Runtime's answer on its crop, or the network is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fullconv.geometry.lengths import map_sizes
from fullconv.loading import load
from tests.conftest import worst
from tests.formats.onnx.nets import TRUNK, TRUNK_WEIGHTS, ints, original, weights, write

POOLED = TRUNK + "m = GlobalAveragePool(p)\n"
VECTOR = TRUNK + "f = Flatten(p)\ng = Gemm(f, w, b)\n"
DENSE = {**TRUNK_WEIGHTS, "w": (196, 6), "b": (6,)}
LAST = 2**31 - 1

EXACT = {
    "softmax of a 1x1 map, before operator set 13": (POOLED + "s = Softmax(m)\ny = Flatten(s)", weights(**TRUNK_WEIGHTS), 11),
    "its logarithm": (POOLED + "s = LogSoftmax <axis=1> (m)\ny = Flatten(s)", weights(**TRUNK_WEIGHTS), 9),
    "hardmax of a 1x1 map": (POOLED + "s = Hardmax(m)\ny = Flatten(s)", weights(**TRUNK_WEIGHTS), 11),
    "a mean over a 1x1 map": (POOLED + "s = ReduceMean <axes=[2,3]> (m)\ny = Flatten(s)", weights(**TRUNK_WEIGHTS), 13),
    "a length from the end": (VECTOR + "l = ReduceL2 <axes=[-1]> (g)\ny = Div(g, l)", weights(**DENSE), 13),
    "normalised from the end": (VECTOR + "y = LpNormalization <axis=-1> (g)", weights(**DENSE), 13),
    "a mean of a vector": (VECTOR + "l = ReduceMean <axes=[-1]> (g)\ny = Sub(g, l)", weights(**DENSE), 13),
    "a slice of a vector from its start": (VECTOR + "k = Slice(g, z, e, a)\ny = Gemm(k, v)", weights(**DENSE, v=(3, 5)) | ints(z=[0], e=[3], a=[1]), 13),
    "a gather from the end": (VECTOR + "y = Gather <axis=-1> (g, i)", weights(**DENSE) | ints(i=[4, 0, 2]), 13),
    "a split from the end": (VECTOR + "u, v = Split <axis=-1> (g, n)\ny = Mul(u, v)", weights(**DENSE) | ints(n=[3, 3]), 13),
    "a gated linear unit": (VECTOR + "u, v = Split <axis=1> (g, n)\nq = Sigmoid(v)\ny = Mul(u, q)", weights(**DENSE) | ints(n=[3, 3]), 13),
    "a token": (
        TRUNK + "m = GlobalAveragePool(p)\nf = Reshape(m, t)\nd = MatMul(f, w)\na = Add(d, b)\ny = Reshape(a, o)",
        weights(**TRUNK_WEIGHTS, w=(4, 5), b=(5,)) | ints(t=[1, 1, 4], o=[1, 5]), 13,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EXACT)
def test_every_cell_equals_the_original_on_its_crop(tmp_path: Path, name: str) -> None:
    body, numbers, opset = EXACT[name]
    path = write(tmp_path / "net.onnx", body, numbers, outputs="float[n,m] y", opset=opset)
    model = load(path)
    assert model.plan.exactness.startswith("exact"), model.plan
    image = np.random.default_rng(1).standard_normal((1, 3, 23, 20)).astype(np.float32)
    full = model.cast()
    (found,) = full.run(image).values()
    grid = full.sampling().over((23, 20))
    assert grid.rows * grid.cols > 1
    for row in range(grid.rows):
        for col in range(grid.cols):
            x0, y0, x1, y1 = (int(v) for v in grid.box(row, col))
            (crop,) = original(path, np.ascontiguousarray(image[:, :, y0:y1, x0:x1]), optimised=False)
            assert worst(found[0, :, row, col], crop[0]) < 1e-5


@pytest.mark.parametrize("rows", [16, 17, 18])
def test_rounding_up_leaves_out_a_window_that_starts_past_the_input(tmp_path: Path, rows: int) -> None:
    body = "p = AveragePool <ceil_mode=1, kernel_shape=[1,2], strides=[2,2]> (x)\ny = Relu(p)"
    path = write(tmp_path / "net.onnx", body, {}, inputs="float[1,3,13,8] x", outputs="float[n,3,h,w] y")
    model = load(path)
    image = np.random.default_rng(1).standard_normal((1, 3, rows, 8)).astype(np.float32)
    assert model.run(image)["y"].shape[2:] == map_sizes(model.graph, (rows, 8))["y"]


REFUSED = {
    "joined 1x1 maps": ("j = Concat <axis=2> (m, m)\ny = Flatten(j)", {}, "not the channels"),
    "a slice from the end of the map": ("k = Slice(p, z, e, a)\ny = Flatten(k)", ints(z=[-4], e=[-1], a=[3]), "fixed place"),
    "a map wrapped around": ('k = Pad <mode="wrap"> (p, n)\ny = Flatten(k)', ints(n=[0, 0, 0, 1, 0, 0, 0, 0]), "wraps"),
    "softmax over a 1x1 map's side": ("s = Softmax <axis=2> (m)\ny = Flatten(s)", {}, "height or width"),
    "parameters of each position": (
        "l = LayerNormalization <axis=1> (p, s)\ny = Flatten(l)", {"s": np.ones((4, 7, 7), np.float32)}, "each position",
    ),
    "expanded to numbers": ("l = ReduceMax <axes=[1]> (p)\nk = Expand(l, n)\ny = Flatten(k)", ints(n=[1, 2, 7, 7]), "as numbers"),
    "a batch normalised by itself": (
        "k, u, v = BatchNormalization <training_mode=1> (p, s, o, o, s)\ny = Flatten(k)",
        {"s": np.ones(4, np.float32), "o": np.zeros(4, np.float32)}, "training_mode",
    ),
    "dropped at random": ("k = Dropout(p, half, t)\ny = Flatten(k)", {"half": np.float32(0.5), "t": np.array(True)}, "training_mode"),
    "resampled with aligned corners": (
        'k = Resize <mode="linear", coordinate_transformation_mode="align_corners"> (p, , s)\ny = Flatten(k)',
        {"s": np.array([1, 1, 2, 2], np.float32)}, "follows the input's size",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_with_the_reason(tmp_path: Path, name: str) -> None:
    body, numbers, reason = REFUSED[name]
    opset = 19 if "wrap" in name else 17
    path = write(
        tmp_path / "net.onnx", POOLED + body, weights(**TRUNK_WEIGHTS) | numbers, outputs="float[n,k] y", opset=opset
    )
    refusals = load(path).plan.refusals
    assert any(reason in each.reason for each in refusals), refusals
