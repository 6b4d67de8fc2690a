"""Every layer against real Caffe, blob by blob."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fullconv.loading import load
from tests import helpers as h
from tests.conftest import GOLDENS, worst

TOLERANCE = 5e-6  # of a blob's largest value; BLAS kernels alone move real Caffe by up to 1.5e-5
LAYERS = sorted(p.stem for p in GOLDENS.glob("*.npz") if not p.stem.startswith("cast_"))


@pytest.mark.parametrize("name", LAYERS)
def test_blobs_equal_caffes(golden, name: str) -> None:
    case = golden(name)
    model = load(case.prototxt, case.weights)
    feeds = {value: case.inputs[value.split("@")[0]] for value in model.graph.inputs}
    found = model.run(feeds, outputs=list(case.blobs))
    for blob, expected in case.blobs.items():
        assert found[blob].shape == expected.shape, blob
        assert worst(found[blob], expected) <= TOLERANCE, blob


@pytest.mark.parametrize("name", ["lenet", "cifar10_quick", "resblock", "v1net"])
def test_whole_nets_equal_caffes(shared: Path, name: str) -> None:
    folder = shared / "golden" / name
    manifest = json.loads((folder / "manifest.json").read_text())
    for weights in folder.glob("*.caffemodel*"):
        for prototxt in folder.glob("*.prototxt"):
            model = load(prototxt, weights)
            feeds = {value: np.load(folder / manifest["inputs"][value]["file"]) for value in model.graph.inputs}
            blobs = {b: i["file"] for b, i in manifest["blobs"].items() if b not in feeds}
            found = model.run(feeds, outputs=list(blobs))
            for blob, file in blobs.items():
                assert worst(found[blob], np.load(folder / file)) <= TOLERANCE, (weights, prototxt, blob)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("name", sorted(p.stem for p in GOLDENS.glob("cast_*.npz")))
def test_cast_maps_equal_caffes_run_of_what_was_written(golden, name: str, runtime: str) -> None:
    case = golden(name)
    full = load(case.prototxt, case.weights).cast()
    for output, expected in case.blobs.items():
        found = full.run(case.inputs["data"], runtime=runtime)[output]
        assert worst(found, expected) <= 2e-5


def run(text: str, image: np.ndarray, output: str) -> np.ndarray:
    return h.model(text).run(image)[output]


def test_clip_and_swish() -> None:
    x = np.linspace(-3, 3, 24, dtype=np.float32).reshape(1, 2, 3, 4)
    text = h.data(1, 2, 3, 4)
    clip = run(text + h.layer("y", "Clip", "data", "y", "clip_param { min: -1 max: 0.5 }"), x, "y")
    np.testing.assert_array_equal(clip, np.clip(x, -1, 0.5))
    swish = run(text + h.layer("y", "Swish", "data", "y", "swish_param { beta: 2 }"), x, "y")
    np.testing.assert_allclose(swish, x / (1 + np.exp(-2 * x)), rtol=1e-5)


def test_an_empty_last_window_is_the_lowest_float_in_max_and_zero_in_average() -> None:
    x = np.ones((1, 1, 5, 5), np.float32)
    for kind, empty in (("MAX", np.finfo(np.float32).min), ("AVE", 0.0)):
        y = run(h.data(1, 1, 5, 5) + h.pool("y", "data", 1, 3, f"pool: {kind}"), x, "y")
        assert y.shape == (1, 1, 3, 3)
        assert (y[0, 0, 2] == empty).all()
        assert (y[0, 0, :2, :2] == 1).all()


def test_one_session_serves_every_size_unless_a_layer_is_bound_to_one() -> None:
    free = h.model(h.LENET).cast()
    bound = h.model(h.data(1, 2, 8, 8) + h.layer("s", "SPP", "data", "s", "spp_param { pyramid_height: 2 }"))
    for size in (28, 40, 57):
        free.run(np.zeros((1, 1, size, size), np.float32))
        bound.run(np.ones((1, 2, size, size), np.float32))
    assert len(free._runner._sessions) == 1
    assert len(bound._runner._sessions) == 3
    for size in (60, 61, 62):
        bound.run(np.ones((1, 2, size, size), np.float32))
    assert len(bound._runner._sessions) == 3  # the oldest went


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ('layer { name: "x" type: "Permute" bottom: "data" top: "x" }', "unknown layer type 'Permute'"),
        ('layer { name: "x" type: "Convolutoin" bottom: "data" top: "x" }', "did you mean Convolution"),
        (h.layer("x", "Convolution", "data", "x", "convolution_param { kernel_size: 3 }"), "no num_output"),
        (h.layer("x", "Convolution", "data", "x", "convolution_param { num_output: 2 }"), "no kernel_size"),
        (h.conv("x", "data", 4, 3, "group: 3"), "no multiple of group 3"),
        (h.conv("x", "data", 4, 30), "does not fit a bottom of 8 × 8"),
        (h.conv("x", "data", 4, 3, "kernel_h: 2 kernel_w: 2"), "both given"),
        (h.conv("x", "nowhere", 4, 3), "reads 'nowhere', which no layer before it writes"),
        (h.pool("x", "data", 2, 2, "pad: 2"), "pad (2, 2) must be smaller"),
        (
            h.layer("x", "Pooling", "data", "x", "pooling_param { global_pooling: true kernel_size: 2 }"),
            "takes no kernel",
        ),
        (h.layer("x", "LRN", "data", "x", "lrn_param { local_size: 4 }"), "must be odd"),
        (h.layer("x", "Eltwise", "data", "x"), "takes 2 to any number of bottoms, found 1"),
        (h.layer("x", "Slice", "data", "a b c"), "does not divide into 3"),
        (h.layer("x", "Reshape", "data", "x", "reshape_param { shape { dim: 7 dim: -1 } }"), "cannot become"),
        (h.layer("x", "Softmax", "data", "x", "softmax_param { axis: 4 }"), "axis 4"),
        (h.layer("x", "ReLU", "data", "data") + h.layer("x", "ReLU", "data", "data"), "2 layers have this name"),
        (h.conv("x", "data", 2, 3) + h.conv("y", "data", 2, 3).replace('top: "y"', 'top: "x"'), "another layer writes"),
        (h.layer("x", "ArgMax", "data", "x", "argmax_param { axis: 1 top_k: 9 }"), "top_k 9 is more than"),
        (h.layer("x", "Power", "data", "x y"), "writes 1 tops, but 2 are named"),
    ],
)
def test_layers_that_do_not_fit_name_file_and_layer(body: str, told: str) -> None:
    with pytest.raises(h.BadInput) as error:
        h.graph(h.data(1, 2, 8, 8) + body)
    message = str(error.value)
    assert told in message
    assert "test.prototxt: layer 'x'" in message or "test.prototxt: layer 'y'" in message


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (h.layer("x", "Python", "data"), "Python code"),
        (h.layer("x", "LSTM", "data"), "recurrent"),
        (h.layer("x", "Pooling", "data", "x", "pooling_param { pool: STOCHASTIC kernel_size: 2 }"), "stochastic"),
        (
            h.layer(
                "x", "DummyData", "", "x", 'dummy_data_param { shape { dim: 1 } data_filler { type: "gaussian" } }'
            ),
            "random",
        ),
        (h.layer("x", "Pooling", "data", "x m", "pooling_param { kernel_size: 2 }"), "mask"),
    ],
)
def test_layers_that_cannot_run_are_refused(body: str, told: str) -> None:
    with pytest.raises(h.CannotRun) as error:
        h.graph(h.data(1, 2, 8, 8) + body)
    assert [r.node for r in error.value.refusals] == ["x"]
    assert told in str(error.value)


@pytest.mark.parametrize("beta", [0.75, 0.6])
def test_lrn_across_channels_by_both_ways_is_its_formula(beta: float) -> None:
    x = np.random.default_rng(0).standard_normal((2, 7, 3, 4)).astype(np.float32) * 30
    y = run(
        h.data(2, 7, 3, 4)
        + h.layer("y", "LRN", "data", "y", f"lrn_param {{ local_size: 5 alpha: 0.01 beta: {beta} k: 2 }}"),
        x,
        "y",
    )
    squares = np.pad(x.astype(np.float64) ** 2, ((0, 0), (2, 2), (0, 0), (0, 0)))
    total = sum(squares[:, i : i + 7] for i in range(5))
    np.testing.assert_allclose(y, x / (2 + 0.01 / 5 * total) ** beta, rtol=2e-6)
