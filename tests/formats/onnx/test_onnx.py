"""ONNX networks, cast natively: against ONNX Runtime on the original, at training size and on crops."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from fullconv.errors import BadInput, FullconvError
from fullconv.mapping import map_image
from fullconv.model import Model, load
from tests.conftest import worst

HEAD = '<ir_version: 8, opset_import: ["" : {opset}]>\nnet ({inputs}) => ({outputs}) {{\n{body}\n}}'
RNG = np.random.default_rng(0)


def weights(**shapes: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Random numbers of sane size under these names."""
    made = {}
    for name, shape in shapes.items():
        fan = max(1, int(np.prod(shape[1:]))) if len(shape) > 1 else 4
        made[name] = (RNG.standard_normal(shape) / np.sqrt(fan)).astype(np.float32)
        if name.startswith("var"):
            made[name] = np.abs(made[name]) + 0.5
    return made


def write(
    path: Path,
    body: str,
    numbers: Mapping[str, np.ndarray],
    inputs: str = "float[1,3,16,16] x",
    outputs: str = "float[1,5] y",
    opset: int = 17,
) -> Path:
    model = onnx.parser.parse_model(HEAD.format(opset=opset, inputs=inputs, outputs=outputs, body=body))
    model.graph.initializer.extend(onnx.numpy_helper.from_array(v, k) for k, v in numbers.items())
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


TRUNK = "c = Conv <kernel_shape=[3,3]> (x, w1, b1)\nr = Relu(c)\np = MaxPool <kernel_shape=[2,2], strides=[2,2]> (r)\n"  # 16 -> 14 -> 7
TRUNK_WEIGHTS = {"w1": (4, 3, 3, 3), "b1": (4,)}
INT = np.int64


def ints(**values: list[int]) -> dict[str, np.ndarray]:
    return {name: np.array(v, INT) for name, v in values.items()}


EXACT = {
    "gemm of a flatten": (TRUNK + "f = Flatten(p)\ny = Gemm <transB=1> (f, w, b)", weights(**TRUNK_WEIGHTS, w=(5, 196), b=(5,)), 17),
    "gemm with factors": (TRUNK + "f = Flatten(p)\ny = Gemm <alpha=0.5, beta=2.0> (f, w, b)", weights(**TRUNK_WEIGHTS, w=(196, 5), b=(1, 5)), 17),
    "matmul and add": (
        TRUNK + "f = Reshape(p, s)\nm = MatMul(f, w)\na = Add(m, b)\nh = Tanh(a)\nm2 = MatMul(h, w2)\ny = Add(b2, m2)",
        weights(**TRUNK_WEIGHTS, w=(196, 7), b=(7,), w2=(7, 5), b2=(5,)) | ints(s=[0, -1]), 17,
    ),
    "batch norm between dense layers": (
        TRUNK + "f = Flatten(p)\ng = Gemm(f, w, b)\nn = BatchNormalization(g, s, o, mean, var)\ny = Gemm(n, w2, b2)",
        weights(**TRUNK_WEIGHTS, w=(196, 6), b=(6,), s=(6,), o=(6,), mean=(6,), var=(6,), w2=(6, 5), b2=(5,)), 13,
    ),
    "softmax from the end": (TRUNK + "f = Flatten(p)\ng = Gemm(f, w, b)\ny = Softmax <axis=-1> (g)", weights(**TRUNK_WEIGHTS, w=(196, 5), b=(5,)), 13),
    "softmax of old operator sets": (TRUNK + "f = Flatten(p)\ng = Gemm(f, w, b)\ny = Softmax(g)", weights(**TRUNK_WEIGHTS, w=(196, 5), b=(5,)), 9),
    "layer norm of a vector": (
        TRUNK + "m = GlobalAveragePool(p)\nf = Flatten(m)\nl = LayerNormalization <axis=-1> (f, s, o)\ny = Gemm(l, w, b)",
        weights(**TRUNK_WEIGHTS, s=(4,), o=(4,), w=(4, 5), b=(5,)), 17,
    ),
    "mean over axes": (
        TRUNK + "m = ReduceMean <axes=[2,3], keepdims=0> (p)\ny = Gemm(m, w, b)", weights(**TRUNK_WEIGHTS, w=(4, 5), b=(5,)), 13,
    ),
    "mean and max joined": (
        TRUNK + "m = GlobalAveragePool(p)\nn = GlobalMaxPool(p)\nj = Concat <axis=1> (m, n)\nf = Flatten(j)\ny = Gemm(f, w, b)",
        weights(**TRUNK_WEIGHTS, w=(8, 5), b=(5,)), 13,
    ),
    "flatten of (w h c)": (
        TRUNK + "t = Transpose <perm=[0,3,2,1]> (p)\nf = Flatten(t)\ny = Gemm(f, w, b)", weights(**TRUNK_WEIGHTS, w=(196, 5), b=(5,)), 13,
    ),
    "flatten with a computed shape": (
        TRUNK + "z = Shape(p)\nn = Gather <axis=0> (z, i)\nu = Unsqueeze <axes=[0]> (n)\ns = Concat <axis=0> (u, m1)\nf = Reshape(p, s)\ny = Gemm(f, w, b)",
        weights(**TRUNK_WEIGHTS, w=(196, 5), b=(5,)) | {"i": np.array(0, INT)} | ints(m1=[-1]), 11,
    ),
    "channel shuffle": (
        TRUNK + "a = Reshape(p, s1)\nt = Transpose <perm=[0,2,1,3,4]> (a)\nz = Reshape(t, s2)\nf = Flatten(z)\ny = Gemm(f, w, b)",
        weights(**TRUNK_WEIGHTS, w=(196, 5), b=(5,)) | ints(s1=[1, 2, 2, 7, 7], s2=[1, 4, 7, 7]), 13,
    ),
    "strided slice and padded channels": (
        TRUNK + "k = Slice(p, z2, e2, a2, t2)\nd = Pad(k, pads)\nf = Flatten(d)\ny = Gemm(f, w, b)",
        weights(**TRUNK_WEIGHTS, w=(96, 5), b=(5,)) | ints(z2=[0, 0], e2=[2**31 - 1] * 2, a2=[2, 3], t2=[2, 2], pads=[0, 1, 0, 0, 0, 1, 0, 0]), 13,
    ),
    "a constant a channel": (
        TRUNK + "a = Mul(p, k)\nf = Flatten(a)\ng = Gemm(f, w, b)\nq = PRelu(g, k2)\ny = Div(q, temperature)",
        weights(**TRUNK_WEIGHTS, k=(4, 1, 1), w=(196, 5), b=(5,), k2=(5,)) | {"temperature": np.array(2.5, np.float32)}, 13,
    ),
    "channels last inside": (
        TRUNK + "t = Transpose <perm=[0,2,3,1]> (p)\nl = LayerNormalization <axis=-1> (t, s, o)\nm = MatMul(l, w2)\ng = Add(m, b2)\nf = Flatten(g)\ny = Gemm(f, w, b)",
        weights(**TRUNK_WEIGHTS, s=(4,), o=(4,), w2=(4, 3), b2=(3,), w=(147, 5), b=(5,)), 17,
    ),
}  # fmt: skip


def original(path: Path, image: np.ndarray) -> list[np.ndarray]:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: image})


@pytest.mark.parametrize("name", EXACT)
def test_every_cell_equals_the_original_on_its_crop(tmp_path: Path, name: str) -> None:
    body, numbers, opset = EXACT[name]
    path = write(tmp_path / "net.onnx", body, numbers, opset=opset)
    model = load(path)
    assert model.plan.exactness.startswith("exact"), model.plan
    image = np.random.default_rng(1).standard_normal((1, 3, 27, 22)).astype(np.float32)
    full = model.cast()
    (found,) = full.run(image).values()
    grid = full.sampling().over((27, 22))
    assert (grid.rows, grid.cols) == ((27 - 16) // int(grid.stride[0]) + 1, (22 - 16) // int(grid.stride[1]) + 1)
    for row in range(grid.rows):
        for col in range(grid.cols):
            x0, y0, x1, y1 = (int(v) for v in grid.box(row, col))
            (crop,) = original(path, np.ascontiguousarray(image[:, :, y0:y1, x0:x1]))
            assert worst(found[0, :, row, col], crop[0]) < 1e-5


@pytest.mark.parametrize("name", EXACT)
def test_what_is_written_is_plain_onnx_of_any_size(tmp_path: Path, name: str) -> None:
    body, numbers, opset = EXACT[name]
    path = write(tmp_path / "net.onnx", body, numbers, opset=opset)
    full = load(path).cast()
    (out,) = full.save(tmp_path / "full.onnx")
    onnx.checker.check_model(str(out), full_check=True)
    written = onnx.load(str(out))
    assert written.opset_import[0].version == opset
    assert out.stat().st_size < path.stat().st_size * 1.2 + 3000
    dims = [d.dim_param or d.dim_value for d in written.graph.input[0].type.tensor_type.shape.dim]
    assert dims[:2] == [1, 3]
    assert all(isinstance(d, str) for d in dims[2:])
    image = np.random.default_rng(1).standard_normal((1, 3, 31, 24)).astype(np.float32)
    assert worst(original(out, image)[0], next(iter(full.run(image).values()))) < 1e-6
    assert load(out, input_shape=(3, 16, 16)).is_fully_convolutional


INEXACT = {
    "a gate (squeeze and excite)": (
        TRUNK + "q = GlobalAveragePool(p)\ns = Conv(q, ws, bs)\ng = Sigmoid(s)\nm = Mul(p, g)\nf = Flatten(m)\ny = Gemm(f, w, b)",
        weights(**TRUNK_WEIGHTS, ws=(4, 4, 1, 1), bs=(4,), w=(196, 5), b=(5,)), "local pooling in GlobalAveragePool_3",
    ),
    "a gate through dense layers": (
        TRUNK + "q = ReduceMean <axes=[2,3], keepdims=0> (p)\ns = Gemm(q, ws, bs)\nv = Sigmoid(s)\ng = Unsqueeze(v, a)\nm = Mul(p, g)\nf = Flatten(m)\ny = Gemm(f, w, b)",
        weights(**TRUNK_WEIGHTS, ws=(4, 4), bs=(4,), w=(196, 5), b=(5,)) | ints(a=[2, 3]), "local pooling in ReduceMean_3",
    ),
    "same padding": (
        'c = Conv <kernel_shape=[3,3], strides=[2,2], auto_pad="SAME_UPPER"> (x, w1, b1)\nf = Flatten(c)\ny = Gemm(f, w, b)',
        weights(**TRUNK_WEIGHTS, w=(256, 5), b=(5,)), "padding in Conv_0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", INEXACT)
def test_the_map_of_one_crop_is_the_originals_answer(tmp_path: Path, name: str) -> None:
    body, numbers, cause = INEXACT[name]
    path = write(tmp_path / "net.onnx", body, numbers, opset=13)
    full = load(path).cast()
    assert cause in load(path).plan.exactness
    image = np.random.default_rng(2).standard_normal((1, 3, 16, 16)).astype(np.float32)
    (found,) = full.run(image).values()
    assert worst(found.reshape(1, 5), original(path, image)[0]) < 1e-6
    assert full.run(np.zeros((1, 3, 40, 29), np.float32))["y"].shape[2:] == full.sampling().cells((40, 29))


def test_a_local_gate_is_the_window_around_each_cell(tmp_path: Path) -> None:
    """The inner cells of a gated map equal the original's on crops: there the window around a cell is the crop."""
    body = "q = GlobalAveragePool(x)\nm = Mul(x, q)\nn = GlobalMaxPool(m)\ny = Flatten(n)"
    path = write(tmp_path / "net.onnx", body, {}, inputs="float[1,2,5,5] x", outputs="float[1,2] y")
    image = np.random.default_rng(3).random((1, 2, 9, 8)).astype(np.float32)
    (found,) = load(path).cast().run(image).values()
    means = np.lib.stride_tricks.sliding_window_view(image[0], (5, 5), (1, 2)).mean((3, 4))
    gate = np.pad(means, ((0, 0), (2, 2), (2, 2)), mode="edge")
    expected = np.lib.stride_tricks.sliding_window_view(image[0] * gate, (5, 5), (1, 2)).max((3, 4))
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)


def test_a_statistic_that_gates_and_answers_is_refused(tmp_path: Path) -> None:
    """Spread over the map for the gate, it would answer once a cell of the map instead of once a crop."""
    body = TRUNK + "q = GlobalAveragePool(p)\nm = Mul(p, q)\nn = GlobalMaxPool(m)\ny = Flatten(n)\nz = Flatten(q)"
    path = write(tmp_path / "net.onnx", body, weights(**TRUNK_WEIGHTS), outputs="float[1,4] y, float[1,4] z")
    assert [(r.node, "gates the map too" in r.reason) for r in load(path).plan.refusals] == [("z", True)]


def test_channels_last_nets_take_the_same_images(tmp_path: Path) -> None:
    """As tf2onnx writes them: the image as (n, h, w, c), the flatten as (h w c)."""
    body = "t = Transpose <perm=[0,3,1,2]> (x)\nc = Conv <kernel_shape=[3,3]> (t, w1, b1)\nr = Relu(c)\nu = Transpose <perm=[0,2,3,1]> (r)\nf = Reshape(u, s)\nm = MatMul(f, w)\ny = Softmax <axis=-1> (m)"
    numbers = weights(**TRUNK_WEIGHTS, w=(400, 5)) | ints(s=[-1, 400])
    path = write(tmp_path / "net.onnx", body, numbers, inputs="float[N,12,12,3] x", outputs="float[N,5] y")
    model = load(path)
    assert model.image_shape == (3, 12, 12)
    pixels = np.random.default_rng(4).integers(0, 256, (17, 15, 3), np.uint8)
    by_map, by_crops = (
        map_image(model, pixels, preprocess="signed"),
        map_image(model, pixels, preprocess="signed", by="crops"),
    )
    assert by_map.scores.shape == (5, 6, 4)
    np.testing.assert_allclose(by_map.scores, by_crops.scores, atol=1e-5)


def test_a_mean_over_channels_last_maps(tmp_path: Path) -> None:
    """As Keras exports it: everything (n, h, w, c), the head a mean over axes 1 and 2."""
    body = "t = Transpose <perm=[0,3,1,2]> (x)\nc = Conv <kernel_shape=[3,3]> (t, w1, b1)\nu = Transpose <perm=[0,2,3,1]> (c)\nr = Relu(u)\nm = ReduceMean <axes=[1,2], keepdims=0> (r)\nd = MatMul(m, w)\na = Add(d, b)\ny = Softmax <axis=1> (a)"
    path = write(
        tmp_path / "net.onnx",
        body,
        weights(**TRUNK_WEIGHTS, w=(4, 5), b=(5,)),
        inputs="float[N,12,12,3] x",
        outputs="float[N,5] y",
        opset=13,
    )
    model = load(path)
    pixels = np.random.default_rng(4).integers(0, 256, (17, 15, 3), np.uint8)
    by_map, by_crops = (
        map_image(model, pixels, preprocess="signed"),
        map_image(model, pixels, preprocess="signed", by="crops"),
    )
    assert by_map.scores.shape == (5, 6, 4)
    np.testing.assert_allclose(by_map.scores, by_crops.scores, atol=1e-5)
    (out,) = model.cast().save(tmp_path / "full.onnx")
    onnx.checker.check_model(str(out), full_check=True)


def test_weights_in_constant_nodes_and_among_the_inputs(tmp_path: Path) -> None:
    """Exporters of old: IR 3 lists initializers as inputs; others write Constant nodes; dropout has two outputs."""
    body, numbers, _ = EXACT["gemm of a flatten"]
    path = write(
        tmp_path / "net.onnx", body.replace("f = Flatten(p)", "q, mask = Dropout(p)\nf = Flatten(q)"), numbers, opset=7
    )
    model = onnx.load(str(path))
    model.ir_version = 3
    for tensor in model.graph.initializer:
        model.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, 1, tensor.dims))
    old, image = tmp_path / "old.onnx", np.random.default_rng(5).standard_normal((1, 3, 20, 20)).astype(np.float32)
    onnx.save(model, old)
    expected = load(write(tmp_path / "new.onnx", body, numbers)).cast().run(image)["y"]
    np.testing.assert_allclose(load(old).cast().run(image)["y"], expected, atol=1e-6)
    for tensor in list(model.graph.initializer):
        model.graph.node.insert(0, onnx.helper.make_node("Constant", [], [tensor.name], value=tensor))
    del model.graph.initializer[:]
    del model.graph.input[1:]
    onnx.save(model, old)
    full = load(old).cast()
    np.testing.assert_allclose(full.run(image)["y"], expected, atol=1e-6)
    (out,) = full.save(tmp_path / "full.onnx")
    assert out.stat().st_size < old.stat().st_size * 1.2


def test_functions_are_inlined(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17, "local" : 1]>
    net (float[1,3,16,16] x) => (float[1,4] y) { c = local.block (x, w1, b1)  m = GlobalAveragePool(c)  y = Flatten(m) }
    <domain: "local", opset_import: ["" : 17]> block (a, w, b) => (z) { k = Conv <kernel_shape=[3,3]> (a, w, b)  z = Relu(k) }"""
    model = onnx.parser.parse_model(text)
    model.graph.initializer.extend(onnx.numpy_helper.from_array(v, k) for k, v in weights(**TRUNK_WEIGHTS).items())
    onnx.save(model, tmp_path / "net.onnx")
    assert load(tmp_path / "net.onnx").cast().run(np.zeros((1, 3, 20, 16), np.float32))["y"].shape == (1, 4, 5, 1)


def test_a_quantised_net_gives_its_own_answers(tmp_path: Path) -> None:
    """QDQ: activations are rounded as before, cell by cell."""
    body = "q = QuantizeLinear(x, s, z)\nd = DequantizeLinear(q, s, z)\nwd = DequantizeLinear <axis=0> (wq, ws, wz)\nc = Conv <kernel_shape=[3,3]> (d, wd, b1)\nr = Relu(c)\nf = Flatten(r)\ngd = DequantizeLinear <axis=0> (gq, gs, gz)\ny = Gemm <transB=1> (f, gd, b)"
    rng = np.random.default_rng(6)
    numbers = weights(b1=(4,), b=(5,)) | {
        "s": np.array(0.05, np.float32), "z": np.array(3, np.int8),
        "wq": rng.integers(-127, 127, (4, 3, 3, 3), np.int8), "ws": np.full(4, 0.004, np.float32), "wz": np.zeros(4, np.int8),
        "gq": rng.integers(-127, 127, (5, 784), np.int8), "gs": np.full(5, 0.003, np.float32), "gz": np.zeros(5, np.int8),
    }  # fmt: skip
    path = write(tmp_path / "net.onnx", body, numbers, opset=13)
    image = rng.standard_normal((1, 3, 19, 17)).astype(np.float32)
    full = load(path).cast()
    found = full.run(image)["y"]
    for row in range(4):
        for col in range(2):
            crop = np.ascontiguousarray(image[:, :, row : row + 16, col : col + 16])
            assert worst(found[0, :, row, col], original(path, crop)[0][0]) < 1e-5
    (out,) = full.save(tmp_path / "full.onnx")
    onnx.checker.check_model(str(out), full_check=True)


def test_trained_nets_give_the_same_map_as_from_caffe(lenet: Model, quick: Model, tmp_path: Path, cat: Path) -> None:
    for model, preprocess in ((lenet, "unit"), (quick, "caffe")):
        shape = (1, *model.image_shape)
        lowered = model.format.lower(model.native, {"data": shape})
        onnx.save(lowered.message(weights="inline", names=["prob"]), tmp_path / "net.onnx")
        again = load(tmp_path / "net.onnx", input_shape=model.image_shape)
        a, b = map_image(model, cat, preprocess=preprocess), map_image(again, cat, preprocess=preprocess)
        assert a.grid == b.grid
        assert worst(b.scores, a.scores) < 1e-5
        assert again.plan.exactness.split(" ")[0] == model.plan.exactness.split(" ")[0]


def test_several_outputs_and_a_dynamic_batch(tmp_path: Path) -> None:
    body = TRUNK + "f = Flatten(p)\ng = Gemm(f, w, b)\ny = Softmax <axis=1> (g)\nbox = Gemm(f, w2, b2)"
    numbers = weights(**TRUNK_WEIGHTS, w=(196, 5), b=(5,), w2=(196, 4), b2=(4,))
    path = write(
        tmp_path / "net.onnx", body, numbers, inputs="float[N,3,16,16] x", outputs="float[N,5] y, float[N,4] box"
    )
    found = load(path).cast().run(np.zeros((3, 3, 20, 16), np.float32))
    assert {name: value.shape for name, value in found.items()} == {"y": (3, 5, 3, 1), "box": (3, 4, 3, 1)}


def test_an_output_keeps_its_name_and_plain_runtimes_find_it(tmp_path: Path) -> None:
    path = write(
        tmp_path / "net.onnx",
        "c = Conv <kernel_shape=[3,3]> (x, w1, b1)\nm = GlobalAveragePool(c)\ny = Flatten(m)",
        weights(w1=(5, 3, 3, 3), b1=(5,)),
    )
    full = load(path).cast()
    (out,) = full.save(tmp_path / "full.onnx")
    image = np.random.default_rng(0).standard_normal((1, 3, 20, 20)).astype(np.float32)
    session = ort.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    assert [o.name for o in session.get_outputs()] == ["y"]
    np.testing.assert_allclose(session.run(["y"], {"x": image})[0], full.run(image)["y"], atol=1e-6)


def test_float16_networks_stay_float16(tmp_path: Path) -> None:
    body = (
        TRUNK.replace("r = Relu(c)\np = MaxPool", "p = MaxPool").replace("(r)", "(c)")
        + "f = Flatten(p)\ny = Gemm(f, w, b)"
    )
    numbers = {k: v.astype(np.float16) for k, v in weights(**TRUNK_WEIGHTS, w=(196, 5), b=(5,)).items()}
    path = write(tmp_path / "net.onnx", body, numbers, inputs="float16[1,3,16,16] x", outputs="float16[1,5] y")
    full = load(path).cast()
    (out,) = full.save(tmp_path / "full.onnx")
    assert {t.data_type for t in onnx.load(str(out)).graph.initializer} == {onnx.TensorProto.FLOAT16}
    image = np.random.default_rng(0).standard_normal((1, 3, 16, 16)).astype(np.float32)
    found = full.run(image)["y"]
    assert found.dtype == np.float32
    (expected,) = original(path, image.astype(np.float16))
    assert worst(found[:, :, 0, 0], expected.astype(np.float32)) < 5e-3  # float16 has 11 bits


@pytest.mark.parametrize(
    ("body", "numbers", "node", "reason"),
    [
        (
            "a = Reshape(p, s)\nb = Transpose <perm=[0,2,1]> (a)\nm = MatMul(b, a)\ny = Flatten(m)",
            ints(s=[1, 4, 49]),
            "MatMul_5",
            "attention",
        ),
        (
            "k = Mul(p, k1)\nf = Flatten(k)\ny = Gemm(f, w)",
            weights(k1=(1, 4, 7, 7), w=(196, 5)),
            "Mul_3",
            "each position",
        ),
        (
            "s = Softmax <axis=3> (p)\nf = Flatten(s)\ny = Gemm(f, w)",
            weights(w=(196, 5)),
            "Softmax_3",
            "height or width",
        ),
        (
            "k = Slice(p, z, e, a)\nf = Flatten(k)\ny = Gemm(f, w)",
            weights(w=(196, 5)) | ints(z=[0], e=[7], a=[2]),
            "Slice_3",
            "fixed place",
        ),
        (
            "m = ReduceMean <axes=[0]> (p)\nf = Flatten(m)\ny = Gemm(f, w)",
            weights(w=(196, 5)),
            "ReduceMean_3",
            "the batch",
        ),
        (
            "q = If (yes) <then_branch = g1 () => (float[1,4,7,7] t) { t = Relu(p) }, else_branch = g2 () => (float[1,4,7,7] e) { e = Neg(p) }>\n"
            "f = Flatten(q)\ny = Gemm(f, w)",
            weights(w=(196, 5)) | {"yes": np.array(True)},
            "If_3",
            "no rule",
        ),
        ("n = NonZero(p)\nk = Cast <to=1> (n)\ny = ReduceSum <keepdims=1> (k)", {}, "NonZero_3", "no rule"),
    ],
)
def test_what_cannot_be_cast_is_refused_by_node_and_reason(
    tmp_path: Path, body: str, numbers, node: str, reason: str
) -> None:
    path = write(tmp_path / "net.onnx", TRUNK + body, weights(**TRUNK_WEIGHTS) | numbers, outputs="float[n,m] y")
    refusals = load(path).plan.refusals
    assert node in [r.node for r in refusals]
    assert any(reason in r.reason for r in refusals), refusals


def test_bad_files_are_told(tmp_path: Path) -> None:
    body, numbers, _ = EXACT["gemm of a flatten"]
    path = write(tmp_path / "net.onnx", body, numbers)
    raw = path.read_bytes()

    def told(change, *args, **kwargs) -> str:
        model = onnx.load_from_string(raw)
        change(model)
        (tmp_path / "bad.onnx").write_bytes(model.SerializeToString())
        with pytest.raises(BadInput) as error:
            load(tmp_path / "bad.onnx", *args, **kwargs)
        return str(error.value)

    for cut in (1, 20, len(raw) // 2, len(raw) - 1):
        (tmp_path / "cut.onnx").write_bytes(raw[:cut])
        with pytest.raises(BadInput, match=r"cut\.onnx"):
            load(tmp_path / "cut.onnx")
    assert "operator set 99" in told(lambda m: setattr(m.opset_import[0], "version", 99))
    assert "operator set 3" in told(lambda m: setattr(m.opset_import[0], "version", 3))
    assert "of domain 'com.example'" in told(
        lambda m: (
            setattr(m.graph.node[0], "domain", "com.example"),
            m.opset_import.add(domain="com.example", version=1),
        )
    )
    assert "--input-shape" in told(lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[2], "dim_param", "h"))
    assert "holds INT64" in told(lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", 7))
    assert "does not run" in told(lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[2], "dim_value", 20))
    assert "leave out --weights" in told(lambda m: None, path)


def test_a_flipped_bit_never_ends_in_a_foreign_error(tmp_path: Path) -> None:
    body, numbers, _ = EXACT["matmul and add"]
    raw = bytearray(write(tmp_path / "net.onnx", body, numbers).read_bytes())
    structure = raw.index(b"w1") if b"w1" in raw else len(raw)
    rng = random.Random(0)
    for _ in range(150):
        at, bit = rng.randrange(structure + 800), 1 << rng.randrange(8)
        raw[at] ^= bit
        (tmp_path / "bad.onnx").write_bytes(raw)
        with contextlib.suppress(FullconvError):
            model = load(tmp_path / "bad.onnx")
            if not model.plan.refusals:
                model.cast()
        raw[at] ^= bit


def external(path: Path, folder: Path, location: str) -> Path:
    model = onnx.load(str(path))
    for tensor in model.graph.initializer:
        if tensor.name == "w":
            onnx.external_data_helper.set_external_data(tensor, location)
            (folder / "inside.bin").write_bytes(tensor.raw_data)
            tensor.ClearField("raw_data")
    out = folder / "external.onnx"
    out.write_bytes(model.SerializeToString())
    return out


def test_external_data_is_read_from_the_models_folder_only(tmp_path: Path) -> None:
    body, numbers, _ = EXACT["gemm of a flatten"]
    path = write(tmp_path / "net.onnx", body, numbers)
    image = np.random.default_rng(5).standard_normal((1, 3, 20, 20)).astype(np.float32)
    expected = load(path).cast().run(image)["y"]
    inside = external(path, tmp_path, "inside.bin")
    np.testing.assert_array_equal(load(inside).cast().run(image)["y"], expected)
    with pytest.raises(BadInput, match="outside the model's folder"):
        load(external(path, tmp_path, "../inside.bin"))
    with pytest.raises(BadInput, match="missing"):
        load(external(path, tmp_path, "gone.bin"))


def test_a_network_of_one_batch_size_takes_any(tmp_path: Path) -> None:
    body, numbers, _ = EXACT["gemm of a flatten"]
    path = write(tmp_path / "net.onnx", body, numbers | ints(), inputs="float[2,3,16,16] x", outputs="float[2,5] y")
    images = np.random.default_rng(7).standard_normal((5, 3, 16, 16)).astype(np.float32)
    expected = np.concatenate(
        [original(path, images[i : i + 2])[0] for i in (0, 2)] + [original(path, images[3:5])[0][1:]]
    )
    np.testing.assert_allclose(load(path).run(images)["y"], expected, atol=1e-6)
    np.testing.assert_allclose(load(path).cast().run(images)["y"][:, :, 0, 0], expected, atol=1e-5)


def test_an_uncast_net_takes_its_training_size_only(tmp_path: Path) -> None:
    body, numbers, _ = EXACT["gemm of a flatten"]
    model = load(write(tmp_path / "net.onnx", body, numbers))
    with pytest.raises(BadInput, match="training size"):
        model.run(np.zeros((1, 3, 20, 20), np.float32))
