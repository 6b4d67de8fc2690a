"""Code as scripts written for Caffe have it, over fullconv.pycaffe."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format

import fullconv.pycaffe as caffe
from fullconv.errors import BadInput
from fullconv.loading import load
from tests import helpers as h
from tests.conftest import worst

# Weights that may change between runs take the engine's plain kernels, constant ones its blocked kernels, which
# add in another order: measured 5e-6 on these nets.
NOISE = 1e-5

CONV = """name: "convolution"
input: "data"
input_dim: 1
input_dim: 1
input_dim: 100
input_dim: 100
layer {
  name: "conv"
  type: "Convolution"
  bottom: "data"
  top: "conv"
  convolution_param {
    num_output: 3
    kernel_size: 5
    stride: 1
    weight_filler { type: "gaussian" std: 0.01 }
    bias_filler { type: "constant" value: 0 }
  }
}
"""


@pytest.fixture
def lenet_files(shared: Path) -> tuple[str, str]:
    folder = shared / "golden" / "lenet"
    return str(folder / "lenet.prototxt"), str(folder / "lenet.caffemodel")


def test_edit_a_filter_and_see_the_blob_change(tmp_path: Path, cat: Path) -> None:
    (tmp_path / "conv.prototxt").write_text(CONV)
    net = caffe.Net(str(tmp_path / "conv.prototxt"), caffe.TEST)
    assert list(net.blobs.keys()) == ["data", "conv"]
    assert list(net.params.keys()) == ["conv"]
    im = np.array(caffe.io.load_image(str(cat), color=False)).squeeze()
    im_input = im[np.newaxis, np.newaxis, :, :]
    net.blobs["data"].reshape(*im_input.shape)
    net.blobs["data"].data[...] = im_input
    net.forward()
    assert net.blobs["conv"].data.shape == (1, 3, 356, 476)
    before = net.blobs["conv"].data[0, 0].mean()
    net.params["conv"][1].data[0] = 1.0
    net.forward()
    assert net.blobs["conv"].data[0, 0].mean() == pytest.approx(before + 1, abs=1e-5)

    ksize = net.params["conv"][0].data.shape[2:]
    sigma = 1.0
    y, x = np.mgrid[-ksize[0] // 2 + 1 : ksize[0] // 2 + 1, -ksize[1] // 2 + 1 : ksize[1] // 2 + 1]
    g = np.exp(-((x**2 + y**2) / (2.0 * sigma**2)))
    gaussian = (g / g.sum()).astype(np.float32)
    net.params["conv"][0].data[0] = gaussian
    sobel = np.zeros((5, 5), np.float32)
    sobel[1:4, 1:4] = np.array((-1, -2, -1, 0, 0, 0, 1, 2, 1), dtype=np.float32).reshape((3, 3))
    net.params["conv"][0].data[1, 0, ...] = sobel
    net.params["conv"][0].data[2, 0, ...] = sobel.T
    net.forward()
    windows = np.lib.stride_tricks.sliding_window_view(im, (5, 5))
    expected = np.stack([(windows * k).sum((2, 3)) for k in (gaussian, sobel, sobel.T)])
    expected[0] += 1
    np.testing.assert_allclose(net.blobs["conv"].data[0], expected, atol=1e-4)


def test_transplant_fully_connected_parameters(lenet_files, tmp_path: Path, cat: Path) -> None:
    net = caffe.Net(*lenet_files, caffe.TEST)
    params = ["ip1", "ip2"]
    fc_params = {pr: (net.params[pr][0].data, net.params[pr][1].data) for pr in params}
    assert fc_params["ip1"][0].shape == (500, 800)

    text = Path(lenet_files[0]).read_text()
    for name, outputs, kernel in (("ip1", 500, 4), ("ip2", 10, 1)):
        i = text.index(f'name: "{name}"')
        j = text.index("inner_product_param", i)
        k = text.index(f"num_output: {outputs}", j)
        text = text[:j] + f"convolution_param {{ kernel_size: {kernel} " + text[k:]
        text = text.replace(f'name: "{name}"', f'name: "{name}-conv"')
    text = text.replace('"InnerProduct"', '"Convolution"')
    (tmp_path / "full_conv.prototxt").write_text(text)
    with pytest.warns(UserWarning, match="ip1-conv, ip2-conv"):
        full = caffe.Net(str(tmp_path / "full_conv.prototxt"), lenet_files[1], caffe.TEST)
    conv_params = {pr: (full.params[pr][0].data, full.params[pr][1].data) for pr in ("ip1-conv", "ip2-conv")}
    for pr in params:
        conv_params[f"{pr}-conv"][0].flat = fc_params[pr][0].flat  # circuitous but necessary, as in the notebook
        conv_params[f"{pr}-conv"][1][...] = fc_params[pr][1]
    full.save(str(tmp_path / "full_conv.caffemodel"))

    im = caffe.io.load_image(str(cat), color=False)
    full.blobs["data"].reshape(1, 1, 360, 480)
    transformer = caffe.io.Transformer({"data": full.blobs["data"].data.shape})
    transformer.set_transpose("data", (2, 0, 1))
    out = full.forward_all(data=np.asarray([transformer.preprocess("data", im)]))
    best = out["prob"][0].argmax(axis=0)
    assert best.shape == (84, 114)

    cast = load(*lenet_files).cast()
    assert worst(cast.run(transformer.preprocess("data", im)[None])["prob"], out["prob"]) < NOISE
    again = caffe.Net(str(tmp_path / "full_conv.prototxt"), str(tmp_path / "full_conv.caffemodel"), caffe.TEST)
    for pr in ("ip1-conv", "ip2-conv"):
        np.testing.assert_array_equal(again.params[pr][0].data, conv_params[pr][0])


def test_names_layers_and_shapes(lenet_files) -> None:
    net = caffe.Net(lenet_files[0], caffe.TEST, weights=lenet_files[1])
    assert (net.inputs, net.outputs) == (["data"], ["prob"])
    assert net.layers[1].type == "Convolution"
    assert net.layers[1].blobs[0] is net.params["conv1"][0]
    assert net.layer_dict["ip2"].type == "InnerProduct"
    assert net.top_names["conv1"] == ["conv1"]
    assert net.bottom_names["relu1"] == ["ip1"]
    blob = net.blobs["conv1"]
    assert (blob.num, blob.channels, blob.height, blob.width) == blob.shape
    assert blob.count == blob.data.size
    assert blob.diff.shape == blob.shape
    assert net._layer_names[0] == "data"


def test_forward_in_parts(shared: Path, lenet_files) -> None:
    golden = shared / "golden" / "lenet"
    net = caffe.Net(*lenet_files, caffe.TEST)
    net.blobs["data"].data[...] = np.load(golden / "input_data.npy")
    found = net.forward(blobs=["conv2"], end="ip1")
    assert set(found) == {"conv2", "ip1"}
    assert worst(net.blobs["pool2"].data, np.load(golden / "pool2.npy")) < 5e-6
    view = net.blobs["prob"].data
    net.forward(start="relu1")
    assert worst(view, np.load(golden / "prob.npy")) < 5e-6  # the array that a script holds is written in place
    net.blobs["pool1"].data[...] = 0
    assert net.forward(start="conv2")["prob"].std(axis=0).max() < 1e-6  # every row sees the same zeros
    with pytest.raises(ValueError, match="no layer is named"):
        net.forward(start="nope")
    with pytest.raises(Exception, match="do not match net inputs"):
        net.forward(image=np.zeros(1))
    with pytest.raises(Exception, match="batch sized"):
        net.forward(data=np.zeros((1, 1, 28, 28)))


def test_forward_all_cuts_and_fills_batches(lenet_files) -> None:
    net = caffe.Net(*lenet_files, caffe.TEST)
    images = np.random.default_rng(0).random((131, 1, 28, 28), np.float32)
    found = net.forward_all(blobs=["ip1"], data=images)
    assert found["prob"].shape == (131, 10)
    assert found["ip1"].shape == (131, 500)
    np.testing.assert_allclose(found["prob"], load(*lenet_files).run(images)["prob"], atol=NOISE)


def test_weights_are_copied_shared_and_saved(lenet_files, tmp_path: Path) -> None:
    net, other = caffe.Net(*lenet_files, caffe.TEST), caffe.Net(lenet_files[0], caffe.TEST)
    other.share_with(net)
    net.params["ip2"][1].data[3] = 7
    assert other.params["ip2"][1].data[3] == 7
    net.save_hdf5(str(tmp_path / "w.h5"))
    third = caffe.Net(lenet_files[0], caffe.TEST)
    third.load_hdf5(str(tmp_path / "w.h5"))
    fourth = caffe.Net(lenet_files[0], caffe.TEST)
    fourth.copy_from(str(tmp_path / "w.h5"))
    for name, blobs in net.params.items():
        for a, b, c in zip(blobs, third.params[name], fourth.params[name], strict=True):
            np.testing.assert_array_equal(a.data, b.data)
            np.testing.assert_array_equal(a.data, c.data)


def test_weights_of_another_net_are_told(lenet_files, tmp_path: Path) -> None:
    other = tmp_path / "other.prototxt"
    other.write_text(Path(lenet_files[0]).read_text().replace("num_output: 500", "num_output: 400"))
    with pytest.raises(BadInput, match="layer 'ip1': blob 0"):
        caffe.Net(str(other), lenet_files[1], caffe.TEST)


def test_a_matrix_for_another_size_is_told(lenet_files) -> None:
    net = caffe.Net(*lenet_files, caffe.TEST)
    net.blobs["data"].reshape(1, 1, 40, 40)
    with pytest.raises(BadInput, match="'ip1'"):
        net.forward()


def test_in_place_and_shared_layers_run(golden) -> None:
    case = golden("inplace_shared")
    net = caffe.Net(str(case.prototxt), str(case.weights), caffe.TEST)
    assert net.params["a"][0] is net.params["b"][0]
    for name, values in case.inputs.items():
        net.blobs[name].data[...] = values
    net.forward()
    for name, expected in case.blobs.items():
        assert worst(net.blobs[name].data, expected) < 5e-6


def test_what_makes_no_sense_says_what_to_use(lenet_files) -> None:
    net = caffe.Net(*lenet_files, caffe.TEST)
    for act in (net.backward, net.forward_backward_all, net.set_input_arrays, caffe.SGDSolver, caffe.get_solver):
        with pytest.raises(NotImplementedError, match=r"training framework|net\.blobs"):
            act()
    with pytest.raises(NotImplementedError, match=r"caffe\.TEST"):
        caffe.Net(lenet_files[0], caffe.TRAIN)
    caffe.set_mode_cpu()
    caffe.set_mode_gpu()
    caffe.set_device(0)
    assert "Convolution" in caffe.layer_type_list()


def test_transformer_goes_there_and_back() -> None:
    image = np.random.default_rng(0).random((30, 40, 3), np.float32)
    t = caffe.io.Transformer({"data": (1, 3, 30, 40)})
    t.set_transpose("data", (2, 0, 1))
    t.set_channel_swap("data", (2, 1, 0))
    t.set_raw_scale("data", 255)
    t.set_mean("data", np.array([104.0, 117.0, 123.0]))
    t.set_input_scale("data", 0.017)
    blob = t.preprocess("data", image)
    expected = (image[:, :, ::-1] * 255 - [104.0, 117.0, 123.0]).transpose(2, 0, 1) * 0.017
    np.testing.assert_allclose(blob, expected, atol=1e-5)
    np.testing.assert_allclose(t.deprocess("data", blob), image, atol=1e-5)
    for act in (
        lambda: t.set_mean("other", 1),
        lambda: t.set_transpose("data", (0, 1)),
        lambda: t.set_channel_swap("data", (0,)),
    ):
        with pytest.raises(Exception, match=r"net inputs|dimensions"):
            act()
    with pytest.raises(ValueError, match="incompatible"):
        t.set_mean("data", np.zeros(4))
    t.set_mean("data", np.zeros((3, 60, 80)))
    assert t.mean["data"].shape == (3, 30, 40)
    assert t.preprocess("data", np.zeros((60, 80, 3))).shape == (3, 30, 40)


def test_resizing() -> None:
    ramp = np.linspace(0, 1, 8, dtype=np.float32)[None, :, None].repeat(8, 0)
    up = caffe.io.resize_image(ramp, (16, 16))
    assert up.shape == (16, 16, 1)
    assert np.all(np.diff(up[0, :, 0]) >= 0)
    np.testing.assert_array_equal(caffe.io.resize_image(ramp, (8, 8)), ramp)
    np.testing.assert_array_equal(caffe.io.resize_image(ramp, (16, 8), 0)[::2], ramp)


def test_blobs_and_datums_as_messages() -> None:
    values = np.random.default_rng(0).random((2, 3, 4, 5)).astype(np.float32)
    blob = caffe.io.array_to_blobproto(values, diff=values * 2)
    np.testing.assert_array_equal(caffe.io.blobproto_to_array(blob), values)
    np.testing.assert_array_equal(caffe.io.blobproto_to_array(blob, return_diff=True), values * 2)
    vector = caffe.io.arraylist_to_blobprotovector_str([values, values[0]])
    back = caffe.io.blobprotovector_str_to_arraylist(vector)
    np.testing.assert_array_equal(back[1], values[0])
    pixels = (values[0] * 255).astype(np.uint8)
    datum = caffe.io.array_to_datum(pixels, label=4)
    assert datum.label == 4
    np.testing.assert_array_equal(caffe.io.datum_to_array(datum), pixels)
    np.testing.assert_allclose(caffe.io.datum_to_array(caffe.io.array_to_datum(values[0])), values[0])
    with pytest.raises(ValueError, match="shape"):
        caffe.io.array_to_datum(values)


def test_messages_through_text_format(lenet_files) -> None:
    net = caffe.proto.caffe_pb2.NetParameter()
    text_format.Merge(Path(lenet_files[0]).read_text(), net)
    net.layer[1].convolution_param.num_output = 9
    assert "num_output: 9" in str(net)


def test_net_spec_writes_a_net_that_runs(tmp_path: Path) -> None:
    L, P = caffe.layers, caffe.params
    n = caffe.NetSpec()
    n.data = L.Input(shape={"dim": [1, 1, 28, 28]})
    n.conv1 = L.Convolution(
        n.data, kernel_size=5, num_output=4, weight_filler={"type": "xavier"}, param=[{"lr_mult": 1}, {"lr_mult": 2}]
    )
    n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.relu1 = L.ReLU(n.pool1, in_place=True)
    n.up = L.Deconvolution(n.relu1, convolution_param={"num_output": 2, "kernel_size": 2, "stride": 2})
    n.a, n.b = L.Slice(n.up, ntop=2)
    n.sum = L.Eltwise(n.a, n.b, operation=P.Eltwise.SUM)
    n.ip = L.InnerProduct(n.sum, num_output=3, name="dense")
    n.prob = L.Softmax(n.ip)
    proto = n.to_proto()
    assert [layer.name for layer in proto.layer] == [
        "data",
        "conv1",
        "pool1",
        "relu1",
        "up",
        "a",
        "sum",
        "dense",
        "prob",
    ]
    assert list(proto.layer[3].top) == ["pool1"]
    assert [p.lr_mult for p in proto.layer[1].param] == [1, 2]
    (tmp_path / "n.prototxt").write_text(str(proto))
    net = caffe.Net(str(tmp_path / "n.prototxt"), caffe.TEST)
    net.blobs["data"].data[...] = 1
    assert net.forward()["prob"].sum() == pytest.approx(1)
    assert np.abs(net.params["conv1"][0].data).max() <= np.sqrt(3 / 25)
    auto = caffe.to_proto(
        L.ReLU(L.Convolution(L.Input(shape={"dim": [1, 2, 3, 3]}), num_output=1, kernel_size=1), in_place=True)
    )
    assert [layer.name for layer in auto.layer] == ["Input1", "Convolution1", "ReLU1"]
    with pytest.raises(AttributeError, match="no field 'kernel'"):
        caffe.to_proto(L.Convolution(kernel=3))
    with pytest.raises(TypeError, match="not a Top"):
        L.ReLU("data")


@pytest.mark.parametrize(
    "filler", ["constant", "uniform", "gaussian", "xavier", "msra", "positive_unitball", "bilinear"]
)
def test_fillers(tmp_path: Path, filler: str) -> None:
    caffe.set_random_seed(0)
    (tmp_path / "n.prototxt").write_text(
        h.data(1, 2, 9, 9) + h.conv("c", "data", 64, 4, f'weight_filler {{ type: "{filler}" value: 2 }}')
    )
    values = caffe.Net(str(tmp_path / "n.prototxt"), caffe.TEST).params["c"][0].data
    measure = {
        "constant": lambda: (values == 2).all(),
        "uniform": lambda: 0 <= values.min() < 0.01 and 0.99 < values.max() <= 1,
        "gaussian": lambda: abs(values.std() - 1) < 0.05,
        "xavier": lambda: 0.9 < values.max() / np.sqrt(3 / 32) <= 1,
        "msra": lambda: abs(values.std() / np.sqrt(2 / 32) - 1) < 0.05,
        "positive_unitball": lambda: np.allclose(values.sum((1, 2, 3)), 1, atol=1e-5),
        "bilinear": lambda: np.allclose(
            values[0, 0, 0], np.outer([0.25, 0.75, 0.75, 0.25], [0.25, 0.75, 0.75, 0.25])[0]
        ),
    }
    assert measure[filler]()


def test_classifier_and_detector(lenet_files, shared: Path, cat: Path) -> None:
    classifier = caffe.Classifier(*lenet_files, image_dims=(32, 32), raw_scale=1.0)
    image = caffe.io.load_image(str(cat), color=False)
    ten, one = classifier.predict([image, image]), classifier.predict([image], oversample=False)
    assert ten.shape == (2, 10)
    np.testing.assert_allclose(ten.sum(1), 1, atol=1e-5)
    middle = caffe.io.resize_image(image, (32, 32))[2:30, 2:30].transpose(2, 0, 1)[None]
    np.testing.assert_allclose(one, load(*lenet_files).run(middle)["prob"], atol=1e-6)

    folder = shared / "golden" / "cifar10_quick"
    detector = caffe.Detector(
        str(folder / "cifar10_quick.prototxt"),
        str(folder / "cifar10_quick.caffemodel"),
        raw_scale=255,
        channel_swap=(2, 1, 0),
        mean=np.array([104.0, 117.0, 123.0]),
        context_pad=4,
    )
    found = detector.detect_windows([(str(cat), [(0, 0, 100, 120), (200, 300, 360, 480)])])
    assert [d["window"].tolist() for d in found] == [[0, 0, 100, 120], [200, 300, 360, 480]]
    assert all(d["prediction"].shape == (10,) for d in found)
    assert detector.detect_windows([(str(cat), [])]) == []
    plain = detector
    plain.configure_crop(None)
    crop = plain.crop(caffe.io.load_image(str(cat)), np.array([0, 0, 100, 120]))
    assert crop.shape == (100, 120, 3)
    with pytest.raises(NotImplementedError, match="detect_windows"):
        detector.detect_selective_search([])


def test_oversampling_takes_corners_middle_and_mirrors() -> None:
    image = np.arange(6 * 8, dtype=np.float32).reshape(6, 8, 1)
    crops = caffe.io.oversample([image], (2, 4))
    assert crops.shape == (10, 2, 4, 1)
    assert [c[0, 0, 0] for c in crops[:5]] == [0, 4, 32, 36, 18]
    np.testing.assert_array_equal(crops[5:], crops[:5, :, ::-1])
    with pytest.raises(ValueError, match="do not fit"):
        caffe.io.oversample([image], (9, 9))


def test_no_warning_where_all_weights_are_there(lenet_files) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        caffe.Net(*lenet_files, caffe.TEST)
