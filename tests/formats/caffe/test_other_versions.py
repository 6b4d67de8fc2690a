"""Prototxts of other versions of Caffe: fields and layers that Caffe 1.0 has under another name, or has not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import fullconv
from fullconv.errors import BadInput
from fullconv.formats.caffe.proto import caffe_pb2 as pb
from fullconv.formats.caffe.text import parse_prototxt

HEAD = 'name: "ceil_mode: false"  # ceil_mode: false\ninput: "data"\ninput_shape { dim: 1 dim: 4 dim: 14 dim: 14 }\n'
POOL = 'layer {{ name: "pool" type: "Pooling" bottom: "data" top: "pool" pooling_param {{ kernel_size: 3 stride: 2 {} }} }}\n'


@pytest.mark.parametrize(
    ("said", "cells"),
    [("", 7), ("ceil_mode: true", 7), ("ceil_mode: false", 6), ("ceil_mode:0", 6), ("round_mode: FLOOR", 6)],
)
def test_how_pools_round(tmp_path: Path, said: str, cells: int) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(HEAD + POOL.format(said))
    model = fullconv.load(path)
    assert model.graph.values["pool"].map_size == (cells, cells)
    assert parse_prototxt(path.read_text()).name == "ceil_mode: false"


@pytest.mark.parametrize(
    ("kind", "group"),
    [("ConvolutionDepthwise", ""), ("ConvolutionDepthwise", "group: 4"), ("DepthwiseConvolution", "group: 4")],
)
def test_quicker_kernels_of_a_convolution(tmp_path: Path, kind: str, group: str) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(
        HEAD
        + f'layer {{ name: "dw" type: "{kind}" bottom: "data" top: "dw" convolution_param {{ num_output: 4 kernel_size: 3 {group} }} }}\n'
    )
    (layer,) = [each for each in fullconv.load(path).native.message.layer if each.name == "dw"]
    assert (layer.type, layer.convolution_param.group) == ("Convolution", 4)


def test_an_inputs_name_beside_an_input_layer(tmp_path: Path) -> None:
    """Caffe takes a name without a shape off, as files that were upgraded by hand have it."""
    path = tmp_path / "net.prototxt"
    path.write_text(
        'input: "data"\nlayer { name: "input" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 9 dim: 9 } } }\n'
        'layer { name: "relu" type: "ReLU" bottom: "data" top: "relu" }\n'
    )
    assert fullconv.load(path).image_shape == (3, 9, 9)


@pytest.mark.parametrize("said", ['input: "data"', 'layer { name: "data" type: "Input" top: "data" }'])
def test_an_input_without_a_size_asks_for_it(said: str, tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(said + '\nlayer { name: "relu" type: "ReLU" bottom: "data" top: "relu" }\n')
    with pytest.raises(
        BadInput, match=r"\(Input\) does not say how large its images are; give the training size with --input-shape"
    ):
        fullconv.load(path)
    assert fullconv.load(path, input_shape=(3, 9, 8)).image_shape == (3, 9, 8)


def test_pools_that_round_in_no_known_way(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(HEAD + POOL.format("ceil_mode: perhaps"))
    with pytest.raises(BadInput, match=r'net.prototxt:4:\d+: .*RoundMode" has no value named perhaps'):
        fullconv.load(path)


def test_a_field_that_no_version_1_has(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(HEAD + POOL.format("ceil_mode: false\n  torch_pooling: true"))
    with pytest.raises(
        BadInput, match=r'net.prototxt:5:\d+: .*no field named "torch_pooling"; Caffe 1.0 has none.*leave it out'
    ):
        fullconv.load(path)


def test_layers_that_caffe_1_has_in_other_words(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(
        HEAD
        + 'layer { name: "six" type: "ReLU6" bottom: "data" top: "six" }\n'
        + 'layer { name: "mean" type: "Pooling" bottom: "data" top: "mean" pooling_param { pool: AVE global_pooling: true } }\n'
        + 'layer { name: "sum" type: "Axpy" bottom: "mean" bottom: "six" bottom: "data" top: "sum" }\n'
    )
    model = fullconv.load(path, global_pooling="global")
    x = np.random.default_rng(0).normal(0, 5, (2, 4, 14, 14)).astype(np.float32)
    got = model.run(x, outputs=["sum"])["sum"]
    assert np.allclose(got, x.mean(axis=(2, 3), keepdims=True) * x.clip(0, 6) + x, rtol=1e-5, atol=1e-5)
    layers = {layer.name: layer.type for layer in model.native.message.layer}
    assert layers == {
        "input": "Input",
        "six": "Clip",
        "mean": "Pooling",
        "sum_gate": "Flatten",
        "sum_scaled": "Scale",
        "sum": "Eltwise",
    }


def test_a_gate_without_what_it_is_added_to(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(HEAD + 'layer { name: "sum" type: "Axpy" bottom: "data" bottom: "data" top: "sum" }')
    with pytest.raises(BadInput, match=r"layer 'sum' \(Axpy\): takes three bottoms"):
        fullconv.load(path)


def test_groups_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(
        HEAD + 'layer { name: "s" type: "ShuffleChannel" bottom: "data" top: "s" shuffle_channel_param { group: 3 } }'
    )
    with pytest.raises(BadInput, match=r"layer .s. \(ShuffleChannel\): 4 channels are not 3 groups of one size"):
        fullconv.load(path)


SQUEEZE = """input: "data" input_shape { dim: 1 dim: 3 dim: 32 dim: 32 }
layer { name: "c1" type: "Convolution" bottom: "data" top: "c1" convolution_param { num_output: 8 kernel_size: 3 stride: 2 } }
layer { name: "mean" type: "Pooling" bottom: "c1" top: "mean" pooling_param { pool: AVE global_pooling: true } }
layer { name: "up" type: "Convolution" bottom: "mean" top: "up" convolution_param { num_output: 8 kernel_size: 1 } }
layer { name: "gate" type: "Sigmoid" bottom: "up" top: "gate" }
GATED
layer { name: "c2" type: "Convolution" bottom: "gated" top: "c2" convolution_param { num_output: 6 kernel_size: 3 stride: 2 } }
layer { name: "fc" type: "InnerProduct" bottom: "c2" top: "fc" inner_product_param { num_output: 5 } }
"""
GATED = {
    "axpy": 'layer { name: "gated" type: "Axpy" bottom: "gate" bottom: "c1" bottom: "c1" top: "gated" }',
    "flatten": 'layer { name: "f" type: "Flatten" bottom: "gate" top: "f" }\n'
    'layer { name: "gated" type: "Scale" bottom: "c1" bottom: "f" top: "gated" scale_param { axis: 0 } }',
    "reshape": 'layer { name: "f" type: "Reshape" bottom: "gate" top: "f" reshape_param { shape { dim: 0 dim: -1 } } }\n'
    'layer { name: "gated" type: "Scale" bottom: "c1" bottom: "f" top: "gated" scale_param { axis: 0 } }',
}
SHAPES = {"c1": (8, 3, 3, 3), "up": (8, 8, 1, 1), "c2": (6, 8, 3, 3), "fc": (5, 6 * 7 * 7)}


def squeezed(folder: Path, kind: str) -> tuple[Path, Path, dict[str, list[torch.Tensor]]]:
    """Files of a network with a gate, and its weights and biases."""
    rng, net, held = np.random.default_rng(0), pb.NetParameter(), dict[str, list[torch.Tensor]]()
    for name, shape in SHAPES.items():
        layer = net.layer.add(name=name, type="-")
        for each in (shape, shape[:1]):
            array = rng.normal(0, 0.2, each).astype(np.float32)
            held.setdefault(name, []).append(torch.from_numpy(array))
            blob = layer.blobs.add()
            blob.shape.dim.extend(each)
            blob.data.extend(array.ravel().tolist())
    network, weights = folder / "net.prototxt", folder / "net.caffemodel"
    network.write_text(SQUEEZE.replace("GATED", GATED[kind]))
    weights.write_bytes(net.SerializeToString())
    return network, weights, held


@pytest.mark.parametrize("kind", GATED)
def test_gates_are_cast_as_onnx_has_them(tmp_path: Path, kind: str) -> None:
    """A SENet's: each cell by the mean of the 15×15 around it, which no layer of Caffe gives; held against PyTorch by hand."""
    network, weights, held = squeezed(tmp_path, kind)
    model = fullconv.load(network, weights)
    assert model.format.name == "caffe"
    assert "pools around each cell, as a cast does at mean" in " ".join(model.notes)
    full = model.cast()
    x = torch.from_numpy(np.random.default_rng(1).normal(0, 1, (1, 3, 49, 57)).astype(np.float32))
    c1 = F.conv2d(x, *held["c1"], stride=2)
    around = F.pad(F.avg_pool2d(c1, 15, 1), (7, 7, 7, 7), mode="replicate")
    gated = c1 * torch.sigmoid(F.conv2d(around, *held["up"])) + (c1 if kind == "axpy" else 0)
    matrix, bias = held["fc"]
    want = F.conv2d(F.conv2d(gated, *held["c2"], stride=2), matrix.reshape(5, 6, 7, 7), bias)
    assert np.allclose(full.run(x.numpy())[full.output()], want.numpy(), rtol=1e-5, atol=1e-5)
    assert [cause.node for cause in model.plan.inexact] == ["mean"]
    with pytest.raises(BadInput, match=r"would need .*; cast it for others"):  # as Caffe's own network says it
        model.run(x.numpy())
    # Its layers go by their names, in features and in what trains.
    assert model.layer("c1").cast().run(x.numpy()).popitem()[1].shape == tuple(c1.shape)
    assert {
        name: tuple(value.shape) for name, value in model.module.state_dict().items() if name.endswith("weight")
    } == {f"{name}.weight": shape for name, shape in SHAPES.items()}
    with pytest.raises(BadInput, match=r"written as \.onnx"):
        full.save(tmp_path / "cast.prototxt")
    full.save(tmp_path / "cast.onnx")
    again = fullconv.load(tmp_path / "cast.onnx")
    assert np.allclose(again.run(x.numpy())[again.output()], want.numpy(), rtol=1e-5, atol=1e-5)


def test_trained_weights_of_a_gated_network(tmp_path: Path) -> None:
    network, weights, _ = squeezed(tmp_path, "axpy")
    model = fullconv.load(network, weights)
    state = {name: value * 1.5 for name, value in model.module.state_dict().items()}
    other = model.with_weights(state)
    x = np.random.default_rng(1).normal(0, 1, (1, 3, 32, 32)).astype(np.float32)
    want = other.module(torch.from_numpy(x)).detach().numpy()
    assert np.allclose(other.run(x)["fc"], want, rtol=1e-5, atol=1e-5)
    assert not np.allclose(other.run(x)["fc"], model.run(x)["fc"], rtol=1e-2)
    cast = other.cast().module
    assert set(cast.state_dict()) == set(state)
    assert np.allclose(cast(torch.from_numpy(x)).detach().numpy().ravel(), want.ravel(), rtol=1e-5, atol=1e-5)


def test_gates_over_the_whole_input_stay_caffes(tmp_path: Path) -> None:
    network, weights, _ = squeezed(tmp_path, "flatten")
    full = fullconv.load(network, weights, global_pooling="global").cast()
    full.save(tmp_path / "cast.prototxt")
    x = np.random.default_rng(1).normal(0, 1, (1, 3, 49, 57)).astype(np.float32)
    again = fullconv.load(tmp_path / "cast.prototxt", tmp_path / "cast.caffemodel", global_pooling="global")
    assert again.format.name == "caffe"
    assert np.array_equal(again.run(x)[again.output()], full.run(x)[full.output()])
