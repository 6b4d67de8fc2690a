"""Operators along an axis of a vector, however the file spells the axis, work along channels of the map that it becomes."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from fullconv.errors import BrokenPromise
from fullconv.formats.onnx.apply import apply
from fullconv.loading import load
from fullconv.surgery.edit import AlignConstants, SetAxis
from fullconv.surgery.plan import Plan
from tests.conftest import worst
from tests.formats.onnx.nets import TRUNK, TRUNK_WEIGHTS, ints, original, weights, write

_VECTOR = TRUNK + "f = Flatten(p)\nv = Gemm(f, w, b)\n"
_NUMBERS = weights(**TRUNK_WEIGHTS, w=(196, 6), b=(6,))
_MAP = TRUNK + "q = GlobalAveragePool(p)\n"

# name: what follows the vector v (n, 6), more numbers, outputs, operator set
ALONG = {
    "mean from the end": ("y = ReduceMean <axes=[-1], keepdims=1> (v)", {}, 1, 13),
    "mean, axes as input": ("y = ReduceMean <keepdims=1> (v, a)", ints(a=[-1]), 1, 18),
    "length": ("l = ReduceL2 <axes=[-1], keepdims=1> (v)\ny = Div(v, l)", {}, 6, 13),
    "length, axes as input": ("l = ReduceL2 <keepdims=1> (v, a)\ny = Div(v, l)", ints(a=[-1]), 6, 18),
    "gather from the end": ("y = Gather <axis=-1> (v, i)", ints(i=[4, 0, 2]), 3, 13),
    "gather": ("y = Gather <axis=1> (v, i)", ints(i=[4, 0, 2]), 3, 13),
    "slice from the end": ("y = Slice(v, s, e, a)", ints(s=[1], e=[5], a=[-1]), 4, 13),
    "slice from 0": ("y = Slice(v, s, e, a)", ints(s=[0], e=[5], a=[1]), 5, 13),
    "slice of the last": ("y = Slice(v, s, e, a)", ints(s=[-2], e=[2**31], a=[-1]), 2, 13),
    "slice with a step": ("y = Slice(v, s, e, a, t)", ints(s=[1], e=[6], a=[-1], t=[2]), 3, 13),
    "slice of old": ("y = Slice <starts=[1], ends=[4], axes=[-1]> (v)", {}, 3, 9),
    "slice of every axis": ("y = Slice(v, s, e)", ints(s=[0, 2], e=[2**31, 5]), 3, 13),
    "pad": ("y = Pad(v, s)", ints(s=[0, 1, 0, 2]), 9, 13),
    "pad of old": ("y = Pad <pads=[0, 1, 0, 2]> (v)", {}, 9, 9),
    "pad, axes as input": ("y = Pad(v, s, , a)", ints(s=[1, 2], a=[-1]), 9, 18),
    "expand": ("m = ReduceMax <axes=[-1], keepdims=1> (v)\ny = Expand(m, s)", ints(s=[1, 4]), 4, 13),
    "split from the end": ("y, z = Split <axis=-1> (v)", {}, 3, 11),
    "gated by its half (GLU)": ("g, z = Split <axis=-1> (v)\ns = Sigmoid(z)\ny = Mul(g, s)", {}, 3, 11),
    "join from the end": ("k = Relu(v)\ny = Concat <axis=-1> (v, k)", {}, 12, 13),
    "softmax of old": ("y = Softmax(v)", {}, 6, 11),
    "softmax from the end of old": ("y = Softmax <axis=-1> (v)", {}, 6, 11),
    "log softmax": ("y = LogSoftmax(v)", {}, 6, 13),
    "softmax of 3 axes": ("u = Unsqueeze(v, a)\ns = Softmax(u)\ny = Squeeze(s, a)", ints(a=[1]), 6, 13),
    "largest": ("y, i = TopK(v, k)", ints(k=[2]), 2, 13),
    "lp": ("y = LpNormalization(v)", {}, 6, 13),
    "normalised": ("y = LayerNormalization(v, g, h)", weights(g=(6,), h=(6,)), 6, 17),
    "constants by operator": ("t = Mul(v, g)\ny = PRelu(t, h)", weights(g=(6,), h=(6,)), 6, 13),
}  # fmt: skip

# on the map q (n, 4, 1, 1), which stays one
ON_A_MAP = {
    "softmax of old": ("y = Softmax(q)", {}, 11),
    "softmax of old, flat behind": ("s = Softmax <axis=1> (q)\ny = Flatten(s)", {}, 11),
    "log softmax of old": ("y = LogSoftmax(q)", {}, 9),
    "largest of old": ("y = Hardmax(q)", {}, 9),
}


def _crops_agree(path: Path, classes: int) -> None:
    model = load(path)
    assert not model.plan.refusals, model.plan
    assert model.plan.exactness.startswith("exact"), model.plan
    image = np.random.default_rng(1).standard_normal((1, 3, 25, 21)).astype(np.float32)
    full = model.cast()
    found = full.run(image)["y"]
    grid = full.sampling("y").over((25, 21))
    assert found.shape == (1, classes, grid.rows, grid.cols)
    crops = np.empty_like(found[0])
    for row in range(grid.rows):
        for col in range(grid.cols):
            x0, y0, x1, y1 = (int(v) for v in grid.box(row, col))
            crops[:, row, col] = original(path, np.ascontiguousarray(image[:, :, y0:y1, x0:x1]))[0].reshape(-1)
    assert worst(found[0], crops) < 1e-5


@pytest.mark.parametrize("name", ALONG)
def test_along_a_vector_is_along_channels(tmp_path: Path, name: str) -> None:
    body, more, classes, opset = ALONG[name]
    outputs = f"float[1,{classes}] y"
    _crops_agree(write(tmp_path / "net.onnx", _VECTOR + body, _NUMBERS | more, outputs=outputs, opset=opset), classes)


@pytest.mark.parametrize("name", ON_A_MAP)
def test_over_channels_and_one_cell_is_over_channels(tmp_path: Path, name: str) -> None:
    """Axis 1 and all behind it are height and width too; on a larger map they must not be."""
    body, more, opset = ON_A_MAP[name]
    outputs = "float[1,4] y" if "flat" in name else "float[1,4,1,1] y"
    path = write(tmp_path / "net.onnx", _MAP + body, weights(**TRUNK_WEIGHTS) | more, outputs=outputs, opset=opset)
    _crops_agree(path, 4)


@pytest.mark.parametrize("axis", [1, -1])
def test_over_the_channels_of_a_map_that_has_them_last(tmp_path: Path, axis: int) -> None:
    """A vector's axis 1 is the last of the map that it became; the numbers of its cells are apart."""
    body = (
        TRUNK + "t = Transpose <perm=[0,2,3,1]> (p)\nq = ReduceMean <axes=[1,2], keepdims=1> (t)\nv = Flatten(q)\n"
        f"y = LayerNormalization <axis={axis}> (v, g, h)"
    )
    path = write(tmp_path / "net.onnx", body, weights(**TRUNK_WEIGHTS, g=(4,), h=(4,)), outputs="float[1,4] y")
    _crops_agree(path, 4)


def test_an_output_in_no_maps_order_is_refused(tmp_path: Path) -> None:
    """The classes would come in another order than the network's own."""
    body = _MAP + "t = Transpose <perm=[0,2,1,3]> (q)\nk = Reshape(t, s)\ny = Transpose <perm=[0,2,1]> (k)"
    numbers = weights(**TRUNK_WEIGHTS) | ints(s=[1, 2, 2])
    path = write(tmp_path / "net.onnx", body, numbers, outputs="float[1,2,2] y")
    assert [(r.node, "in an order that no map has" in r.reason) for r in load(path).plan.refusals] == [("y", True)]


def test_an_activation_behind_it_is_in_no_maps_order_either(tmp_path: Path) -> None:
    body = _MAP + "t = Transpose <perm=[0,2,1,3]> (q)\nk = Reshape(t, s)\no = Transpose <perm=[0,2,1]> (k)\ny = Relu(o)"
    numbers = weights(**TRUNK_WEIGHTS) | ints(s=[1, 2, 2])
    path = write(tmp_path / "net.onnx", body, numbers, outputs="float[1,2,2] y")
    assert [r.node for r in load(path).plan.refusals] == ["y"]


@pytest.mark.parametrize(
    ("name", "opset"), [("Softmax <axis=1> (v)", 11), ("LayerNormalization <axis=1> (v, g, h)", 17)]
)
def test_channels_that_lie_last_are_told_by_their_axis(tmp_path: Path, name: str, opset: int) -> None:
    """On a map of (n, h, w, c) no transposes are needed, only the axis."""
    body = TRUNK + f"u = Transpose <perm=[0,2,3,1]> (p)\nv = ReduceMean <axes=[1,2], keepdims=0> (u)\ny = {name}"
    numbers = weights(**TRUNK_WEIGHTS, g=(4,), h=(4,))
    path = write(tmp_path / "net.onnx", body, numbers, outputs="float[1,4] y", opset=opset)
    _crops_agree(path, 4)


def test_an_activation_stands_between_a_layout_and_its_matrix(tmp_path: Path) -> None:
    body = (
        _MAP + "t = Transpose <perm=[0,2,1,3]> (q)\nk = Reshape(t, s)\no = Transpose <perm=[0,2,1]> (k)\na = Relu(o)\n"
    )
    body += "f = Flatten(a)\ny = Gemm(f, u, d)"
    numbers = weights(**TRUNK_WEIGHTS, u=(4, 5), d=(5,)) | ints(s=[1, 2, 2])
    _crops_agree(write(tmp_path / "net.onnx", body, numbers), 5)


@pytest.mark.parametrize("edit", [SetAxis("Relu_1", 2, "no axis"), AlignConstants("Gemm_4", ("b",), "no broadcast")])
def test_an_edit_that_cannot_be_made_is_no_edit_that_is_left_out(
    tmp_path: Path, edit: SetAxis | AlignConstants
) -> None:
    model = load(write(tmp_path / "net.onnx", _VECTOR + "y = Relu(v)", _NUMBERS, outputs="float[1,6] y"))
    plan = model.plan
    with pytest.raises(BrokenPromise):
        apply(model.native, Plan(plan.graph, (edit,), (), plan.graph))


def test_old_operator_sets_get_finer_maps(tmp_path: Path) -> None:
    """Below set 10 a MaxPool has no dilations: the set is raised."""
    body = TRUNK + "m = MaxPool <kernel_shape=[2,2], strides=[2,2]> (p)\nf = Flatten(m)\ny = Gemm(f, w, b)"
    path = write(tmp_path / "net.onnx", body, weights(**TRUNK_WEIGHTS, w=(36, 5), b=(5,)), opset=9)
    model = load(path)
    own = int(model.sampling().stride[0])
    finer = model.refined(own // 2)
    image = np.random.default_rng(1).standard_normal((1, 3, 23, 19)).astype(np.float32)
    (out,) = finer.save(tmp_path / "finer.onnx")
    onnx.checker.check_model(str(out), full_check=True)
    grid = finer.sampling().over((23, 19))
    (found,) = original(out, image)
    told = json.loads(ort.InferenceSession(str(out)).get_modelmeta().custom_metadata_map["fullconv.outputs"])["y"]
    assert told["stride"] == [own // 2, own // 2]
    assert told["crop"] == [16, 16]
    assert [(n - c) // s + 1 for n, c, s in zip((23, 19), told["crop"], told["stride"], strict=True)] == [
        grid.rows,
        grid.cols,
    ]
    assert tuple(map(Fraction, told["centre"])) == finer.sampling().field.centre
    for row, col in ((0, 0), (1, 1), (grid.rows - 1, grid.cols - 1)):
        x0, y0, x1, y1 = (int(v) for v in grid.box(row, col))
        (crop,) = original(path, np.ascontiguousarray(image[:, :, y0:y1, x0:x1]))
        assert worst(found[0, :, row, col], crop[0]) < 1e-5
