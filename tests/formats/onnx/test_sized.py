"""Numbers computed from Shape: constants, what follows the image, and what is refused; against ONNX Runtime on crops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fullconv.loading import load
from tests.conftest import worst
from tests.formats.onnx.nets import TRUNK, TRUNK_WEIGHTS, ints, original, weights, write

HEAD = "\nf = Flatten(q)\ny = Gemm(f, w, b)"
SIDES = "z = Shape(p)\nh = Gather(z, two)\nwd = Gather(z, three)\nn = Gather(z, zero)\nc4 = Gather(z, one)\n"
PICKED = ints(zero=[0], one=[1], two=[2], three=[3], four=[4], seven=[7])

FOLLOWED = {
    "a reshape whose batch alone comes from the image": (
        "s = Concat <axis=0> (n, k)\na = Reshape(p, s)\nt = Transpose <perm=[0,2,1,3,4]> (a)\nq = Reshape(t, s2)",
        ints(k=[2, 2, 7, 7], s2=[0, -1, 7, 7]), 196,
    ),
    "a reshape that takes the rest of a batch": (
        "s = Concat <axis=0> (n, k)\na = Reshape(p, s)\nt = Transpose <perm=[0,2,1,3,4]> (a)\nq = Reshape(t, z)",
        ints(k=[2, -1, 7, 7]), 196,
    ),
    "a reshape that follows": (
        "s = Concat <axis=0> (n, two, two, h, wd)\na = Reshape(p, s)\nt = Transpose <perm=[0,2,1,3,4]> (a)\nq = Reshape(t, z)",
        {}, 196,
    ),
    "pads that are constants": (
        "d = Sub(h, seven)\nx1 = Mul(d, zero)\ne = Concat <axis=0> (zero, zero, two1, two1)\nu = Shape(e)\nv = Mul(u, zero)\n"
        "o = Div(c4, four)\npads = Concat <axis=0> (zero, zero, o, o, zero, zero, o, o)\nq = Pad(p, pads)",
        ints(two1=[2]), 324,
    ),
    "zeros like the map": (
        "a = ConstantOfShape <value = float[1] {0.25}> (z)\nq = Add(p, a)", {}, 196,
    ),
    "a size twice the map's": (
        "h2 = Mul(h, two)\nw2 = Mul(wd, two)\ns = Concat <axis=0> (n, c4, h2, w2)\n"
        'q = Resize <mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"> (p, , , s)',
        {}, 784,
    ),
    "a ratio of two sizes": (
        "h2 = Mul(h, two)\nd = Div(h2, h)\ng = Cast <to=1> (d)\nq = Mul(p, g)", {}, 196,
    ),
    "an expand to its own shape": ("q = Expand(p, z)", {}, 196),
}  # fmt: skip


@pytest.mark.parametrize("name", FOLLOWED)
def test_what_follows_the_image_is_cast_and_equals_crops(tmp_path: Path, name: str) -> None:
    body, numbers, size = FOLLOWED[name]
    numbers = weights(**TRUNK_WEIGHTS, w=(size, 5), b=(5,)) | PICKED | numbers
    path = write(tmp_path / "net.onnx", TRUNK + SIDES + body + HEAD, numbers, opset=13, inputs="float[N,3,16,16] x")
    model = load(path)
    full = model.cast()
    image = np.random.default_rng(1).standard_normal((2, 3, 24, 20)).astype(np.float32)
    (cells,) = full.run(image).values()
    grid = full.sampling().over((24, 20))
    rows, cols = model.plan.free_cells(grid)
    shown = [(r, c) for r in range(grid.rows) for c in range(grid.cols) if rows[r] and cols[c]]
    exact = model.plan.exactness.startswith("exact")
    assert exact or "pad" in name or "size" in name
    for row, col in shown if exact else shown[:0]:
        x0, y0, x1, y1 = (int(v) for v in grid.box(row, col))
        (crop,) = original(path, np.ascontiguousarray(image[:, :, y0:y1, x0:x1]))
        assert worst(cells[:, :, row, col], crop) < 1e-5
    crop = np.ascontiguousarray(image[:, :, :16, :16])
    assert worst(full.run(crop)["y"][:, :, 0, 0], original(path, crop)[0]) < 1e-5


REFUSED = {
    "divided by the height": ("g = Cast <to=1> (h)\nq = Div(p, g)", {}, "Div", "no constant"),
    "an odd height's remainder": ("r2 = Mod(h, two)\ng = Cast <to=1> (r2)\nq = Add(p, g)", {}, "Add", "no constant"),
    "coordinates by CumSum": (
        "o = ConstantOfShape <value = float[1] {1.0}> (z)\ng = CumSum(o, ax)\nq = Add(p, g)",
        {"ax": np.array(2, np.int64)}, "Add", "no constant",
    ),
    "coordinates by Range": (
        "hs = Squeeze(h, zero)\ng = Range(s0, hs, s1)\ngc = Cast <to=1> (g)\ngu = Unsqueeze(gc, one)\nq = Add(p, gu)",
        {"s0": np.array(0, np.int64), "s1": np.array(1, np.int64)}, "Add", "no constant",
    ),
    "a cut around the middle": (
        "m = Div(h, two)\na = Sub(m, two)\ne = Add(m, two)\nq = Slice(p, a, e, two)", {}, "Slice", "comes from the input's size",
    ),
    "pads that follow the size": (
        "d = Mod(h, two)\npads = Concat <axis=0> (zero, zero, d, d, zero, zero, zero, zero)\nq = Pad(p, pads)", {}, "Pad", "no constant",
    ),
    "a threshold of the height": (
        "t = Greater(h, hundred)\ng = Cast <to=1> (t)\nq = Add(p, g)", ints(hundred=[1000]), "Add", "no constant",
    ),
    "a large part of the height": (
        "t = Div(h, hundred)\ng = Cast <to=1> (t)\nq = Add(p, g)", ints(hundred=[1000]), "Add", "no constant",
    ),
    "a height that saturates": (
        "t = Cast <to=1> (h)\nu = Mul(t, ten)\ng = Tanh(u)\nq = Add(p, g)", {"ten": np.float32(10)}, "Add", "no constant",
    ),
    "a random offset": ("g = RandomNormal <shape=[1], seed=1.0> ()\nq = Add(p, g)", {}, "Add", "no constant"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_proven_is_refused_by_node(tmp_path: Path, name: str) -> None:
    body, numbers, node, reason = REFUSED[name]
    head = "\ng9 = GlobalAveragePool(q)\ny = Flatten(g9)"
    numbers = weights(**TRUNK_WEIGHTS) | PICKED | numbers
    path = write(tmp_path / "net.onnx", TRUNK + SIDES + body + head, numbers, opset=13, outputs="float[1,4] y")
    refusals = load(path).plan.refusals
    assert [r.node.split("_")[0] for r in refusals] == [node], refusals
    assert reason in refusals[0].reason
