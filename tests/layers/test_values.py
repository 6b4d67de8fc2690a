"""A layer's map holds the layer's own values: of its framework, on the whole image and on crops, and of real Caffe."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper, numpy_helper
from torch import nn

import fullconv
from fullconv.model import Model
from tests.layers import nets

NOISE = 2e-6  # of the largest value


@pytest.fixture(scope="module")
def padded() -> tuple[nn.Module, Model]:
    net = nets.made(nets.Residual)
    return net, fullconv.load(net, input_shape=nets.SIZE)


@pytest.fixture(scope="module")
def plain() -> tuple[nn.Module, Model]:
    net = nets.made(nets.Plain)
    return net, fullconv.load(net, input_shape=nets.SIZE)


def gap(found: np.ndarray, want: np.ndarray) -> float:
    assert found.shape == want.shape
    return float(np.abs(found - want).max() / np.abs(want).max())


@pytest.mark.parametrize("layer", ["stem", "stem.0", "layer1", "layer1.0", "layer1.0.bn", "layer1.1.conv1", "layer2"])
def test_of_a_padded_network_its_value_on_the_whole_image(padded: tuple[nn.Module, Model], layer: str) -> None:
    net, model = padded
    found = fullconv.map(model, nets.IMAGE, preprocess="unit", output=layer)
    _, rows, cols = found.scores.shape
    want = nets.hooked(net, nets.IMAGE)[layer]
    assert (want.shape[1] - rows, want.shape[2] - cols) in ((0, 0), (1, 1))  # the last may see past the image's end
    assert gap(found.scores, want[:, :rows, :cols]) < NOISE
    assert found.exactness.startswith("not exact: every cell is the layer's value on the whole image")
    assert found.score_kind == "features"
    assert found.labels == tuple(map(str, range(len(want))))


@pytest.mark.parametrize("layer", ["features.0", "features.2", "features.3", "features.4", "features", "classifier.1"])
def test_of_an_unpadded_network_its_value_on_each_crop_and_on_the_whole_image(
    plain: tuple[nn.Module, Model], layer: str
) -> None:
    net, model = plain
    found = fullconv.map(model, nets.IMAGE, preprocess="unit", output=layer)
    assert found.exactness.startswith("exact: every cell is the layer's value on its crop alone")
    if layer != "classifier.1":
        assert found.grid.crop == found.grid.field
        assert gap(found.scores, nets.hooked(net, nets.IMAGE)[layer]) < NOISE  # every cell that it has
    for row, col in ((0, 0), (3, 5), (found.grid.rows - 1, found.grid.cols - 1)):
        x0, y0, x1, y1 = map(int, found.box(row, col))
        assert x1 <= nets.IMAGE.shape[1]
        assert y1 <= nets.IMAGE.shape[0]
        own = nets.hooked(net, nets.IMAGE[y0:y1, x0:x1])[layer]
        assert gap(found.scores[:, row, col], own.reshape(-1)) < NOISE


def test_a_finer_map_of_a_layer_has_its_cells_between(plain: tuple[nn.Module, Model]) -> None:
    model = plain[1]
    coarse, fine, shifted = (
        fullconv.map(model, nets.IMAGE, preprocess="unit", output="features", **how)
        for how in ({}, {"stride": 4}, {"stride": 4, "finer": "shifts"})
    )
    assert gap(fine.scores[:, ::2, ::2][:, : coarse.grid.rows, : coarse.grid.cols], coarse.scores) < NOISE
    assert fine.grid == shifted.grid
    assert gap(fine.scores, shifted.scores) < NOISE


def test_crops_give_a_layer_as_the_map_does_where_nothing_is_padded(plain: tuple[nn.Module, Model]) -> None:
    model = plain[1]
    for layer in ("features.3", "classifier.1"):
        cast = fullconv.map(model, nets.IMAGE, preprocess="unit", output=layer)
        crops = fullconv.map(model, nets.IMAGE, preprocess="unit", output=layer, by="crops", stride=16)
        step = 16 // int(cast.grid.stride[0])
        assert gap(crops.scores, cast.scores[:, ::step, ::step]) < NOISE


@pytest.mark.parametrize("name", ["lenet", "cifar10_quick", "resblock"])
def test_blobs_are_real_caffes(name: str, shared: Path) -> None:
    folder = shared / "golden" / name
    about = json.loads((folder / "manifest.json").read_text())
    model = fullconv.load(folder / about["prototxt"], folder / about["caffemodel"])
    image = np.load(folder / next(iter(about["inputs"].values()))["file"])
    compared = 0
    for blob, told in about["blobs"].items():
        if blob in (*about["inputs"], *about["outputs"]):
            continue
        want = np.load(folder / told["file"])
        layer = model.layer(blob)
        found = layer.run(image)[layer.output()]
        assert gap(found.reshape(want.shape), want) < 1.5e-5, blob
        compared += 1
    assert compared >= 5


def channels_last(tmp_path: Path) -> Path:
    """An ONNX network over (n, h, w, c), as TensorFlow's are, with names as PyTorch's exporter gives them to nodes."""
    rng = np.random.default_rng(0)
    weights = {
        "w1": rng.standard_normal((6, 3, 3, 3)), "w2": rng.standard_normal((8, 6, 3, 3)), "w3": rng.standard_normal((8, 4)),
    }  # fmt: skip
    node = helper.make_node
    nodes = [
        node("Transpose", ["x"], ["x:first"], name="/in/Transpose", perm=[0, 3, 1, 2]),
        node("Conv", ["x:first", "w1"], ["c1"], name="/layer1/layer1.0/conv/Conv", pads=[1, 1, 1, 1], strides=[2, 2]),
        node("Relu", ["c1"], ["r1"], name="/layer1/layer1.0/relu/Relu"),
        node("Conv", ["r1", "w2"], ["c2"], name="/layer1/layer1.1/conv/Conv", pads=[1, 1, 1, 1]),
        node("Transpose", ["c2"], ["last"], name="/out/Transpose", perm=[0, 2, 3, 1]),
        node("Relu", ["last"], ["r2"], name="/out/Relu"),
        node("ReduceMean", ["r2"], ["mean"], name="/pool/Mean", axes=[1, 2], keepdims=0),
        node("MatMul", ["mean", "w3"], ["y"], name="/head/MatMul"),
    ]
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("x", 1, ["n", 32, 32, 3])], [helper.make_tensor_value_info("y", 1, ["n", 4])],
        [numpy_helper.from_array((a / 5).astype(np.float32), n) for n, a in weights.items()],
    )  # fmt: skip
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


@pytest.mark.parametrize(
    ("layer", "value", "last"),
    [("layer1.0", "r1", False), ("layer1", "c2", False), ("/out/Relu", "r2", True), ("c1", "c1", False)],
)
def test_of_an_onnx_file_what_its_engine_says_on_the_whole_image(
    tmp_path: Path, layer: str, value: str, last: bool
) -> None:
    path = channels_last(tmp_path)
    found = fullconv.map(path, nets.IMAGE, preprocess="unit", output=layer)
    proto = onnx.load(path)
    proto.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "h"
    proto.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "w"
    proto.graph.output.append(onnx.ValueInfoProto(name=value))
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    want = session.run([value], {"x": nets.IMAGE[None].astype(np.float32) / 255})[0][0]
    want = np.moveaxis(want, -1, 0) if last else want
    _, rows, cols = found.scores.shape
    assert min(rows, cols) >= 50
    assert gap(found.scores, want[:, :rows, :cols]) < NOISE


def test_behind_a_node_that_cannot_be_cast_there_is_no_map_before_it_there_is() -> None:
    class Attends(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.ReLU())
            self.at = nn.Parameter(torch.randn(1, 256, 8))
            self.fc = nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.body(x).flatten(2).transpose(1, 2) + self.at
            x = torch.softmax(x @ x.transpose(1, 2), -1) @ x
            return self.fc(x.mean(1))

    net = nets.made(Attends)
    model = fullconv.load(net, input_shape=nets.SIZE)
    assert model.plan.refusals
    found = fullconv.map(model, nets.IMAGE, preprocess="unit", output="body")
    assert gap(found.scores, nets.hooked(net.body, nets.IMAGE)[""]) < NOISE
    assert found.exactness.startswith("exact")
    with pytest.raises(fullconv.BadInput, match=r"layer 'add' gives no map of features: .*take 'body.1'"):
        fullconv.map(model, nets.IMAGE, preprocess="unit", output="add")
