"""Prototxts of other versions of Caffe: fields and layers that Caffe 1.0 has under another name, or has not."""

from __future__ import annotations

from pathlib import Path

import pytest

import fullconv
from fullconv.errors import BadInput
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


def test_a_field_that_no_version_1_has(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(HEAD + POOL.format("ceil_mode: false\n  torch_pooling: true"))
    with pytest.raises(
        BadInput, match=r'net.prototxt:5:\d+: .*no field named "torch_pooling"; Caffe 1.0 has none.*leave it out'
    ):
        fullconv.load(path)
