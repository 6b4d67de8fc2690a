"""SAME padding as MATLAB's exporter computes it from the image's size: the word that it is, and only where it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import fullconv
from fullconv.errors import CannotCast


def matlab(kernel: int, stride: int, lower: bool = False, twist: str = "") -> onnx.ModelProto:
    """Two padded convolutions, a pool and a dense layer, spelt as MATLAB spells them.

    Args:
        lower: the odd pixel in front.
        twist: what makes of it something else: ``wider`` (a pixel more), ``large`` (a pixel more from 700 px on), ``image`` (of the sum of pixels).
    """
    rng = np.random.default_rng(0)
    nodes: list[onnx.NodeProto] = []
    weights: dict[str, np.ndarray] = {}

    def add(kind: str, inputs: list[str], out: str, **attributes) -> str:
        nodes.append(helper.make_node(kind, inputs, [out], out, **attributes))
        return out

    def number(name: str, values, kind=np.float32) -> str:
        weights[name] = np.asarray(values, kind)
        return name

    def same(x: str, p: str) -> str:
        shape = add("Cast", [add("Shape", [x], p + "Int")], p + "Shape", to=TensorProto.FLOAT)
        steps = number(p + "Stride", [1, 1, stride, stride])
        cells = add(
            "Sub", [add("Ceil", [add("Div", [shape, steps], p + "Div")], p + "Ceil"), number(p + "One", [1])], p + "Sub"
        )
        covered = add(
            "Add", [add("Mul", [cells, steps], p + "Mul"), number(p + "Filter", [1, 1, kernel, kernel])], p + "Add"
        )
        short = add("Relu", [add("Sub", [covered, shape], p + "Short")], p + "Relu")
        if twist == "wider":
            short = add("Add", [short, number(p + "More", [0, 0, 2, 2])], p + "Wider")
        if twist == "large":
            far = add("Relu", [add("Sub", [shape, number(p + "Far", [1e9, 1e9, 700, 700])], p + "Past")], p + "Over")
            short = add(
                "Add",
                [short, add("Ceil", [add("Mul", [far, number(p + "Tiny", [1e-6])], p + "Some")], p + "Step")],
                p + "Large",
            )
        if twist == "image":
            total = add(
                "Floor",
                [add("Mul", [add("ReduceMax", [x], p + "Max", keepdims=0), number(p + "None", [0.0])], p + "Nil")],
                p + "Flo",
            )
            short = add("Add", [short, total], p + "Seen")
        nodes.append(
            helper.make_node(
                "Split",
                [short, number(p + "Parts", [2, 1, 1], np.int64)],
                [p + "N", p + "H", p + "W"],
                p + "Split",
                axis=0,
            )
        )
        two, zero = number(p + "Two", [2]), number(p + "Zero", [0])
        halves = {s: add("Div", [p + s, two], p + s + "Half") for s in "HW"}
        small = [add("Floor", [halves[s]], p + s + "Floor") for s in "HW"]
        large = [add("Ceil", [halves[s]], p + s + "Ceil2") for s in "HW"]
        front, behind = (large, small) if lower else (small, large)
        both = add("Concat", [zero, zero, *front, zero, zero, *behind], p + "Size", axis=0)
        return add(
            "Pad",
            [x, add("Cast", [both], p + "Pads", to=TensorProto.INT64), number(p + "Value", 0)],
            p + "Pad",
            mode="constant",
        )

    def conv(x: str, p: str, channels: int, out: int) -> str:
        weight = number(p + "Weights", rng.normal(0, 0.3, (out, channels, kernel, kernel)))
        done = add(
            "Conv", [same(x, p), weight], p, pads=[0, 0, 0, 0], strides=[stride, stride], kernel_shape=[kernel, kernel]
        )
        return add("Relu", [done], p + "Out")

    x = conv("image", "conv_1_", 2, 4)
    x = add("MaxPool", [x], "pool", kernel_shape=[2, 2], strides=[2, 2])
    x = conv(x, "conv_2_", 4, 5)
    side = 15 if twist == "wider" else -(-(-(-24 // stride) // 2) // stride)
    add("Gemm", [add("Flatten", [x], "flat"), number("fcW", rng.normal(0, 0.2, (5 * side * side, 3)))], "scores")
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 2, 24, 24])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 3])],
        [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (4, 1), (5, 2), (2, 2)])
@pytest.mark.parametrize("lower", [False, True])
def test_padding_by_arithmetic_is_cast(kernel: int, stride: int, lower: bool, tmp_path: Path) -> None:
    message = matlab(kernel, stride, lower)
    onnx.checker.check_model(message, full_check=True)
    model = fullconv.load(message)
    cast = model.cast()  # which holds itself to the file's own answers, at three sizes
    cast.save(tmp_path / "cast.onnx")
    images = np.random.default_rng(1).normal(0, 1, (1, 2, 24, 24)).astype(np.float32)
    import onnxruntime as ort

    expected = ort.InferenceSession(message.SerializeToString(), providers=["CPUExecutionProvider"]).run(
        None, {"image": images}
    )[0]
    found = ort.InferenceSession(tmp_path / "cast.onnx", providers=["CPUExecutionProvider"]).run(
        None, {"image": images}
    )[0]
    np.testing.assert_allclose(found[:, :, 0, 0], expected, rtol=1e-5, atol=1e-5)
    assert [node.op_type for node in message.graph.node].count("Pad") == 2


@pytest.mark.parametrize("twist", ["wider", "large", "image"])
def test_other_arithmetic_is_not_taken_for_it(twist: str) -> None:
    with pytest.raises(CannotCast, match=r"conv_1_Pad: it computes with conv_1_Pads|conv_1_Max: it reduces the batch"):
        fullconv.load(matlab(3, 1, twist=twist)).cast()
