"""Statistics and sums of products in other words: ONNX Runtime's answers on the file itself are the oracle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fullconv.loading import load
from tests.conftest import worst
from tests.formats.onnx.nets import TRUNK, TRUNK_WEIGHTS, ints, original, weights, write

HEAD = {**TRUNK_WEIGHTS, "w": (4, 5), "b": (5,)}
DENSE = {**TRUNK_WEIGHTS, "w": (196, 5), "b": (5,)}

EXACT = {
    "sum": ("m = ReduceSum <keepdims=0> (p, a)\ny = Gemm(m, w, b)", weights(**HEAD) | ints(a=[2, 3]), 13),
    "sum of one side": ("m = ReduceSum(p, a)\ns = ReduceSum(m, a2)\ny = Flatten(s)", weights(**TRUNK_WEIGHTS) | ints(a=[3], a2=[2]), 13),
    "length": ("m = ReduceL2 <axes=[2,3], keepdims=0> (p)\ny = Gemm(m, w, b)", weights(**HEAD), 13),
    "length by absolutes": ("m = ReduceL1 <keepdims=0> (p, a)\ny = Gemm(m, w, b)", weights(**HEAD) | ints(a=[-1, -2]), 18),
    "least": ("m = ReduceMin <axes=[2,3]> (p)\ny = Flatten(m)", weights(**TRUNK_WEIGHTS), 13),
    "sum of squares": ("m = ReduceSumSquare(p, a)\ny = Flatten(m)", weights(**TRUNK_WEIGHTS) | ints(a=[2, 3]), 18),
    "einsum over channels": ('e = Einsum <equation="bchw,oc->bohw"> (p, w)\nm = GlobalAveragePool(e)\ny = Flatten(m)', weights(**TRUNK_WEIGHTS, w=(5, 4)), 13),
    "einsum over a map": ('y = Einsum <equation="bchw,whoc->bo"> (p, w)', weights(**TRUNK_WEIGHTS, w=(7, 7, 5, 4)), 13),
    "einsum over a vector": ('m = GlobalAveragePool(p)\nf = Flatten(m)\ny = Einsum <equation="bi, oi -> bo"> (f, w)', weights(**TRUNK_WEIGHTS, w=(5, 4)), 13),
    "einsum over channels last": (
        't = Transpose <perm=[0,2,3,1]> (p)\ne = Einsum <equation="bhwc,co->bhwo"> (t, v)\nf = Flatten(e)\ny = Gemm(f, w)',
        weights(**TRUNK_WEIGHTS, v=(4, 5), w=(245, 5)), 13,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EXACT)
def test_every_cell_equals_the_original_on_its_crop(tmp_path: Path, name: str) -> None:
    body, numbers, opset = EXACT[name]
    path = write(tmp_path / "net.onnx", TRUNK + body, numbers, outputs="float[n,m] y", opset=opset)
    model = load(path)
    assert model.plan.exactness.startswith("exact"), model.plan
    image = np.random.default_rng(1).standard_normal((1, 3, 20, 22)).astype(np.float32)
    full = model.cast()
    found = full.run(image)["y"]
    grid = full.sampling().over((20, 22))
    for row in range(grid.rows):
        for col in range(grid.cols):
            x0, y0, x1, y1 = (int(v) for v in grid.box(row, col))
            (crop,) = original(path, np.ascontiguousarray(image[:, :, y0:y1, x0:x1]))
            assert worst(found[0, :, row, col], crop[0]) < 1e-5


LAST = "f = Flatten(q)\ny = Gemm(f, w, b)"
GATES = {
    "instance normalisation": ("q = InstanceNormalization <epsilon=0.01> (p, s, o)\n" + LAST, weights(**DENSE, s=(4,), o=(4,)), 13),
    "group normalisation": ("q = GroupNormalization <num_groups=2, epsilon=0.01> (p, s, o)\n" + LAST, weights(**DENSE, s=(4,), o=(4,)), 21),
    "group normalisation between reshapes": (
        "g = Reshape(p, gs)\nk = InstanceNormalization(g, s, o)\nh = Reshape(k, hs)\nq = Mul(h, s2)\n" + LAST,
        weights(**DENSE, s=(2,), o=(2,), s2=(4, 1, 1)) | ints(gs=[0, 2, -1], hs=[1, 4, 7, 7]), 13,
    ),
    "group normalisation with a computed shape": (
        "z = Shape(p)\ng = Reshape(p, gs)\nk = InstanceNormalization(g, s, o)\nh = Reshape(k, z)\nq = Mul(h, s2)\n" + LAST,
        weights(**DENSE, s=(2,), o=(2,), s2=(4, 1, 1)) | ints(gs=[0, 2, -1]), 17,
    ),
    "mean and variance": ("q = MeanVarianceNormalization(p)\n" + LAST, weights(**DENSE), 13),
    "a variance by a product": (
        "m = ReduceMean <axes=[2,3]> (p)\nd = Sub(p, m)\ns = Mul(d, d)\nv = ReduceMean <axes=[2,3]> (s)\ng = Sigmoid(v)\nq = Mul(p, g)\n" + LAST,
        weights(**DENSE), 13,
    ),
    "a variance by a power": (
        "m = GlobalAveragePool(p)\nd = Sub(p, m)\ns = Pow(d, two)\nv = ReduceMean(s, a)\ng = Sigmoid(v)\nq = Mul(p, g)\n" + LAST,
        weights(**DENSE) | {"two": np.float32(2)} | ints(a=[2, 3]), 18,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GATES)
def test_statistics_gate_the_map(tmp_path: Path, name: str) -> None:
    body, numbers, opset = GATES[name]
    path = write(tmp_path / "net.onnx", TRUNK + body, numbers, opset=opset)
    model = load(path)
    assert "local pooling" in model.plan.exactness, model.plan
    image = np.random.default_rng(2).standard_normal((1, 3, 16, 16)).astype(np.float32)
    expected = original(path, image)[0]
    assert worst(model.run(image)["y"], expected) < 1e-5
    assert worst(model.cast().run(image)["y"].reshape(1, 5), expected) < 1e-5
    assert model.cast().run(np.zeros((1, 3, 21, 18), np.float32))["y"].shape[2:] == (3, 2)


def test_a_variance_alone_is_that_of_each_window(tmp_path: Path) -> None:
    """As a head it slides: every cell's variance is its crop's, not one about the means of other windows."""
    body = (
        "m = ReduceMean <axes=[2,3]> (p)\nd = Sub(p, m)\ns = Mul(d, d)\nv = ReduceMean <axes=[2,3]> (s)\ny = Flatten(v)"
    )
    path = write(tmp_path / "net.onnx", TRUNK + body, weights(**TRUNK_WEIGHTS), outputs="float[1,4] y", opset=13)
    model = load(path)
    assert model.plan.exactness.startswith("exact"), model.plan
    image = np.random.default_rng(1).standard_normal((1, 3, 20, 18)).astype(np.float32)
    found = model.cast().run(image)["y"]
    for row in range(3):
        crop = np.ascontiguousarray(image[:, :, 2 * row : 2 * row + 16, 2:18])
        assert worst(found[0, :, row, 1], original(path, crop)[0][0]) < 1e-5


@pytest.mark.parametrize(
    "body",
    [
        'e = Einsum <equation="bchw,bchw->bc"> (p, p)\ny = Flatten(e)',
        'e = Einsum <equation="bchw,c->bhw"> (p, k)\ny = Flatten(e)',
    ],
)
def test_other_sums_of_products_are_refused(tmp_path: Path, body: str) -> None:
    path = write(
        tmp_path / "net.onnx", TRUNK + body, weights(**TRUNK_WEIGHTS, k=(4,)), outputs="float[n,m] y", opset=13
    )
    assert any("Einsum has no rule" in each.reason for each in load(path).plan.refusals)


def test_moments_over_a_batch_of_any_size_are_refused(tmp_path: Path) -> None:
    body = "q = MeanVarianceNormalization(p)\n" + LAST
    path = write(
        tmp_path / "net.onnx",
        TRUNK + body,
        weights(**DENSE),
        inputs="float[N,3,16,16] x",
        outputs="float[N,5] y",
        opset=13,
    )
    assert any("over the batch" in each.reason for each in load(path).plan.refusals)
