"""Written networks whose branches do not meet at every size: plain ONNX Runtime runs them at all, with the cells of fullconv's own map."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import fullconv
from tests.formats.onnx.nets import weights, write

# A pool that pads by the size, as tf2onnx writes SAME, beside a strided convolution: one cell apart at odd sizes.
HEAD = "\ng = GlobalAveragePool(m)\nf = Flatten(g)\ny = Gemm(f, w, b)"
LONG = "l = MaxPool <kernel_shape=[3,3], strides=[2,2], pads=[0,0,1,1]> (x)\n"
SHORT = "s = Conv <kernel_shape=[1,1], strides=[2,2]> (x, k)\n"
NETS = {
    "sum": (LONG + SHORT + "m = Add(l, s)" + HEAD, {"k": (3, 3, 1, 1), "w": (3, 5), "b": (5,)}),
    "product": (LONG + SHORT + "m = Mul(l, s)" + HEAD, {"k": (3, 3, 1, 1), "w": (3, 5), "b": (5,)}),
    "joined": (LONG + SHORT + "m = Concat <axis=1> (l, s)" + HEAD, {"k": (3, 3, 1, 1), "w": (6, 5), "b": (5,)}),
    "twice": (
        LONG + SHORT + "a = Add(l, s)\np = MaxPool <kernel_shape=[3,3], strides=[2,2], pads=[0,0,1,1]> (a)\n"
        "q = Conv <kernel_shape=[1,1], strides=[2,2]> (a, k)\nm = Add(p, q)" + HEAD,
        {"k": (3, 3, 1, 1), "w": (3, 5), "b": (5,)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", list(NETS))
def test_plain_engines_run_every_size_with_the_same_cells(tmp_path: Path, name: str) -> None:
    body, shapes = NETS[name]
    path = write(tmp_path / "net.onnx", body, weights(**shapes), "float[1,3,16,12] x", "float[1,5] y")
    full = fullconv.load(path).cast()
    (out,) = full.save(tmp_path / "full.onnx")
    plain, again = ort.InferenceSession(out), fullconv.load(out)
    assert again.graph == full.graph
    assert again.is_fully_convolutional
    for height in range(16, 26):
        for width in (*range(12, 17), 21):
            image = np.random.default_rng(height * width).standard_normal((1, 3, height, width)).astype(np.float32)
            (found,) = plain.run(None, {"x": image})
            fits = full.fitting((height, width), "y")
            np.testing.assert_allclose(found, full.run(image[:, :, : fits[0], : fits[1]])["y"], atol=1e-5)


def test_a_file_that_needs_none_has_none(tmp_path: Path) -> None:
    path = write(tmp_path / "net.onnx", SHORT + "m = Relu(s)" + HEAD, weights(k=(3, 3, 1, 1), w=(3, 5), b=(5,)))
    (out,) = fullconv.load(path).cast().save(tmp_path / "full.onnx")
    assert "Slice" not in {node.op_type for node in onnx.load(out).graph.node}


@pytest.mark.parametrize("change", ["cuts the crop", "other nodes"])
def test_nodes_of_the_same_name_that_do_otherwise_stay(tmp_path: Path, change: str) -> None:
    body, shapes = NETS["sum"]
    path = write(tmp_path / "net.onnx", body, weights(**shapes), "float[1,3,16,12] x", "float[1,5] y")
    (out,) = fullconv.load(path).cast().save(tmp_path / "full.onnx")
    model = onnx.load(out)
    if change == "other nodes":
        next(node for node in model.graph.node if node.name == "fullconv/fit/h/end").op_type = "Max"
    else:
        table = next(t for t in model.graph.initializer if t.name == "fullconv/fit/h/cut")
        table.CopyFrom(onnx.numpy_helper.from_array(np.array([2, 1], np.int64), table.name))
    onnx.save(model, tmp_path / "other.onnx")
    image = np.random.default_rng(0).standard_normal((1, 3, 20, 14)).astype(np.float32)
    (expected,) = ort.InferenceSession(tmp_path / "other.onnx").run(None, {"x": image})
    net = fullconv.load(tmp_path / "other.onnx", input_shape=(3, 20, 14))
    assert "fullconv/fit" in {node.name for node in net.graph}
    np.testing.assert_allclose(net.run(image)["y"], expected, atol=1e-6)
