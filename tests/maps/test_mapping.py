"""Map against crops: the one promise that everything else serves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

import fullconv
from fullconv.errors import BadInput, CannotCast
from fullconv.maps.mapping import map_image
from tests import helpers as h


def test_every_cell_of_a_trained_unpadded_net_equals_its_crop(lenet, cat: Path) -> None:
    by_map = map_image(lenet, cat, preprocess="unit")
    by_crops = map_image(lenet, cat, preprocess="unit", by="crops")
    assert by_map.scores.shape == (10, 84, 114)
    assert by_map.grid == by_crops.grid
    assert np.abs(by_map.scores - by_crops.scores).max() <= 1e-5
    assert (by_map.top1 == by_crops.top1).mean() > 0.999


def test_a_padded_net_differs_from_crops_and_says_why(quick, cat: Path) -> None:
    by_map = map_image(quick, cat, preprocess="caffe")
    by_crops = map_image(quick, cat, preprocess="caffe", by="crops")
    assert np.abs(by_map.scores - by_crops.scores).max() > 0.01
    assert by_map.exactness.endswith("through padding in conv1, conv2, conv3 and ceil overhang in pool1, pool2, pool3")
    assert by_map.grid == by_crops.grid


def test_the_map_of_one_crop_is_the_crops_answer(quick) -> None:
    """Whatever the padding: at training size cast and classifier are the same net."""
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    one = map_image(quick, image)
    assert one.scores.shape == (10, 1, 1)
    np.testing.assert_allclose(one.scores, map_image(quick, image, by="crops").scores, atol=1e-6)


@st.composite
def unpadded(draw: st.DrawFn) -> tuple[str, int, int]:
    """A random unpadded net with branches, and an image size."""
    stride = st.sampled_from([1, 1, 2])
    text, bottom = h.data(1, 2, 32, 34), "data"  # three windows of five cells fit
    for i in range(draw(st.integers(1, 3))):
        kernel = draw(st.integers(1, 3))
        if draw(st.booleans()):
            text += h.conv(f"l{i}", bottom, 3, kernel, f"stride: {draw(stride)} dilation: {draw(st.integers(1, 2))}")
            text += h.layer(f"r{i}", "ReLU", f"l{i}", f"l{i}")
        else:
            kind = draw(st.sampled_from(["MAX", "AVE"]))
            text += h.pool(f"l{i}", bottom, kernel, draw(st.integers(1, 2)), f"pool: {kind} round_mode: FLOOR")
        bottom = f"l{i}"
    if draw(st.booleans()):
        text += h.conv("a", bottom, 2, 1) + h.layer("b", "TanH", bottom, "b") + h.layer("cat", "Concat", "a b")
        bottom = "cat"
    if draw(st.booleans()):
        text += h.layer("gap", "Pooling", bottom, "gap", "pooling_param { pool: AVE global_pooling: true }")
        bottom = "gap"
    text += h.fc("ip", bottom, 4) + h.layer("p", "Softmax", "ip")
    return text, draw(st.integers(32, 45)), draw(st.integers(34, 45))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(unpadded())
@pytest.mark.long
def test_random_unpadded_nets_equal_their_crops(case: tuple[str, int, int]) -> None:
    text, height, width = case
    try:
        model = h.model(text)
    except h.BadInput:  # a window that is larger than what it reads
        reject()
    if model.plan.inexact:  # a floor pool leaves no overhang, so nothing may be inexact
        raise AssertionError(model.plan.exactness)
    image = np.random.default_rng(0).standard_normal((height, width, 2)).astype(np.float32)
    by_map, by_crops = map_image(model, image), map_image(model, image, by="crops", batch=7)
    assert by_map.scores.shape[1] >= 1
    np.testing.assert_allclose(by_map.scores, by_crops.scores, atol=1e-5)


def test_the_engines_agree(lenet, cat: Path) -> None:
    a = map_image(lenet, cat, preprocess="unit", runtime="onnxruntime").scores
    b = map_image(lenet, cat, preprocess="unit", runtime="openvino").scores
    assert np.abs(a - b).max() <= 1e-5


def test_bf16_is_refused_where_it_is_not_to_be_had(lenet, cat: Path) -> None:
    from fullconv.runtimes.openvino import has_bf16

    with pytest.raises(BadInput, match="bf16 needs --runtime torch or openvino"):
        map_image(lenet, cat, runtime="onnxruntime", precision="bf16")
    if has_bf16():
        exact = map_image(lenet, cat, preprocess="unit").scores
        rough = map_image(lenet, cat, preprocess="unit", precision="bf16").scores
        assert np.abs(exact - rough).max() < 0.2
    else:
        with pytest.raises(BadInput, match="no bf16 instructions"):
            map_image(lenet, cat, runtime="openvino", precision="bf16")


@pytest.mark.long
def test_bf16_says_what_it_costs(lenet, cat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On processors without bf16 the engine computes in fp32 all the same: the cost told is noise."""
    monkeypatch.setattr("fullconv.runtimes.openvino.has_bf16", lambda core=None: True)
    notes: list[str] = []
    map_image(lenet, cat, preprocess="unit", precision="bf16", notes=notes.append)
    (told,) = [note for note in notes if note.startswith("bf16 moves the first crop's scores by up to ")]
    assert float(told.rsplit(" ", 1)[1]) < 0.1


def test_a_net_that_cannot_be_cast_still_maps_by_crops() -> None:
    text = (
        h.data(1, 2, 16, 12)
        + h.conv("c", "data", 3, 3, "stride: 2")
        + h.layer("s", "SPP", "c", "s", "spp_param { pyramid_height: 2 }")
        + h.fc("ip", "s", 4)
    )
    model = h.model(text)
    image = np.random.default_rng(0).integers(0, 256, (30, 20, 2), np.uint8)
    with pytest.raises(CannotCast, match="s: spatial pyramid"):
        map_image(model, image)
    found = map_image(model, image, by="crops")
    assert found.scores.shape == (4, 8, 5)
    assert found.box(1, 1) == (2, 2, 14, 18)
    assert map_image(model, image, by="crops", stride=5).scores.shape == (4, 3, 2)


def test_a_fully_convolutional_net_is_mapped_as_it_is(tmp_path: Path, lenet, cat: Path) -> None:
    paths = lenet.cast().resized(60, 92).save(tmp_path / "full.prototxt")
    full = fullconv.load(*paths)
    assert full.is_fully_convolutional
    a, b = map_image(full, cat, preprocess="unit"), map_image(lenet, cat, preprocess="unit")
    np.testing.assert_array_equal(a.scores, b.scores)
    assert a.grid == b.grid
    crops = map_image(full, cat, preprocess="unit", by="crops", stride=40)
    np.testing.assert_allclose(crops.scores[:, 1, 1], b.scores[:, 10, 10], atol=1e-5)


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_every_cell_of_a_finer_stride_equals_its_crop(lenet, stride: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (43, 38), np.uint8)
    seen: list[tuple[int, int]] = []
    fine = map_image(
        lenet, image, preprocess="unit", stride=stride, finer="shifts", progress=lambda *told: seen.append(told)
    )
    crops = map_image(lenet, image, preprocess="unit", stride=stride, by="crops", batch=64)
    assert fine.scores.shape == (10, 15 // stride + 1, 10 // stride + 1)
    assert fine.grid == crops.grid
    assert np.abs(fine.scores - crops.scores).max() <= 1e-5
    own = map_image(lenet, image, preprocess="unit").scores
    np.testing.assert_allclose(fine.scores[:, :: 4 // stride, :: 4 // stride], own, atol=1e-6)
    assert not seen or seen[-1] == ((4 // stride) ** 2,) * 2


def test_a_finer_stride_of_a_padded_net_is_the_net_on_the_shifted_image(quick) -> None:
    image = np.random.default_rng(0).integers(0, 256, (50, 45, 3), np.uint8)
    fine = map_image(quick, image, stride=4, finer="shifts").scores
    np.testing.assert_allclose(fine[:, 1::2, 1::2], map_image(quick, image[4:, 4:]).scores, atol=1e-6)


def test_cells_past_the_image_are_cut() -> None:
    """A ceil pool answers for windows that reach past the image; no crop is there."""
    model = h.model(h.data(1, 1, 6, 6) + h.pool("p", "data", 2, 2) + h.fc("ip", "p", 2))
    image = np.zeros((9, 11), np.uint8)
    assert model.cast().run(np.zeros((1, 1, 9, 11), np.float32))["ip"].shape == (1, 2, 3, 4)
    assert map_image(model, image).scores.shape == (2, 2, 3)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"image": np.zeros((27, 40), np.uint8)}, "least size is 28×28"),
        ({"image": np.zeros((40, 40, 4), np.uint8)}, "4 bands and the network takes 1"),
        ({"labels": ["a", "b"]}, "2 labels, the network has 10 classes"),
        ({"output": "nope"}, "no output is named 'nope'"),
        ({"stride": 3}, "it can step by 1, 2, 4"),
        ({"stride": 0}, "must be at least 1"),
        ({"by": "magic"}, "not cast or crops"),
        ({"runtime": "abacus"}, "not one of auto"),
        ({"preprocess": "wat"}, "no such file"),
        ({"preprocess": fullconv.Preprocess(mean=(1.0, 2.0, 3.0))}, r"3 values, the network takes 1 channel"),
        ({"image": 3}, "not int"),
    ],
)
def test_bad_arguments_are_told(lenet, change: dict, told: str) -> None:
    arguments = {"image": np.zeros((40, 40), np.uint8), **change}
    with pytest.raises(BadInput, match=told):
        map_image(lenet, **arguments)


def test_run_takes_any_batch_and_names_what_does_not_fit(lenet) -> None:
    full = lenet.cast()
    assert full.run(np.zeros((5, 1, 32, 28), np.float32))["prob"].shape == (5, 10, 2, 1)
    with pytest.raises(BadInput, match="the network takes"):
        full.run(np.zeros((1, 3, 32, 28), np.float32))
    with pytest.raises(BadInput, match="unknown"):
        full.run({"image": np.zeros((1, 1, 32, 28), np.float32)})
    with pytest.raises(BadInput, match="does not fit"):
        full.run(np.zeros((1, 1, 3, 3), np.float32))
    with pytest.raises(BadInput, match="takes its training size only; cast it"):
        lenet.run(np.zeros((1, 1, 40, 40), np.float32))


def test_progress_and_notes_are_told(lenet) -> None:
    seen, notes = [], []
    image = np.zeros((40, 40, 3), np.uint8)
    map_image(
        lenet, image, by="crops", batch=5, progress=lambda done, total: seen.append((done, total)), notes=notes.append
    )
    assert seen == [(5, 16), (10, 16), (15, 16), (16, 16)]
    assert "luminance" in notes[0]


@pytest.mark.parametrize("by", ["cast", "crops"])
def test_nan_is_told_with_the_layer_where_it_starts(by: str) -> None:
    model = h.model(h.LENET)
    weights = model.native.weights if hasattr(model.native, "weights") else None
    assert weights is not None
    name = next(key for key in weights if key == "conv2")
    weights[name][0][0, 0, 0, 0] = np.nan
    image = np.random.default_rng(0).integers(0, 256, (40, 36), np.uint8)
    with pytest.raises(BadInput, match=r"cells are NaN \(not a number\), from layer conv2 on; check its weights"):
        map_image(model, image, preprocess="unit", by=by)


def test_effective_padding(quick, lenet) -> None:
    assert lenet.sampling().field.padding == (0, 0)
    assert quick.sampling().field.padding == tuple(-side for side in quick.sampling().field.offset)


def test_an_output_of_any_order_of_axes_is_classes_rows_columns(tmp_path: Path) -> None:
    """A network may end in (n, w, h, c) or (n, c, w, h); rows stay rows."""
    from tests.formats.onnx.nets import TRUNK, TRUNK_WEIGHTS, weights, write

    head = "f = Conv <kernel_shape=[7,7]> (p, w, b)\n"
    numbers = weights(**TRUNK_WEIGHTS, w=(5, 4, 7, 7), b=(5,))
    image = np.random.default_rng(0).integers(0, 256, (18, 24, 3), np.uint8)
    plain = fullconv.load(write(tmp_path / "a.onnx", TRUNK + head + "y = Relu(f)", numbers, outputs="float[1,5,1,1] y"))
    want = fullconv.map(plain, image, preprocess="unit").scores
    assert want.shape == (5, 2, 5)
    for order, shape in (([0, 3, 2, 1], "1,1,1,5"), ([0, 1, 3, 2], "1,5,1,1"), ([0, 2, 3, 1], "1,1,1,5")):
        body = TRUNK + head + f"e = Relu(f)\ny = Transpose <perm={order}> (e)"
        turned = fullconv.load(write(tmp_path / "b.onnx", body, numbers, outputs=f"float[{shape}] y"))
        assert np.allclose(fullconv.map(turned, image, preprocess="unit").scores, want, atol=1e-6)
