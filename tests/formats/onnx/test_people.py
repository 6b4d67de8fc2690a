"""Files as other tools write them: what they leave out, add, or spell their own way; against ONNX Runtime on the file itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from fullconv.errors import BadInput, CannotCast
from fullconv.loading import load
from fullconv.maps.mapping import map_image
from fullconv.model import Model
from tests.conftest import worst
from tests.formats.onnx.nets import EXACT, TRUNK, TRUNK_WEIGHTS, ints, original, weights, write

GEMM = "f = Flatten(p)\ny = Gemm(f, w, b)"
NUMBERS = weights(**TRUNK_WEIGHTS, w=(196, 5), b=(5,))
IMAGE = np.random.default_rng(3).standard_normal((1, 3, 24, 20)).astype(np.float32)


def changed(path: Path, change: Callable[[onnx.ModelProto], None]) -> Path:
    model = onnx.load(str(path))
    change(model)
    path.write_bytes(model.SerializeToString())
    return path


def equals_crops(model: Model, full: Model, path: Path, image: np.ndarray, limit: float = 1e-5) -> None:
    (cells,) = full.run(image).values()
    grid = full.sampling().over(image.shape[2:])
    assert cells.shape[2:] == (grid.rows, grid.cols)
    assert model.plan.exactness.startswith("exact")
    for row in range(grid.rows):
        for col in range(grid.cols):
            x0, y0, x1, y1 = (int(v) for v in grid.box(row, col))
            (crop,) = model.run(np.ascontiguousarray(image[:, :, y0:y1, x0:x1])).values()
            assert worst(cells[:, :, row, col], crop) < limit
    first = np.ascontiguousarray(image[:, :, : model.image_shape[1], : model.image_shape[2]])
    assert worst(next(iter(model.run(first).values())), original(path, first)[0]) < limit


def shuffled(model: onnx.ModelProto) -> None:
    nodes = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def under_the_long_name(model: onnx.ModelProto) -> None:
    model.opset_import[0].domain = "ai.onnx"
    for node in model.graph.node:
        node.domain = "ai.onnx"


SPELT = {
    "nodes in no order (keras2onnx)": shuffled,
    "a graph without a name (DJL)": lambda m: m.graph.ClearField("name"),
    "the long name of ONNX's domain": under_the_long_name,
    "sizes of -1 for a free batch (Paddle)": lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[0], "dim_value", -1),
    "a batch by symbol": lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[0], "dim_param", "N"),
}  # fmt: skip


@pytest.mark.parametrize("name", SPELT)
def test_the_same_net_spelt_otherwise(tmp_path: Path, name: str) -> None:
    plain = write(tmp_path / "plain.onnx", TRUNK + GEMM, NUMBERS, opset=13)
    expected = next(iter(load(plain).cast().run(IMAGE).values()))
    other = write(tmp_path / "other.onnx", TRUNK + GEMM, NUMBERS, opset=13)
    full = load(changed(other, SPELT[name])).cast()
    np.testing.assert_array_equal(full.run(IMAGE)["y"], expected)
    (out,) = full.save(tmp_path / "full.onnx")
    onnx.checker.check_model(str(out), full_check=True)
    assert worst(original(out, IMAGE)[0], expected) < 1e-6


def test_tf2onnx_turns_one_channel_by_a_reshape(tmp_path: Path) -> None:
    body = "t = Reshape(x, s)\nc = Conv <kernel_shape=[3,3]> (t, w1, b1)\nu = Transpose <perm=[0,2,3,1]> (c)\nr = Relu(u)\nf = Reshape(r, s2)\ny = MatMul(f, w)"
    numbers = weights(w1=(4, 1, 3, 3), b1=(4,), w=(480, 5)) | ints(s=[-1, 1, 14, 12], s2=[-1, 480])
    path = write(tmp_path / "net.onnx", body, numbers, "float[N,14,12,1] x", "float[N,5] y", opset=13)
    model = load(path)
    assert model.image_shape == (1, 14, 12)
    image = IMAGE[:, :1]
    cells = model.cast().run(image)["y"]
    for row, col in ((0, 0), (3, 5), (10, 8)):
        crop = np.ascontiguousarray(image[:, 0, row : row + 14, col : col + 12, None])
        assert worst(cells[:, :, row, col], original(path, crop)[0]) < 1e-5


def test_a_fully_convolutional_file_of_fixed_size_takes_any(tmp_path: Path) -> None:
    path = write(
        tmp_path / "net.onnx", TRUNK + "y = Conv <kernel_shape=[7,7]> (p, w, b)", weights(**TRUNK_WEIGHTS, w=(5, 4, 7, 7), b=(5,)),
        outputs="float[1,5,1,1] y", opset=13,
    )  # fmt: skip
    model = load(path)
    assert model.is_fully_convolutional
    assert model.cast().run(IMAGE)["y"].shape == (1, 5, 5, 3)
    pixels = np.random.default_rng(4).integers(0, 256, (24, 20, 3), np.uint8)
    assert map_image(model, pixels).scores.shape == (5, 5, 3)
    (out,) = model.save(tmp_path / "full.onnx")
    assert original(out, IMAGE)[0].shape == (1, 5, 5, 3)
    other = load(path, input_shape=(3, 20, 20))  # a training size of another's choice
    assert other.image_shape == (3, 20, 20)


def test_a_stated_size_is_not_overridden(tmp_path: Path) -> None:
    path = write(tmp_path / "net.onnx", TRUNK + GEMM, NUMBERS, opset=13)
    with pytest.raises(BadInput, match="states an input of 16×16"):
        load(path, input_shape=(3, 20, 20))
    pooled = write(
        tmp_path / "pooled.onnx", TRUNK + "m = GlobalAveragePool(p)\ny = Flatten(m)", NUMBERS, outputs="float[1,4] y"
    )
    with pytest.raises(BadInput, match="states an input of 16×16"):
        load(pooled, input_shape=(3, 20, 20))
    assert load(path, input_shape=(3, 16, 16)).image_shape == (3, 16, 16)


def test_a_batch_of_none_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "net.onnx", TRUNK + GEMM, NUMBERS, opset=13)
    with pytest.raises(BadInput, match="holds no number"):
        load(changed(path, lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[0], "dim_value", 0)))


def test_an_input_without_a_shape_takes_the_given_one(tmp_path: Path) -> None:
    path = write(tmp_path / "net.onnx", TRUNK + GEMM, NUMBERS, opset=13)
    changed(path, lambda m: m.graph.input[0].type.tensor_type.ClearField("shape"))
    with pytest.raises(BadInput, match="--input-shape"):
        load(path)
    model = load(path, input_shape=(3, 16, 16))
    equals_crops(model, model.cast(), path, IMAGE)


def test_a_model_in_memory(tmp_path: Path) -> None:
    path = write(tmp_path / "net.onnx", TRUNK + GEMM, NUMBERS, opset=13)
    held = onnx.load(str(path))
    before = held.SerializeToString()
    np.testing.assert_array_equal(load(held).cast().run(IMAGE)["y"], load(path).cast().run(IMAGE)["y"])
    assert held.SerializeToString() == before


def test_image_scaler_is_scale_and_bias(tmp_path: Path) -> None:
    """CoreML's and WinML's first operator, which ONNX has dropped: y = scale · x + bias."""
    plain = write(tmp_path / "plain.onnx", "t = Mul(x, k)\nv = Add(t, o)\n" + TRUNK.replace("x,", "v,") + GEMM,
                  NUMBERS | {"k": np.float32(0.5), "o": np.array([-1, 0, 2], np.float32).reshape(3, 1, 1)}, opset=13)  # fmt: skip
    path = write(tmp_path / "net.onnx", TRUNK.replace("x,", "v,") + GEMM, NUMBERS, "float[1,3,16,16] v", opset=13)
    scaler = helper.make_node("ImageScaler", ["x"], ["v"], scale=0.5, bias=[-1.0, 0.0, 2.0])
    changed(path, lambda m: (m.graph.node.insert(0, scaler), setattr(m.graph.input[0], "name", "x")))
    full = load(path).cast()
    assert worst(full.run(IMAGE)["y"], load(plain).cast().run(IMAGE)["y"]) < 1e-6
    onnx.checker.check_model(str(full.save(tmp_path / "full.onnx")[0]), full_check=True)


def test_labels_behind_the_scores_are_left_out(tmp_path: Path) -> None:
    """As WinMLTools and CoreML converters end: the class's name, and a map from names to scores."""
    path = write(tmp_path / "net.onnx", TRUNK + GEMM, NUMBERS, opset=13)

    def classify(model: onnx.ModelProto) -> None:
        names = [f"class {i}" for i in range(5)]
        model.opset_import.add(domain="ai.onnx.ml", version=1)
        model.graph.node.extend([
            helper.make_node("ZipMap", ["y"], ["loss"], domain="ai.onnx.ml", classlabels_strings=names),
            helper.make_node("ArgMax", ["y"], ["best"], axis=1),
            helper.make_node("ArrayFeatureExtractor", ["names", "best"], ["label"], domain="ai.onnx.ml"),
        ])  # fmt: skip
        model.graph.initializer.append(
            helper.make_tensor("names", TensorProto.STRING, [5], [n.encode() for n in names])
        )
        del model.graph.output[:]
        model.graph.output.append(helper.make_tensor_value_info("label", TensorProto.STRING, [1, 1]))
        loss = model.graph.output.add(name="loss")
        loss.type.sequence_type.elem_type.map_type.key_type = TensorProto.STRING
        loss.type.sequence_type.elem_type.map_type.value_type.tensor_type.elem_type = TensorProto.FLOAT

    plain = load(path).cast().run(IMAGE)["y"]
    model = load(changed(path, classify))
    assert any("ZipMap" in note for note in model.notes)
    assert any("label" in note for note in model.notes)
    np.testing.assert_array_equal(model.cast().run(IMAGE)["y"], plain)
    onnx.checker.check_model(str(model.cast().save(tmp_path / "full.onnx")[0]), full_check=True)


@pytest.mark.parametrize("kind", ["uint8", "int32", "double"])
def test_an_input_of_other_numbers(tmp_path: Path, kind: str) -> None:
    """Deployed files take the bytes of an image, channels last, and cast them first."""
    body = "v = Cast <to=1> (x)\nt = Transpose <perm=[0,3,1,2]> (v)\n" + TRUNK.replace("x,", "t,") + GEMM
    path = write(tmp_path / "net.onnx", body, NUMBERS, f"{kind}[N,16,16,3] x", "float[N,5] y", opset=13)
    model = load(path)
    pixels = np.random.default_rng(4).integers(0, 256, (24, 20, 3), np.uint8)
    found, by_crops = map_image(model, pixels), map_image(model, pixels, by="crops")
    np.testing.assert_allclose(found.scores, by_crops.scores, rtol=1e-4, atol=1e-3)
    crop = np.ascontiguousarray(pixels[None, 2:18, 4:20])
    numbers = crop.astype({"uint8": np.uint8, "int32": np.int32, "double": np.float64}[kind])
    assert worst(found.scores[:, 1, 2], original(path, numbers)[0][0]) < 1e-5
    if kind != "double":
        with pytest.raises(BadInput, match="whole numbers"):
            model.run(np.full((1, 3, 16, 16), 0.5, np.float32))
    if kind == "uint8":
        with pytest.raises(BadInput, match="from 0 to 255"):
            model.cast().run(np.full((1, 3, 16, 16), -1, np.float32))
    (out,) = model.cast().save(tmp_path / "full.onnx")
    again = original(out, np.ascontiguousarray(pixels[None]).astype(numbers.dtype))[0]
    assert worst(again, found.scores[None]) < 1e-5


QUANTISED = (
    "q = QuantizeLinear(x, s, z)\nc = QLinearConv <kernel_shape=[3,3], pads=[0,0,0,0]> (q, s, z, wq, ws, wz, s, z)\n"
    "p = MaxPool <kernel_shape=[2,2], strides=[2,2]> (c)\nd = DequantizeLinear(p, s, z)\nf = Flatten(d)\ny = Gemm(f, w, b)"
)


def quantised_numbers() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(6)
    return weights(w=(196, 5), b=(5,)) | {
        "wq": rng.integers(-127, 127, (4, 3, 3, 3), np.int8), "ws": np.full(4, 0.004, np.float32), "wz": np.zeros(4, np.int8),
        "s": np.float32(0.05), "z": np.uint8(120),
    }  # fmt: skip


def test_a_net_whose_convolutions_are_quantised_is_cast(tmp_path: Path) -> None:
    path = write(tmp_path / "net.onnx", QUANTISED, quantised_numbers(), opset=13)
    model = load(path)
    equals_crops(model, model.cast(), path, IMAGE)
    onnx.checker.check_model(str(model.cast().save(tmp_path / "full.onnx")[0]), full_check=True)
    finer = model.refined(1)
    assert worst(finer.run(IMAGE)["y"][:, :, ::2, ::2], model.cast().run(IMAGE)["y"]) < 1e-5


def test_a_quantised_net_is_written_as_it_is(tmp_path: Path) -> None:
    """ONNX Runtime joins what lies between two quantisations, and rounds otherwise where somebody asks for a value within."""
    numbers = {  # steps of sixteen to one, so that many sums lie between two
        "w": np.random.default_rng(6).integers(-3, 4, (8, 3, 5, 5), np.int8), "ws": np.float32(0.007), "wz": np.int8(0),
        "s": np.float32(0.031), "z": np.uint8(3), "t": np.float32(0.007 * 0.031 * 16), "u": np.uint8(0),
    }  # fmt: skip
    body = (
        "q = QuantizeLinear(x, s, z)\nd = DequantizeLinear(q, s, z)\nk = DequantizeLinear(w, ws, wz)\n"
        "c = Conv <kernel_shape=[5,5], pads=[0,0,0,0]> (d, k)\nr = Relu(c)\n"
        "e = QuantizeLinear(r, t, u)\ny = DequantizeLinear(e, t, u)"
    )
    path = write(tmp_path / "net.onnx", body, numbers, opset=13)
    (out,) = load(path).cast().save(tmp_path / "full.onnx")
    crop = np.ascontiguousarray(IMAGE[:, :, :16, :16])
    np.testing.assert_array_equal(original(out, crop)[0], original(path, crop)[0])


def test_operators_of_other_domains_run_by_crops(tmp_path: Path) -> None:
    """What ONNX Runtime knows, runs; what has no rule, is refused by name."""
    path = write(tmp_path / "net.onnx", QUANTISED, quantised_numbers(), opset=13)

    def all_quantised(model: onnx.ModelProto) -> None:
        del model.graph.node[3:]
        model.opset_import.add(domain="com.microsoft", version=1)
        numbers = {
            "gs": np.float32(0.1),
            "gz": np.uint8(100),
            "gw": np.ones((196, 5), np.int8),
            "gws": np.float32(0.01),
            "gwz": np.int8(0),
        }
        model.graph.initializer.extend(numpy_helper.from_array(np.asarray(v), k) for k, v in numbers.items())
        model.graph.node.extend([
            helper.make_node("QLinearAdd", ["p", "s", "z", "p", "s", "z", "s", "z"], ["a"], domain="com.microsoft"),
            helper.make_node("Flatten", ["a"], ["f"]),
            helper.make_node("QGemm", ["f", "s", "z", "gw", "gws", "gwz", "", "gs", "gz"], ["g"], domain="com.microsoft", name="dense"),
            helper.make_node("DequantizeLinear", ["g", "gs", "gz"], ["y"]),
        ])  # fmt: skip

    model = load(changed(path, all_quantised))
    assert [r.node for r in model.plan.refusals] == ["dense"]
    with pytest.raises(CannotCast, match=r"com\.microsoft\.QGemm"):
        model.cast()
    pixels = np.random.default_rng(4).integers(0, 8, (18, 20, 3), np.uint8)
    found = map_image(model, pixels, by="crops", stride=2)
    crop = np.ascontiguousarray(pixels[2:18, 4:20].transpose(2, 0, 1)[None].astype(np.float32))
    np.testing.assert_array_equal(found.scores[:, 1, 2], original(path, crop)[0][0])


def test_branches_read_weights_from_outside(tmp_path: Path) -> None:
    """An If keeps the weights that only its branches name."""
    branch = "g{n} () => (float[1,4,14,14] o{n}) {{ o{n} = Conv <kernel_shape=[3,3]> (x, v, b1) }}"
    body = f"m0 = ReduceMax <keepdims=0> (x)\nyes = Greater(m0, low)\nq = If (yes) <then_branch = {branch.format(n=1)}, else_branch = {branch.format(n=2)}>\nm = GlobalAveragePool(q)\ny = Flatten(m)"
    numbers = weights(v=(40, 3, 3, 3), b1=(40,)) | {"low": np.float32(-9)}
    path = write(tmp_path / "net.onnx", body.replace("[1,4,", "[1,40,"), numbers, outputs="float[1,40] y", opset=13)
    crop = np.ascontiguousarray(IMAGE[:, :, :16, :16])
    assert worst(load(path).run(crop)["y"], original(path, crop)[0]) < 1e-6


@pytest.mark.parametrize("taken", [True, False])
def test_a_branch_by_a_constant_is_the_network(tmp_path: Path, taken: bool) -> None:
    """Both branches name their values alike, and like one outside; a branch lies within a branch; one answers with a value of outside."""
    inner = "deep{n} () => (float[1,4,14,14] d) {{ d = {op}(c) }}"
    within = f"If (yes) <then_branch = {inner.format(n=1, op='Relu')}, else_branch = {inner.format(n=2, op='Neg')}>"
    one = f"one () => (float[1,4,14,14] o) {{ t = Tanh(c)\n i = {within}\n o = Add(t, i) }}"
    other = "two () => (float[1,4,14,14] c2) { t = Sigmoid(c)\n c2 = Mul(t, v) }"
    body = f"c = Conv <kernel_shape=[3,3]> (x, w1, b1)\nq = If (yes) <then_branch = {one}, else_branch = {other}>\nt = Relu(q)\n"
    body += "p = MaxPool <kernel_shape=[2,2], strides=[2,2]> (t)\n" + GEMM
    numbers = NUMBERS | {"yes": np.array(taken), "v": np.float32(1.5)}
    path = write(tmp_path / "net.onnx", body, numbers, opset=13)
    model, crop = load(path), np.ascontiguousarray(IMAGE[:, :, 2:18, 4:20])
    assert "If" not in {node.op for node in model.graph}
    (out,) = model.cast().save(tmp_path / "full.onnx")
    found = ort.InferenceSession(out).run(None, {"x": IMAGE})[0]
    assert worst(found[:, :, 1, 2], original(path, crop)[0]) < 1e-5


def test_several_inputs_are_told(tmp_path: Path) -> None:
    body = "a = Conv <kernel_shape=[3,3]> (x, w1, b1)\nc = Conv <kernel_shape=[3,3]> (x2, w1, b1)\nd = Add(a, c)\nm = GlobalAveragePool(d)\ny = Flatten(m)"
    path = write(
        tmp_path / "net.onnx", body, weights(**TRUNK_WEIGHTS), "float[1,3,16,16] x, float[1,3,16,16] x2", "float[1,4] y"
    )
    assert any("2 inputs (x, x2)" in note for note in load(path).notes)


def test_weights_that_are_no_numbers_answer_so(tmp_path: Path) -> None:
    for name in EXACT:
        body, numbers, opset = EXACT[name]
        if "w1" not in numbers:
            continue
        broken = dict(numbers)
        broken["w1"] = numbers["w1"].copy()
        broken["w1"][0, 0, 1, 1] = np.nan
        path = write(tmp_path / "net.onnx", body, broken, opset=opset)
        crop = np.ascontiguousarray(IMAGE[:, :, :16, :16])
        expected = original(path, crop)[0]
        np.testing.assert_array_equal(np.isnan(load(path).run(crop)["y"]), np.isnan(expected), err_msg=name)
        full = next(iter(load(path).cast().run(crop).values()))
        np.testing.assert_array_equal(np.isnan(full.reshape(expected.shape)), np.isnan(expected), err_msg=name)


def test_an_engine_says_nothing_of_its_own(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "net.onnx", TRUNK + GEMM, NUMBERS, opset=13)
    changed(path, lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[2], "dim_value", 20))
    with pytest.raises(BadInput):
        load(path)
    assert capfd.readouterr() == ("", "")
    assert ort is not None


@pytest.mark.parametrize(("opset", "axis"), [(9, 0), (13, 0), (13, -1)])
def test_a_squeeze_without_axes_keeps_the_batch(tmp_path: Path, opset: int, axis: int) -> None:
    """PyTorch 0.4 writes squeeze() so: the answer of one image is a vector without a batch."""
    body = (
        TRUNK
        + f"m = GlobalAveragePool(p)\nk = Conv <kernel_shape=[1,1]> (m, v, b)\nq = Squeeze(k)\ns = Add(q, o)\ny = Softmax <axis={axis}> (s)"
    )
    numbers = weights(**TRUNK_WEIGHTS, v=(5, 4, 1, 1), b=(5,), o=(5,))
    path = write(tmp_path / "net.onnx", body, numbers, outputs="float[5] y", opset=opset)
    full = load(path).cast()
    cells = full.run(IMAGE)["y"]
    for row, col in ((0, 0), (4, 2)):
        crop = np.ascontiguousarray(IMAGE[:, :, 2 * row : 2 * row + 16, 2 * col : 2 * col + 16])
        assert worst(cells[0, :, row, col], original(path, crop)[0]) < 1e-5
    onnx.checker.check_model(str(full.save(tmp_path / "full.onnx")[0]), full_check=True)


@pytest.mark.parametrize("kind", ["Sum", "Mean", "Max", "Min"])
def test_what_operator_set_7_adds_to_one_cell_is_added_to_every_cell(kind: str, tmp_path: Path) -> None:
    """There both have to be of one shape; the cast's is not the constant's."""
    body = TRUNK + f"m = GlobalAveragePool(p)\ns = {kind}(m, k)\nf = Flatten(s)\ny = Gemm(f, w, b)"
    numbers = weights(**TRUNK_WEIGHTS, k=(1, 4, 1, 1), w=(4, 5), b=(5,))
    path = write(tmp_path / "net.onnx", body, numbers, opset=7)
    full = load(path).cast()
    equals_crops(load(path), full, path, IMAGE)
    (out,) = full.save(tmp_path / "full.onnx")
    onnx.checker.check_model(str(out), full_check=True)
    np.testing.assert_allclose(original(out, IMAGE)[0], full.run(IMAGE)["y"], atol=1e-6)


def test_a_map_in_a_row_is_no_gate(tmp_path: Path) -> None:
    """What its mean is taken from is every position of the crop, however it lies: not one cell of a finer map."""
    body = (
        "r = Reshape(x, s)\nm = ReduceMean <axes=[2], keepdims=1> (r)\nd = Sub(r, m)\nu = Reshape(d, t)\nh = HardSigmoid(u)\n"
        "g = ReduceMean <axes=[2,3], keepdims=1> (h)\nf = Flatten(g)\ny = MatMul(f, w)"
    )
    numbers = weights(w=(3, 5)) | ints(s=[1, 3, 256], t=[1, 3, 16, 16])
    path = write(tmp_path / "net.onnx", body, numbers, opset=13)
    model = load(path)
    assert model.plan.refusals or model.plan.inexact
    crop = np.ascontiguousarray(IMAGE[:, :, :16, :16])
    found = model.run(crop) if model.plan.refusals else model.cast().run(crop)
    np.testing.assert_allclose(found["y"].ravel(), original(path, crop)[0].ravel(), atol=1e-6)


def test_a_squeeze_that_takes_a_maps_side_away_is_no_map(tmp_path: Path) -> None:
    """By its shape alone it might be another side of one cell."""
    body = (
        TRUNK
        + "k = Conv <kernel_shape=[7,7]> (p, w, b)\nu = Unsqueeze <axes=[4]> (k)\ns = Squeeze <axes=[2]> (u)\ny = Flatten(s)"
    )
    path = write(tmp_path / "net.onnx", body, weights(**TRUNK_WEIGHTS, w=(5, 4, 7, 7), b=(5,)), opset=11)
    model = load(path)
    assert any("it takes a side of the map away" in refusal.reason for refusal in model.plan.refusals)
    crop = np.ascontiguousarray(IMAGE[:, :, :16, :16])
    np.testing.assert_allclose(model.run(crop)["y"], original(path, crop)[0], atol=1e-6)


def test_a_squeeze_that_is_read_otherwise_stays(tmp_path: Path) -> None:
    body = TRUNK + "m = GlobalAveragePool(p)\nq = Squeeze(m)\nz = Transpose <perm=[0]> (q)\ny = Identity(z)"
    path = write(tmp_path / "net.onnx", body, weights(**TRUNK_WEIGHTS), outputs="float[4] y", opset=13)
    model = load(path)
    assert model.plan.refusals
    crop = np.ascontiguousarray(IMAGE[:, :, :16, :16])
    np.testing.assert_allclose(model.run(crop)["y"], original(path, crop)[0], atol=1e-6)


@pytest.mark.parametrize("order", [(0, 2, 3, 1), (0, 3, 2, 1), (0, 1, 3, 2), (0, 2, 1, 3)])
def test_a_map_of_any_order_is_given_as_rows_and_columns(tmp_path: Path, order: tuple[int, ...]) -> None:
    body = TRUNK + f"k = Conv <kernel_shape=[7,7]> (p, w, b)\ny = Transpose <perm={list(order)}> (k)"
    numbers = weights(**TRUNK_WEIGHTS, w=(5, 4, 7, 7), b=(5,))
    path = write(tmp_path / "net.onnx", body, numbers, outputs="float[n,c,h,w] y", opset=13)
    model = load(path)
    (out,) = model.cast().save(tmp_path / "full.onnx")
    expected = original(out, IMAGE)[0].transpose(np.argsort(order))
    assert expected.shape == (1, 5, 5, 3)
    np.testing.assert_allclose(model.cast().run(IMAGE)["y"], expected, atol=1e-6)


def test_an_output_that_no_image_changes_is_written_as_it_is(tmp_path: Path) -> None:
    body = TRUNK + "f = Flatten(p)\ny = Gemm(f, w, b)\nz = Reshape(b, s)"
    numbers = weights(**TRUNK_WEIGHTS, w=(196, 5), b=(5,)) | ints(s=[1, 5])
    path = write(tmp_path / "net.onnx", body, numbers, outputs="float[1,5] y, float[1,5] z")
    (out,) = load(path).cast().save(tmp_path / "full.onnx")
    made = ort.InferenceSession(out).run(["y", "z"], {"x": np.ones((1, 3, 18, 18), np.float32)})
    assert made[0].shape == (1, 5, 2, 2)
    assert made[1].tolist() == [numbers["b"].tolist()]
