"""Old layouts, phases, train nets, inputs, shared parameters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fullconv.errors import BadInput
from fullconv.formats.caffe.network import build_network, read_network
from fullconv.formats.caffe.phase import filter_net
from fullconv.formats.caffe.proto import caffe_pb2 as pb
from fullconv.formats.caffe.text import parse_prototxt
from fullconv.formats.caffe.upgrade import upgrade
from fullconv.formats.format import Reading
from fullconv.loading import load
from tests import helpers as h


def test_v1_is_upgraded_as_caffe_does(shared: Path) -> None:
    folder = shared / "golden" / "v1net"
    mine = upgrade(parse_prototxt((folder / "v1net.prototxt").read_text()))
    theirs = upgrade(parse_prototxt((folder / "v1net.upgraded.prototxt").read_text()))
    assert mine == theirs


def test_v0_padding_layers_move_into_what_reads_them(golden) -> None:
    net = upgrade(parse_prototxt(golden("v0net").prototxt.read_text()))
    layers = {layer.name: layer for layer in net.layer}
    assert "pad1" not in layers
    assert list(layers["conv1"].convolution_param.pad) == [2]
    assert list(layers["conv1"].bottom) == ["data"]
    assert [p.lr_mult for p in layers["conv1"].param] == [1, 2]
    assert layers["conv2"].convolution_param.bias_term is False


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('layers { layer { name: "a" type: "wat" } top: "a" }', "unknown V0 layer type 'wat'"),
        (
            'layers { layer { name: "a" type: "relu" kernelsize: 3 } bottom: "data" top: "a" }',
            "'kernelsize' has no meaning",
        ),
        (
            'layers { layer { name: "p" type: "padding" pad: 1 } bottom: "data" top: "p" } layers { layer { name: "r" type: "relu" } bottom: "p" top: "r" }',
            "padding layer 'p'",
        ),
        ('layers { name: "a" type: NONE }', "type NONE"),
        ('layer { name: "b" } layers { name: "a" type: RELU }', "keep one"),
        ('input: "data" input_dim: 1 layer { name: "b" type: "ReLU" bottom: "data" top: "b" }', "need 4 input_dim"),
    ],
)
def test_broken_old_layouts_are_told(text: str, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        build_network(parse_prototxt(text), "old.prototxt")


INPUTS = {
    "input_dim": 'input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 9 ',
    "input_shape": 'input: "data" input_shape { dim: 1 dim: 3 dim: 8 dim: 9 } ',
    "layer": h.data(1, 3, 8, 9),
    "one shape for two": 'input: "data" input: "extra" input_shape { dim: 1 dim: 3 dim: 8 dim: 9 } ',
    "input layer of two": 'layer { name: "in" type: "Input" top: "data" top: "extra" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 9 } } }',
    "memory data": 'layer { name: "m" type: "MemoryData" top: "data" top: "label" memory_data_param { batch_size: 4 channels: 3 height: 8 width: 9 } }',
}


@pytest.mark.parametrize("way", INPUTS)
def test_every_way_of_declaring_inputs(way: str) -> None:
    net = build_network(parse_prototxt(INPUTS[way] + h.layer("r", "ReLU", "data")), "in.prototxt")
    assert net.placement.axes["data"].shape == (1, 3, 8, 9)
    assert net.placement.graph().image == "data"


RULES = (
    h.data(1, 1, 4, 4)
    + h.layer("train", "ReLU", "data", "train", "include { phase: TRAIN }")
    + h.layer("test", "ReLU", "data", "test", "include { phase: TEST }")
    + h.layer("not_test", "ReLU", "data", "not_test", "exclude { phase: TEST }")
    + h.layer("high", "ReLU", "data", "high", "include { min_level: 2 }")
    + h.layer("low", "ReLU", "data", "low", "include { max_level: 1 }")
    + h.layer("staged", "ReLU", "data", "staged", 'include { stage: "a" stage: "b" }')
    + h.layer("unstaged", "ReLU", "data", "unstaged", 'include { not_stage: "a" }')
    + h.layer("either", "ReLU", "data", "either", 'include { phase: TRAIN } include { stage: "a" }')
)


@pytest.mark.parametrize(
    ("state", "names"),
    [
        ((pb.TEST, 0, ()), {"test", "low", "unstaged"}),
        ((pb.TRAIN, 0, ()), {"train", "not_test", "low", "unstaged", "either"}),
        ((pb.TEST, 2, ("a",)), {"test", "high", "either"}),
        ((pb.TEST, 0, ("a", "b")), {"test", "low", "staged", "either"}),
    ],
)
def test_phase_level_and_stage_rules(state, names: set[str]) -> None:
    kept = {layer.name for layer in filter_net(parse_prototxt(RULES), *state).layer}
    assert kept - {"data"} == names


def test_contradicting_rules_are_told() -> None:
    text = h.data(1, 1, 4, 4) + h.layer("x", "ReLU", "data", "x", "include { phase: TEST } exclude { phase: TRAIN }")
    with pytest.raises(BadInput, match="'x' has include and exclude"):
        build_network(parse_prototxt(text), "rules.prototxt")


TRAIN_VAL = (
    'layer { name: "d" type: "Data" top: "data" top: "label" include { phase: TRAIN } transform_param { crop_size: 20 mirror: true } }\n'
    'layer { name: "d" type: "Data" top: "data" top: "label" include { phase: TEST } transform_param { crop_size: 20 scale: 0.5 mean_value: 100 } }\n'
    + h.conv("c", "data", 4, 3) + h.fc("ip", "c", 3) + h.layer("acc", "Accuracy", "ip label", "acc")
    + h.layer("quiet", "Silence", "acc", "").replace(' top: "quiet"', "") + h.layer("loss", "SoftmaxWithLoss", "ip label", "loss")
)  # fmt: skip


def test_a_train_net_becomes_one_that_answers() -> None:
    net = build_network(parse_prototxt(TRAIN_VAL), "train_val.prototxt")
    assert net.placement.axes["data"].shape == (1, 3, 20, 20)
    assert net.placement.outputs == ("prob",)
    assert [layer.type for layer in net.message.layer] == ["Input", "Convolution", "InnerProduct", "Softmax"]
    assert len(net.notes) == 4
    preprocess = h.Caffe().preprocess(net)
    assert preprocess is not None
    assert (preprocess.channels, preprocess.scale, preprocess.mean) == ("BGR", 0.5, (50.0,))


def test_channels_come_from_the_weights(tmp_path: Path) -> None:
    _, weights = h.model(h.LENET).save(tmp_path / "n.prototxt")
    text = (
        'layer { name: "d" type: "Data" top: "data" top: "label" transform_param { crop_size: 28 } }\n'
        + h.LENET.split("\n", 1)[1]
    )
    (tmp_path / "train.prototxt").write_text(text)
    assert load(tmp_path / "train.prototxt", weights).image_shape == (1, 28, 28)


def test_a_train_net_of_unknown_size_asks_for_it(shared: Path) -> None:
    folder = shared / "caffe" / "arm_cifar10_m4"
    prototxt, weights = folder / "cifar10_m4_train_test.prototxt", folder / "cifar10_m4_iter_70000.caffemodel.h5"
    with pytest.raises(BadInput, match="--input-shape C,H,W"):
        load(prototxt, weights)
    model = load(prototxt, weights, (3, 32, 32))
    assert model.graph.outputs == ("prob",)
    assert any("mean file" in note for note in model.notes)


@pytest.mark.parametrize(
    ("loss", "kind"),
    [
        ("SigmoidCrossEntropyLoss", "Sigmoid"),
        ("SoftmaxWithLoss", "Softmax"),
        ("EuclideanLoss", None),
        ("HingeLoss", None),
    ],
)
def test_losses_become_their_prediction(loss: str, kind: str | None) -> None:
    net = build_network(parse_prototxt(TRAIN_VAL.replace("SoftmaxWithLoss", loss)), "t.prototxt")
    assert net.placement.outputs == (("prob",) if kind else ("ip",))
    assert net.message.layer[-1].type == (kind or "InnerProduct")


def test_several_losses_keep_their_names() -> None:
    text = TRAIN_VAL + h.fc("ip2", "c", 3) + h.layer("loss2", "SoftmaxWithLoss", "ip2 label", "loss2")
    assert build_network(parse_prototxt(text), "t.prototxt").placement.outputs == ("loss", "loss2")


def test_a_label_mixed_with_the_image_is_told() -> None:
    text = TRAIN_VAL + h.layer("mix", "Eltwise", "ip label")
    with pytest.raises(BadInput, match=r"'mix' \(Eltwise\) mixes the label"):
        build_network(parse_prototxt(text), "t.prototxt")


def test_an_input_shape_replaces_the_files(tmp_path: Path) -> None:
    (tmp_path / "n.prototxt").write_text(h.data(10, 3, 30, 30) + h.conv("c", "data", 4, 3))
    assert load(tmp_path / "n.prototxt", input_shape=(3, 17, 19)).image_shape == (3, 17, 19)
    with pytest.raises(BadInput, match="must be C, H, W"):
        load(tmp_path / "n.prototxt", input_shape=(3, 17))


def test_in_place_layers_are_versions_of_a_blob() -> None:
    graph = h.graph(h.LENET)
    assert "ip1@1" in graph.values
    assert graph.producer("ip1").name == "relu1"
    assert graph.producer("ip1@1").name == "ip1"


def test_shared_parameters_are_one_array(golden) -> None:
    case = golden("inplace_shared")
    net = read_network(case.prototxt, Reading(case.weights))
    assert net.weights is not None
    for mine, theirs in zip(net.weights["a"], net.weights["b"], strict=True):
        assert np.shares_memory(mine, theirs)


def test_a_net_without_input_or_layers_is_told() -> None:
    with pytest.raises(BadInput, match="holds no layers"):
        parse_prototxt('name: "x"')
    with pytest.raises(BadInput, match="no input"):
        build_network(
            parse_prototxt(h.layer("p", "Parameter", "", "p", "parameter_param { shape { dim: 2 } }")), "x.prototxt"
        )


def test_a_stage_can_be_named(tmp_path: Path) -> None:
    text = (
        h.data(1, 1, 4, 4)
        + h.layer("d", "ReLU", "data", "d", 'include { stage: "deploy" }')
        + h.layer("v", "TanH", "data", "v", 'exclude { stage: "deploy" }')
    )
    (tmp_path / "n.prototxt").write_text(text)
    assert load(tmp_path / "n.prototxt").graph.outputs == ("v",)
    assert load(tmp_path / "n.prototxt", stages=("deploy",)).graph.outputs == ("d",)
