"""Images of rows and columns alone, (n, h, w), as networks of handwritten digits take them: read as grey, and held to ONNX Runtime over the file itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

import fullconv
from fullconv.errors import BadInput

rng = np.random.default_rng(0)
_SIDE, _WIDE, _CLASSES = 12, 10, 5


def _saved(path: Path, nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], shape: list, opset: int) -> Path:
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    gives = helper.make_tensor_value_info("y", TensorProto.FLOAT, [shape[0], _CLASSES])
    kept = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "digits", [given], [gives], kept)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
    return path


def _dense(path: Path, shape: list) -> Path:
    """As tf2onnx writes Flatten and Dense."""
    nodes = [
        helper.make_node("Reshape", ["x", "flat"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["a"]),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("MatMul", ["r", "v"], ["y"]),
    ]
    weights = {
        "flat": np.array([-1, _SIDE * _WIDE]),
        "w": rng.normal(0, 0.1, (_SIDE * _WIDE, 8)).astype(np.float32),
        "v": rng.normal(0, 0.3, (8, _CLASSES)).astype(np.float32),
    }
    return _saved(path, nodes, weights, shape, 13)


def _convolved(path: Path) -> Path:
    """Which makes its channel itself, by an operator set whose Squeeze has its axes as an attribute."""
    nodes = [
        helper.make_node("Unsqueeze", ["x"], ["u"], axes=[1]),
        helper.make_node("Conv", ["u", "k"], ["c"], strides=[2, 2]),
        helper.make_node("Flatten", ["c"], ["f"]),
        helper.make_node("Gemm", ["f", "v"], ["y"]),
    ]
    weights = {
        "k": rng.normal(0, 0.3, (4, 1, 4, 4)).astype(np.float32),
        "v": rng.normal(0, 0.1, (4 * 5 * 4, _CLASSES)).astype(np.float32),
    }
    return _saved(path, nodes, weights, [1, _SIDE, _WIDE], 11)


@pytest.mark.parametrize("kind", ["dense", "dense, open", "convolved"])
def test_a_map_is_what_the_file_says_of_each_crop(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "digits.onnx"
    if kind == "convolved":
        _convolved(path)
    else:
        _dense(path, ["n", *((None, None) if "open" in kind else (_SIDE, _WIDE))])
    model = fullconv.load(path, input_shape=(1, _SIDE, _WIDE) if "open" in kind else None)
    assert model.image_shape == (1, _SIDE, _WIDE)
    assert any("images go in as grey" in note for note in model.notes)
    image = rng.random((31, 26, 1), np.float32)
    found, session = fullconv.map(model, image), ort.InferenceSession(path)
    step = int(found.grid.stride[0])
    assert found.scores.shape[1:] == ((31 - _SIDE) // step + 1, (26 - _WIDE) // step + 1)
    for row, col in np.ndindex(*found.scores.shape[1:]):
        crop = image[None, row * step : row * step + _SIDE, col * step : col * step + _WIDE, 0]
        (answer,) = session.run(None, {"x": crop})
        np.testing.assert_allclose(found.scores[:, row, col], answer[0], rtol=0, atol=1e-6)


def test_the_file_of_the_cast_takes_images_of_one_channel(tmp_path: Path) -> None:
    model = fullconv.load(_convolved(tmp_path / "digits.onnx"))
    fullconv.cast(model).save(tmp_path / "map.onnx")
    image = rng.random((31, 26, 1), np.float32)
    (out,) = ort.InferenceSession(tmp_path / "map.onnx").run(None, {"x": image.transpose(2, 0, 1)[None]})
    np.testing.assert_array_equal(out[0], fullconv.map(model, image).scores)


@pytest.mark.parametrize("shape", [[3, _SIDE, _WIDE], [_SIDE, _WIDE, 3]])
def test_an_image_without_a_batch_is_none_of_rows_and_columns(shape: list, tmp_path: Path) -> None:
    """Its first axis is of colours, or of rows, and no batch of grey images."""
    nodes = [helper.make_node("Reshape", ["x", "flat"], ["f"]), helper.make_node("MatMul", ["f", "w"], ["y"])]
    weights = {"flat": np.array([1, -1]), "w": np.zeros((int(np.prod(shape)), _CLASSES), np.float32)}
    with pytest.raises(BadInput, match=r"no image input of \(N, C, H, W\)"):
        fullconv.map(fullconv.load(_saved(tmp_path / "x.onnx", nodes, weights, shape, 13)), np.zeros((31, 26, 3)))


def test_an_open_size_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"leaves its training size open; give it with --input-shape"):
        fullconv.load(_dense(tmp_path / "digits.onnx", ["n", None, None]))
