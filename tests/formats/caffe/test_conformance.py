"""Each layer of Caffe inside a classifier: read, cast, at training size, larger against crops, finer, written and read again.

The oracle are formulas in NumPy. What is told of a layer (exact, or why not, or why refused) is stated beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from fullconv.loading import load
from tests.formats.caffe.random_nets import RandomNet, net_of
from tests.formats.caffe.test_random_nets import check_cells, close, image, loaded

Parts = list[tuple[str, dict[str, Any]]]
SHAPE = (1, 2, 9, 8)
STEM: Parts = [("Convolution", {"num_output": 6, "kernel_size": 3, "stride": 2})]  # 6 × 4 × 3
GLOBAL: Parts = [("Pooling", {"global_pooling": True, "pool": "AVE"})]
HEAD: Parts = [("InnerProduct", {"num_output": 4}), ("Softmax", {})]

EXACT: dict[str, Parts] = {
    "AbsVal": [("AbsVal", {})], "BNLL": [("BNLL", {})], "Clip": [("Clip", {"min": -0.5, "max": 0.25})],
    "Dropout": [("Dropout", {})], "ELU": [("ELU", {"alpha": 0.5})], "Exp": [("Exp", {"base": 2.0, "scale": 0.5})],
    "Log": [("Log", {"base": 10.0, "scale": 0.1, "shift": 9.0})], "Power": [("Power", {"power": 2.0, "shift": 1.0})],
    "Power of nothing": [("Power", {"scale": 0.0, "shift": 2.0, "power": 3.0})],
    "PReLU": [("PReLU", {})], "PReLU shared": [("PReLU", {"channel_shared": True})], "ReLU": [("ReLU", {"negative_slope": 0.1})],
    "Sigmoid": [("Sigmoid", {})], "Swish": [("Swish", {"beta": 0.5})], "TanH": [("TanH", {})], "Threshold": [("Threshold", {})],
    "BatchNorm": [("BatchNorm", {})], "Scale": [("Scale", {"bias_term": True})], "Scale by one": [("Scale", {"num_axes": 0})],
    "Scale from the end": [("Scale", {"axis": -3})], "Bias": [("Bias", {})], "Bias by one": [("Bias", {"num_axes": 0})],
    "LRN": [("LRN", {})], "LRN of no alpha": [("LRN", {"alpha": 0.0})], "LRN below": [("LRN", {"alpha": -0.01, "beta": 0.5})],
    "Softmax": [("Softmax", {})], "Softmax from the end": [("Softmax", {"axis": -3})], "ArgMax": [("ArgMax", {"axis": 1})],
    "ShuffleChannel": [("ShuffleChannel", {"group": 3})], "global, ShuffleChannel": [*GLOBAL, ("ShuffleChannel", {"group": 2})],
    "Tile": [("Tile", {"tiles": 2})], "Slice": [("Slice", {})], "Concat": [("Concat", {"axis": -3})],
    "Convolution": [("Convolution", {"num_output": 6, "kernel_h": 2, "kernel_w": 1, "group": 3, "dilation": 2})],
    "Pooling": [("Pooling", {"kernel_size": 2, "stride": 1})], "Pooling AVE": [("Pooling", {"kernel_size": 2, "pool": "AVE"})],
    "Pooling k1 s2": [("Pooling", {"kernel_size": 1, "stride": 2, "round_mode": "FLOOR"})],
    "Flatten": [("Flatten", {})], "Flatten one axis": [("Flatten", {"end_axis": 1})], "Flatten space": [("Flatten", {"axis": 2})],
    "Reshape": [("Reshape", {"dims": [0, -1]})], "Reshape channels": [("Reshape", {"dims": [0, 3, 2, 4, 3]}), ("Reshape", {"dims": [0, 6, 4, 3]})],
    "Reshape to five axes": [("Reshape", {"dims": [0, 6, 4, 3, 1]}), ("Flatten", {})],
    "Reshape a part": [("Reshape", {"axis": 1, "num_axes": 1, "dims": [2, 3]}), ("Flatten", {"axis": 1, "end_axis": 2})],
    "global": GLOBAL, "global MAX": [("Pooling", {"global_pooling": True})], "global, Softmax": [*GLOBAL, ("Softmax", {})],
    "the whole map": [("Pooling", {"kernel_h": 4, "kernel_w": 3, "stride": 3, "pool": "AVE"})],
    "global, LRN": [*GLOBAL, ("LRN", {"local_size": 3})], "global, Flatten, BatchNorm": [*GLOBAL, ("Flatten", {}), ("BatchNorm", {})],
    "global, Scale over all": [*GLOBAL, ("Flatten", {}), ("Scale", {"num_axes": -1})],
    "global, Reshape": [*GLOBAL, ("Reshape", {"dims": [0, -1]})], "global, Reshape 1×1": [*GLOBAL, ("Reshape", {"dims": [0, -1, 1, 1]})],
    "global, 1×1": [*GLOBAL, ("Convolution", {"num_output": 5, "kernel_size": 1})],
    "InnerProduct": [("InnerProduct", {"num_output": 5}), ("Softmax", {"axis": -1}), ("Tile", {"axis": -1, "tiles": 2})],
    "InnerProduct transposed": [("InnerProduct", {"num_output": 5, "transpose": True, "bias_term": False})],
    "InnerProduct, Reshape": [("InnerProduct", {"num_output": 6}), ("Reshape", {"dims": [0, 2, 3]}), ("Softmax", {"axis": 2}), ("Flatten", {})],
    "InnerProduct, Scale": [("InnerProduct", {"num_output": 5}), ("Scale", {"axis": -1}), ("PReLU", {}), ("Bias", {"num_axes": -1})],
}  # fmt: skip

INEXACT: dict[str, tuple[str, Parts]] = {
    "padding": ("padding in", [("Convolution", {"num_output": 3, "kernel_size": 3, "pad": 1})]),
    "a pad beyond the kernel": (
        "padding in",
        [("Convolution", {"num_output": 3, "kernel_size": 1, "pad": 2, "stride": 2})],
    ),
    "LRN within": ("padding in", [("LRN", {"norm_region": "WITHIN_CHANNEL", "local_size": 3})]),
    "ceil": ("ceil overhang in", [("Pooling", {"kernel_size": 2, "stride": 2})]),
    "a pad of one side": (
        "padding in",
        [("Pooling", {"kernel_h": 2, "kernel_w": 1, "stride": 2, "pad_h": 1, "pad_w": 0})],
    ),
    "MVN": ("statistics in", [("MVN", {"eps": 0.1})]),
    "MVN across": ("statistics in", [("MVN", {"across_channels": True})]),
    "BatchNorm of the batch": ("statistics in", [("BatchNorm", {"use_global_stats": False})]),
    "Deconvolution": ("resampling in", [("Deconvolution", {"num_output": 3, "kernel_size": 2, "stride": 2})]),
}

REFUSED: dict[str, tuple[str, Parts]] = {
    "ShuffleChannel of a flattened map": ("along height or width", [("Flatten", {}), ("ShuffleChannel", {"group": 2})]),
    "Softmax along a side": ("along height or width", [("Softmax", {"axis": 2})]),
    "Softmax along a side of one cell": ("along height or width", [*GLOBAL, ("Softmax", {"axis": -1})]),
    "Softmax along the batch": ("images of a batch", [("Softmax", {"axis": 0})]),
    "ArgMax over a map": ("positions of the map", [("ArgMax", {})]),
    "ArgMax along a side of one cell": ("along height or width", [*GLOBAL, ("ArgMax", {"axis": 3})]),
    "Slice along a side of one cell": ("along height or width", [*GLOBAL, ("Slice", {"axis": 2})]),
    "Concat along a side of one cell": ("along height or width", [*GLOBAL, ("Concat", {"axis": 2})]),
    "Tile along a side of one cell": ("along height or width", [*GLOBAL, ("Tile", {"axis": 2, "tiles": 2})]),
    "Scale of every position": ("each position", [("Scale", {"num_axes": 3})]),
    "Scale of every position of one cell": ("each position", [*GLOBAL, ("Scale", {"num_axes": -1})]),
    "Bias of every position of one cell": ("each position", [*GLOBAL, ("Bias", {"axis": 1, "num_axes": 2})]),
    "PReLU of a flattened map": ("each position", [("Flatten", {}), ("PReLU", {})]),
    "Reduction of one cell": ("channels and positions", [*GLOBAL, ("Reduction", {"axis": 1}), ("Reshape", {"dims": [0, 1]})]),
    "SPP": ("pyramid", [("SPP", {"pyramid_height": 2})]),
    "InnerProduct along the width": ("only axis 1", [("InnerProduct", {"num_output": 3, "axis": 3})]),
    "a convolution of one row": ("behind axis 2", [("Convolution", {"num_output": 3, "axis": 2, "kernel_size": 1})]),
    "rows as channels": ("other axes", [("Reshape", {"dims": [0, 12, 2, 3]}), ("Pooling", {"kernel_size": 2})]),
    "a map in one cell": ("one cell of a whole map", [("Reshape", {"dims": [0, -1, 1, 1]})]),
}  # fmt: skip


def classifier(body: Parts) -> RandomNet:
    return net_of(SHAPE, *STEM, *body, *HEAD)


def check_all(net: RandomNet, folder: Path) -> None:
    model = loaded(net, folder)
    full, out = model.cast(), model.output()
    x = image(net, *net.shape[2:])
    expected = net.forward(x)["y" + str(len(net.parts) - 1)]
    assert close(model.run({"data": x})[out], expected)
    assert close(full.run({"data": x})[full.output()].reshape(expected.shape), expected)
    check_cells(net, model)
    size = full.fitting((16, 19), full.output())
    large = image(net, *size)
    map_ = full.run({"data": large})[full.output()]
    prototxt, weights = full.save(folder / "full.prototxt")
    again = load(prototxt, weights)
    assert again.graph.difference(full.graph) is None
    np.testing.assert_array_equal(again.run({"data": large})[full.output()], map_)
    full.save(folder / "full.onnx")
    session = onnxruntime.InferenceSession(str(folder / "full.onnx"), providers=["CPUExecutionProvider"])
    assert close(session.run([full.output()], {"data": large})[0], map_)


@pytest.mark.parametrize("name", EXACT)
def test_exact_layers(name: str, tmp_path: Path) -> None:
    net = classifier(EXACT[name])
    model = loaded(net, tmp_path)
    assert model.plan.refusals == ()
    assert model.plan.inexact == ()
    check_all(net, tmp_path)
    fine = model.refined(1)
    large = image(net, 12, 11)
    cells = fine.run({"data": large})[fine.output()]
    for row, col in ((0, 0), (1, 2), (3, 3)):
        expected = net.forward(large[:, :, row : row + 9, col : col + 8])["y" + str(len(net.parts) - 1)]
        assert close(cells[0, :, row, col], expected.ravel())


@pytest.mark.parametrize("name", INEXACT)
def test_layers_that_see_the_border(name: str, tmp_path: Path) -> None:
    why, body = INEXACT[name]
    net = classifier(body)
    assert why in loaded(net, tmp_path).plan.exactness
    check_all(net, tmp_path)


@pytest.mark.parametrize("name", REFUSED)
def test_layers_that_no_window_gives(name: str, tmp_path: Path) -> None:
    why, body = REFUSED[name]
    net = classifier(body)
    model = loaded(net, tmp_path)
    assert any(why in refusal.reason for refusal in model.plan.refusals), model.plan.refusals
    x = image(net, *net.shape[2:])
    assert close(model.run({"data": x})[model.output()], net.forward(x)["y" + str(len(net.parts) - 1)])


def test_an_argmax_without_axis_behind_a_global_pool_runs_over_channels(tmp_path: Path) -> None:
    net = net_of(SHAPE, *STEM, *GLOBAL, ("ArgMax", {"top_k": 2}))
    assert loaded(net, tmp_path).plan.inexact == ()
    check_all(net, tmp_path)
