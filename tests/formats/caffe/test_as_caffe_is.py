"""What Caffe accepts is accepted and what its checks refuse is refused; each case was put to BVLC Caffe 1.0."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import fullconv.pycaffe as caffe
from fullconv.errors import BadInput
from fullconv.formats.caffe.network import build_network
from fullconv.formats.caffe.text import parse_prototxt
from fullconv.loading import load
from fullconv.model import Model
from tests import helpers as h
from tests.formats.caffe.random_nets import net_of
from tests.formats.caffe.test_random_nets import close, image, loaded

DATA = h.data(1, 2, 8, 8) + h.layer("d", "Power", "data", "d")


@pytest.mark.parametrize(
    "body",
    [
        h.layer("x", "Pooling", "d", "x", "pooling_param { global_pooling: true pad: 1 }"),
        h.layer("x", "Pooling", "d", "x", "pooling_param { global_pooling: true stride: 2 }"),
        h.pool("x", "d", 2, 2, "pad: 2"),
        h.layer("x", "Pooling", "d", "x", "pooling_param { kernel_size: 2 pad_h: 1 }"),
        h.layer("x", "Pooling", "d", "x", "pooling_param { kernel_size: 2 kernel_h: 2 kernel_w: 2 }"),
        h.layer("x", "Slice", "d", "x", "slice_param { axis: 1 slice_dim: 1 }"),
        h.layer("x", "Eltwise", "d data", "x", "eltwise_param { operation: PROD coeff: 1 coeff: 1 }"),
        h.layer("x", "AbsVal", "d", "d"),
        h.layer("x", "Flatten", "d", "d"),
        h.layer("x", "Reshape", "d", "d", "reshape_param { shape { dim: 0 dim: -1 } }"),
        h.layer("x", "TanH", "d", "x") + h.layer("y", "ReLU", "d", "d"),
        h.layer("x", "Eltwise", "data d", "d"),
        h.layer("x", "Flatten", "d", "x", "flatten_param { axis: 0 }") + h.layer("y", "BatchNorm", "x", "y"),
        h.layer("x", "SPP", "d", "x", "spp_param { pyramid_height: 5 }"),
    ],
)
def test_what_caffe_refuses(body: str) -> None:
    with pytest.raises(BadInput):
        h.graph(DATA + body)


@pytest.mark.parametrize(
    "body",
    [
        h.conv("x", "d", 2, 3),
        h.layer("x", "InnerProduct", "d", "d", "inner_product_param { num_output: 8 axis: 3 }"),
        h.layer("x", "Eltwise", "d data", "d"),
        h.layer("x", "Eltwise", "d data", "d", "eltwise_param { operation: MAX }"),
    ],
)
def test_layers_that_caffe_writes_over_what_they_still_read(body: str) -> None:
    """Caffe runs them and answers with garbage."""
    with pytest.raises(BadInput, match="cannot; give it a top of its own"):
        h.graph(DATA + body.replace('top: "x"', 'top: "d"'))


@pytest.mark.parametrize("body", ["", h.layer("z", "TanH", "d", "z")])
def test_memory_that_another_blob_shares_is_not_written_over(body: str) -> None:
    """Caffe's Flatten is its bottom's memory: a ReLU in place behind it changes what is read of the bottom later."""
    text = DATA + h.layer("x", "Flatten", "d", "x") + h.layer("y", "ReLU", "x", "x") + body
    if body:
        with pytest.raises(BadInput, match="whose memory is that of 'd' too"):
            h.graph(text)
    else:
        assert h.graph(text).outputs == ("x",)


def test_a_maximum_counts_its_coefficients_and_lets_them_be(tmp_path: Path) -> None:
    text = DATA + h.layer("x", "Eltwise", "d data", "x", "eltwise_param { operation: MAX coeff: 3 coeff: -1 }")
    x = np.random.default_rng(0).standard_normal((1, 2, 8, 8)).astype(np.float32)
    np.testing.assert_array_equal(h.model(text).run(x)["x"], x)


@pytest.mark.parametrize(
    ("shape", "fields"),
    [
        ((3, 7, 6), {"num_output": 4, "axis": 0, "kernel_size": 3, "pad": 1, "stride": 2}),
        ((2, 3, 9), {"num_output": 4, "kernel_size": 3}),
        ((2, 3), {"num_output": 4, "kernel_size": 1}),
        ((1, 2, 3, 4, 5), {"num_output": 2, "kernel_size": [2, 3, 1]}),
        ((1, 2, 4, 5), {"num_output": 2, "axis": 2, "kernel_size": 2}),
    ],
)
@pytest.mark.parametrize("kind", ["Convolution", "Deconvolution"])
def test_convolutions_over_any_axes(tmp_path: Path, kind: str, shape: tuple[int, ...], fields: dict) -> None:
    net = net_of(shape, (kind, fields))
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    assert close(loaded(net, tmp_path).run({"data": x})["y0"], net.forward(x)["y0"])


def test_padding_of_one_side_drops_the_last_window_of_both(tmp_path: Path) -> None:
    fields = {"kernel_h": 2, "kernel_w": 1, "stride": 2, "pad_h": 1, "pad_w": 0}
    net = net_of((1, 2, 5, 6), ("Pooling", fields))
    x = image(net, 5, 6)
    found = loaded(net, tmp_path).run({"data": x})["y0"]
    assert found.shape == (1, 2, 3, 3)  # of BVLC Caffe; each side for itself would have four columns
    assert close(found, net.forward(x)["y0"])


SCALARS = (
    DATA + h.layer("p", "PReLU", "d", "p", "prelu_param { channel_shared: true }")
    + h.layer("s", "Scale", "p", "s", "scale_param { num_axes: 0 bias_term: true }") + h.layer("b", "Bias", "s", "b", "bias_param { num_axes: 0 }")
)  # fmt: skip


def test_scalars_are_read_as_caffe_writes_them(tmp_path: Path) -> None:
    """Caffe writes no shape at all for a scalar."""
    net = caffe.proto.caffe_pb2.NetParameter()
    for name, values in {"p": [0.5], "s": [2.0, 1.0], "b": [-3.0]}.items():
        layer = net.layer.add(name=name)
        for value in values:
            layer.blobs.add().data.append(value)
    (tmp_path / "n.prototxt").write_text(SCALARS)
    (tmp_path / "n.caffemodel").write_bytes(net.SerializeToString())
    x = np.full((1, 2, 8, 8), -1, np.float32)
    assert float(load(tmp_path / "n.prototxt", tmp_path / "n.caffemodel").run(x)["b"].max()) == -3.0
    script = caffe.Net(str(tmp_path / "n.prototxt"), str(tmp_path / "n.caffemodel"), caffe.TEST)
    script.blobs["data"].data[...] = x
    assert float(script.forward()["b"].max()) == -3.0


def test_the_files_own_stages_take_part(tmp_path: Path) -> None:
    """Caffe adds the caller's stages to the file's, and sets its level to the caller's."""
    text = (
        'state { stage: "deploy" level: 3 }\n' + DATA + h.layer("a", "ReLU", "d", "a", 'include { stage: "deploy" }')
        + h.layer("b", "TanH", "d", "b", 'include { stage: "deploy" stage: "more" }') + h.layer("c", "Sigmoid", "d", "c", "include { min_level: 1 }")
    )  # fmt: skip
    (tmp_path / "n.prototxt").write_text(text)
    assert load(tmp_path / "n.prototxt").graph.outputs == ("a",)
    assert load(tmp_path / "n.prototxt", stages=("more",)).graph.outputs == ("a", "b")


def test_blobs_with_names_of_versions_are_kept_apart() -> None:
    text = h.data(1, 2, 8, 8) + h.layer("v", "Power", "data", "x@1") + h.layer("a", "TanH", "data", "x")
    text += h.layer("b", "ReLU", "x", "x") + h.layer("c", "Eltwise", "x x@1", "c")
    x = np.random.default_rng(0).standard_normal((1, 2, 8, 8)).astype(np.float32)
    np.testing.assert_allclose(h.model(text).run(x)["c"], np.maximum(np.tanh(x), 0) + x, atol=1e-6)


def test_layers_of_one_name_get_names_of_their_own() -> None:
    net = build_network(
        parse_prototxt(DATA + h.layer("r", "ReLU", "d", "e") + h.layer("r", "TanH", "e", "f")), "n.prototxt"
    )
    assert [layer.name for layer in net.message.layer] == ["data", "d", "r", "r-2"]
    assert any("'r-2'" in note for note in net.notes)


def test_arrays_within_a_text_are_its_weights(tmp_path: Path) -> None:
    text = h.data(1, 1, 4, 4) + h.layer("c", "Convolution", "data", "c", (
        "convolution_param { num_output: 1 kernel_size: 1 bias_term: false } blobs { shape { dim: 1 dim: 1 dim: 1 dim: 1 } data: 3 }"
    ))  # fmt: skip
    (tmp_path / "n.prototxt").write_text(text)
    model = load(tmp_path / "n.prototxt")
    assert float(model.run(np.ones((1, 1, 4, 4), np.float32))["c"].max()) == 3.0
    assert "blobs" not in model.save(tmp_path / "m.prototxt")[0].read_text()


def test_a_shared_parameter_of_another_shape_is_told(tmp_path: Path) -> None:
    spec = 'param { name: "w" } '
    text = DATA + h.conv("a", "d", 2, 3).replace("convolution_param", spec + "convolution_param", 1)
    text += h.conv("b", "d", 3, 3).replace("convolution_param", spec + "convolution_param", 1)
    with pytest.raises(BadInput, match="shares parameter 'w' with layer 'a'"):
        h.network(text)


def test_a_reshape_that_states_the_batch_takes_that_batch_only() -> None:
    stated = h.model(
        DATA + h.layer("x", "Reshape", "d", "x", "reshape_param { shape { dim: 1 dim: -1 } }") + h.fc("f", "x", 3)
    )
    free = h.model(
        DATA + h.layer("x", "Reshape", "d", "x", "reshape_param { shape { dim: 0 dim: -1 } }") + h.fc("f", "x", 3)
    )
    x = np.random.default_rng(0).standard_normal((3, 2, 8, 8)).astype(np.float32)
    assert (stated.format.batch(stated.native), free.format.batch(free.native)) == (1, None)
    np.testing.assert_allclose(stated.run(x)["f"], free.run(x)["f"], atol=1e-5)


def onnx_of(model: Model, path: Path) -> onnxruntime.InferenceSession:
    assert model.save(path) == [path]
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def test_a_network_is_written_as_onnx(tmp_path: Path) -> None:
    """Cast: any height and width. As it is: its own."""
    model = h.model(h.LENET)
    x = np.random.default_rng(0).standard_normal((2, 1, 41, 36)).astype(np.float32)
    full = onnx_of(model.cast(), tmp_path / "full.onnx")
    np.testing.assert_allclose(full.run(["prob"], {"data": x})[0], model.cast().run(x)["prob"], atol=1e-6)
    own = onnx_of(model, tmp_path / "own.onnx")
    assert own.get_inputs()[0].shape[1:] == [1, 28, 28]
    np.testing.assert_allclose(
        own.run(["prob"], {"data": x[:, :, :28, :28]})[0], model.run(x[:, :, :28, :28])["prob"], atol=1e-6
    )


def test_the_middle_of_an_oversampled_image_is_cut_off_not_rounded() -> None:
    picture = np.arange(7 * 9, dtype=np.float32).reshape(7, 9, 1)
    crops = caffe.io.oversample([picture], (4, 4))  # the middle starts at 1.5 and 2.5
    np.testing.assert_array_equal(crops[4], picture[1:5, 2:6])
