"""Operators spelt in torch are ONNX Runtime's, in every spelling, with every attribute; and none that fullconv casts is forgotten."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper

from fullconv.errors import CannotRun
from fullconv.operators import OPERATORS
from fullconv.runtimes.lowered import Lowered

torch = pytest.importorskip("torch")

from fullconv.runtimes.torch.module import inferring, trained  # noqa: E402
from fullconv.runtimes.torch.operators import SPELT  # noqa: E402
from fullconv.runtimes.trainable import Trainable  # noqa: E402
from tests.operators.test_records import OURS  # noqa: E402
from tests.runtimes.operator_cases import CASES, MAP, Case, ints, one, real  # noqa: E402


def lowered(case: Case) -> Lowered:
    images = iter(f"x{i}" for i in range(len(case.images)))
    count = len(case.images) + len(case.constants)
    last = max([count - 1, *case.constants])
    names = []
    for i in range(last + 1):
        constant = case.constants.get(i)
        names.append(f"c{i}" if constant is not None else next(images, ""))
    outputs = [f"y{i}" for i in range(case.outputs)]
    node = helper.make_node(case.kind, names, outputs, name="node", **case.attributes)
    constants = [numpy_helper.from_array(np.asarray(value), f"c{i}") for i, value in case.constants.items()]
    inputs = {f"x{i}": image.shape for i, image in enumerate(case.images)}
    return Lowered([node], constants, inputs, {y: y for y in outputs}, {}, False, opsets={"": case.opset})


def by_onnx_runtime(case: Case, form: Lowered) -> list[np.ndarray]:
    inputs = [
        helper.make_tensor_value_info(f"x{i}", helper.np_dtype_to_tensor_dtype(image.dtype), image.shape)
        for i, image in enumerate(case.images)
    ]
    outputs = [onnx.ValueInfoProto(name=y) for y in form.outputs]
    graph = helper.make_graph(list(form.nodes), "one", inputs, outputs, list(form.constants))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", case.opset)], ir_version=10)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {f"x{i}": image for i, image in enumerate(case.images)})


def by_torch(case: Case, module: torch.nn.Module) -> list[np.ndarray]:
    with torch.no_grad():
        found = module(*(torch.from_numpy(image.copy()) for image in case.images))
    many = isinstance(found, tuple) and case.outputs > 1
    return [np.asarray(value) for value in (found if many else [found])]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_operator_is_onnx_runtimes(case: Case) -> None:
    form = lowered(case)
    wanted = by_onnx_runtime(case, form)
    floats = {c.name: c.name for c in form.constants if c.data_type == onnx.TensorProto.FLOAT}
    modules = [
        inferring(form, list(form.outputs), "one"),
        trained(Trainable(form, floats, frozenset(floats)), list(form.outputs), "one"),
    ]
    for module in modules:
        given = by_torch(case, module)
        for own, want in zip(given, wanted, strict=True):
            assert own.shape == want.shape
            if want.dtype.kind != "f":
                np.testing.assert_array_equal(own, want)
            else:
                scale = max(1.0, float(np.abs(want[np.isfinite(want)]).max(initial=0)))
                np.testing.assert_allclose(own / scale, want / scale, rtol=0, atol=2e-6)


def test_every_operator_that_is_cast_is_spelt() -> None:
    assert set(OPERATORS) - OURS - {kind for _, kind in SPELT} == set()


def test_every_spelling_is_tried() -> None:
    elsewhere = {"Swish", "IsNaN", "ConstantOfShape"}
    assert {kind for domain, kind in SPELT if not domain} - {case.kind for case in CASES} == elsewhere


def test_what_onnx_runtime_lacks_is_onnxs_reference() -> None:
    case = one("Swish", opset=24, alpha=0.7)
    module = inferring(lowered(case), ["y0"], "one")
    np.testing.assert_allclose(by_torch(case, module)[0], MAP / (1 + np.exp(-0.7 * MAP)), atol=1e-6)


REFUSED = [
    (one("Attention", real(1, 2, 3, 4), constants={1: real(1, 2, 3, 4), 2: real(1, 2, 3, 4)}, opset=23, softcap=2.0), "softcap"),
    (one("Attention", real(1, 2, 3, 4), constants={1: real(1, 2, 3, 4), 2: real(1, 2, 3, 4)}, opset=23, softmax_precision=10), "another precision"),
    (one("Attention", real(1, 2, 3, 4), constants={i: real(1, 2, 3, 4) for i in (1, 2, 4, 5)}, opset=23), "keys and values of before"),
    (Case("Attention", (real(1, 2, 3, 4),), {i: real(1, 2, 3, 4) for i in (1, 2)}, {}, 23, outputs=4), "more than its answers"),
    (one("NonZero"), "no record spells it"),
    (one("BatchNormalization", constants={1: real(4), 2: real(4), 3: real(4), 4: real(4)}, training_mode=1), "its own batch"),
    (one("Resize", constants={2: np.array([1, 1, 0.5, 0.5], np.float32)}, mode="linear", antialias=1), "antialiasing"),
    (one("Resize", constants={2: np.array([1, 1, 2, 2], np.float32)}, coordinate_transformation_mode="half_pixel_symmetric"), "ties"),
    (one("Resize", constants={1: real(8), 2: np.array([1, 1, 2, 2], np.float32)}, coordinate_transformation_mode="tf_crop_and_resize"), "tf_crop_and_resize"),
    (one("Resize", constants={2: np.array([1, 1, 2, 2], np.float32)}, mode="cubic", exclude_outside=1), "cells from outside"),
    (one("DequantizeLinear", MAP.astype(np.int8), constants={1: real(2, 4, 7, 3)}, axis=3, block_size=3), "each block"),
    (one("Dropout", constants={1: np.array(0.5, np.float32), 2: np.array(True)}), "at inference too"),
    (Case("MaxPool", (MAP,), {}, {"kernel_shape": [2, 2]}, outputs=2), "where its maxima lie"),
    (Case("Slice", (MAP, ints(0)), {2: ints(3)}), "neither constant nor computed"),
    (one("Cast", to=18), "casts to FLOAT8"),
    (one("Conv", constants={1: real(6, 4, 3, 3)}, auto_pad="SAME"), "auto_pad SAME"),
]  # fmt: skip


@pytest.mark.parametrize(("case", "told"), REFUSED, ids=lambda v: str(v) if isinstance(v, Case) else "")
def test_what_is_not_spelt_is_refused_by_name(case: Case, told: str) -> None:
    form = lowered(case)
    with pytest.raises(CannotRun, match=f"node: {case.kind} is not spelt in PyTorch here: .*{told}"):
        inferring(form, list(form.outputs), "a net")
