"""ONNX networks, cast natively: against ONNX Runtime on the original, at training size and on crops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from fullconv.errors import BadInput
from fullconv.loading import load
from fullconv.maps.mapping import map_image
from fullconv.model import Model
from tests.conftest import worst
from tests.formats.onnx.nets import EXACT, TRUNK, TRUNK_WEIGHTS, ints, original, weights, write


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


@pytest.mark.parametrize("opset", [7, 8])
def test_whole_numbers_in_constant_nodes_of_old_operator_sets(tmp_path: Path, opset: int) -> None:
    """Up to set 8 a Constant is of fractions alone, by the schema; exporters wrote shapes and places so all the same."""
    numbers = weights(w1=(4, 3, 3, 3), b1=(4,), w=(5, 147), b=(5,))
    path = write(tmp_path / "net.onnx", TRUNK + "g = Gather <axis=1> (p, i)\nf = Reshape(g, s)\ny = Gemm <transB=1> (f, w, b)",
                 numbers | ints(i=[3, 0, 1], s=[-1, 147]), opset=opset)  # fmt: skip
    model = onnx.load(str(path))
    for name in ("i", "s"):
        tensor = next(each for each in model.graph.initializer if each.name == name)
        model.graph.node.insert(0, onnx.helper.make_node("Constant", [], [name], value=tensor))
        model.graph.initializer.remove(tensor)
    onnx.save(model, path)
    image = np.random.default_rng(5).standard_normal((1, 3, 16, 20)).astype(np.float32)
    full = load(path).cast()
    (out,) = full.save(tmp_path / "full.onnx")
    onnx.checker.check_model(str(out), full_check=True)
    for session, shown in (
        (ort.InferenceSession(path), image[..., :16]),
        (ort.InferenceSession(out), image),
    ):
        answer = session.run(["y"], {"x": shown})[0]
        np.testing.assert_allclose(
            full.run(image)["y"][:, :, 0, : answer.reshape(1, 5, -1).shape[2]], answer.reshape(1, 5, -1), atol=1e-6
        )


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
            "g = GlobalMaxPool(p)\nm = ReduceMax <axes=[1], keepdims=0> (g)\nyes = Greater(m, low)\nq = If (yes) <then_branch = g1 () => (float[1,4,7,7] t) { t = Relu(p) }, else_branch = g2 () => (float[1,4,7,7] e) { e = Neg(p) }>\n"
            "f = Flatten(q)\ny = Gemm(f, w)",
            weights(w=(196, 5)) | {"low": np.float32(-1)},
            "If_6",
            "no rule",
        ),
        (
            "m = GlobalAveragePool(p)\nv = Reshape(m, s)\nk = Conv <kernel_shape=[1,1]> (p, v)\ny = Flatten(k)",
            ints(s=[1, 4, 1, 1]),
            "Conv_5",
            "should be constant",
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


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("by_output", [False, True])
def test_quantised_weights_stay_whole_numbers(tmp_path: Path, turned: bool, by_output: bool) -> None:
    rng = np.random.default_rng(3)
    matrix = rng.integers(-127, 127, (196, 5) if turned else (5, 196)).astype(np.int8)
    scale = rng.uniform(0.001, 0.002, 5).astype(np.float32) if by_output else np.float32(0.0015)
    axis = f"<axis={1 if turned else 0}>" if by_output else ""
    body = TRUNK + (
        "xs = QuantizeLinear(p, s, z)\nxd = DequantizeLinear(xs, s, z)\nf = Flatten(xd)\n"
        f"wd = DequantizeLinear {axis} (w, ws, wz)\ny = Gemm <transB={0 if turned else 1}> (f, wd, b)"
    )
    zero = np.zeros(5, np.int8) if by_output else np.int8(0)
    numbers = weights(**TRUNK_WEIGHTS, b=(5,)) | {
        "w": matrix,
        "ws": scale,
        "wz": zero,
        "s": np.float32(0.05),
        "z": np.uint8(9),
    }
    path = write(tmp_path / "net.onnx", body, numbers, opset=13)
    full = load(path).cast()
    (out,) = full.save(tmp_path / "full.onnx")
    kept = [onnx.numpy_helper.to_array(t) for t in onnx.load(out).graph.initializer]
    (kernel,) = (t for t in kept if t.dtype == np.int8 and t.ndim == 4)
    np.testing.assert_array_equal(kernel.reshape(5, 196), matrix.T if turned else matrix)
    assert out.stat().st_size < path.stat().st_size + 3000
    image = np.random.default_rng(1).standard_normal((1, 3, 24, 20)).astype(np.float32)
    (found,) = full.run(image).values()
    # Optimised, the engine multiplies 8-bit numbers with sums that saturate on processors without VNNI: 0.5 % off.
    (crop,) = original(path, np.ascontiguousarray(image[:, :, 4:20, 2:18]), optimised=False)
    assert worst(found[0, :, 2, 1], crop[0]) < 1e-5


RESIZED = {
    "by factors": ("u = Resize <mode=\"nearest\", coordinate_transformation_mode=\"asymmetric\", nearest_mode=\"floor\"> (p, , k)", {"k": np.array([1, 1, 2, 2], np.float32)}, 13),
    "to a size": ("u = Resize <mode=\"nearest\", coordinate_transformation_mode=\"asymmetric\", nearest_mode=\"floor\"> (p, , , k)", {"k": np.array([1, 4, 14, 14], np.int64)}, 13),
    "linear": ("u = Resize <mode=\"linear\"> (p, , k)", {"k": np.array([1, 1, 2, 2], np.float32)}, 13),
    "as Upsample": ("u = Upsample <mode=\"nearest\"> (p, k)", {"k": np.array([1, 1, 2, 2], np.float32)}, 9),
}  # fmt: skip


@pytest.mark.parametrize("name", RESIZED)
def test_resizing_by_whole_factors(tmp_path: Path, name: str) -> None:
    line, numbers, opset = RESIZED[name]
    body = TRUNK + line + "\nf = Flatten(u)\ny = Gemm(f, w, b)"
    path = write(tmp_path / "net.onnx", body, weights(**TRUNK_WEIGHTS, w=(784, 5), b=(5,)) | numbers, opset=opset)
    model = load(path)
    assert "resampling" in model.plan.exactness
    full = model.cast()
    crop = np.random.default_rng(1).standard_normal((1, 3, 16, 16)).astype(np.float32)
    assert worst(full.run(crop)["y"].reshape(1, 5), original(path, crop)[0]) < 1e-6
    assert full.run(np.zeros((1, 3, 40, 28), np.float32))["y"].shape == (1, 5, 25, 13)
    again = load(full.save(tmp_path / "full.onnx")[0], input_shape=(3, 16, 16))
    assert again.run(np.zeros((1, 3, 40, 28), np.float32))["y"].shape == (1, 5, 25, 13)


def test_a_network_of_more_than_two_gigabytes_keeps_its_weights_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit lowered for the test's sake: the way is the same."""
    monkeypatch.setattr("fullconv.formats.onnx.format._LARGEST", 1000)
    body, numbers, opset = EXACT["gemm of a flatten"]
    full = load(write(tmp_path / "net.onnx", body, numbers, opset=opset)).cast()
    written = full.save(tmp_path / "full.onnx")
    assert [p.name for p in written] == ["full.onnx", "full.onnx.data"]
    image = np.random.default_rng(1).standard_normal((1, 3, 24, 20)).astype(np.float32)
    again = load(tmp_path / "full.onnx", input_shape=(3, 16, 16))
    assert worst(again.run(image)["y"], full.run(image)["y"]) == 0
    assert worst(original(tmp_path / "full.onnx", image)[0], full.run(image)["y"]) < 1e-6
