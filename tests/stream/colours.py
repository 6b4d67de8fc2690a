"""A small padded network that says which colour a crop of 24 pixels is most of, and a picture of soft patches: map and crops agree in most cells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

CROP, STRIDE = 24, 4


def network(path: Path, head: str = "Softmax", classes: int = 3, crop: int = CROP, *, lopsided: bool = False) -> Path:
    """An ONNX file; cells differ from their crops by what padding darkens at a crop's rim.

    Args:
        head: Softmax, Sigmoid, or empty for logits.
        classes: 3, or 1: how much redder than green.
        crop: pixels a side.
        lopsided: padded above and on the left alone, behind a pool that leaves the last pixels out.
    """
    kernel = 2 if lopsided else 3
    blur = np.zeros((3, 3, kernel, kernel), np.float32)
    for channel in range(3):
        blur[channel, channel] = 1 / kernel**2
    side = crop // STRIDE
    weigh = np.zeros((classes, 3, side, side), np.float32)
    gains = np.array([60.0, 64.0, 68.0]) / side**2
    if classes == 1:
        weigh[0, 0], weigh[0, 1] = gains[0], -gains[1]
    else:
        for channel in range(3):
            weigh[channel, channel] = gains[channel]
    arrays = {
        "blur": blur,
        "weigh": weigh.reshape(classes, -1),
        "bias": np.linspace(2.0, -2.0, classes, dtype=np.float32),
    }
    nodes, value = [], "image"
    if lopsided:
        nodes += [
            helper.make_node("AveragePool", [value], ["p"], name="p", kernel_shape=[4, 4], strides=[4, 4]),
            helper.make_node("Conv", ["p", "blur"], ["c"], name="c", pads=[1, 1, 0, 0]),
        ]
        value = "c"
    for i in () if lopsided else (1, 2):
        nodes += [
            helper.make_node("Conv", [value, "blur"], [f"c{i}"], name=f"c{i}", pads=[1, 1, 1, 1]),
            helper.make_node("AveragePool", [f"c{i}"], [f"p{i}"], name=f"p{i}", kernel_shape=[2, 2], strides=[2, 2]),
        ]
        value = f"p{i}"
    nodes += [
        helper.make_node("Flatten", [value], ["flat"], name="flat"),
        helper.make_node("Gemm", ["flat", "weigh", "bias"], ["logits"], name="fc", transB=1),
    ]
    if head:
        nodes.append(helper.make_node(head, ["logits"], ["scores"], name="head"))
    name = "scores" if head else "logits"
    graph = helper.make_graph(
        nodes, "colours", [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, crop, crop])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, classes])],
        [numpy_helper.from_array(array, key) for key, array in arrays.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def patches(height: int = 230, width: int = 220, size: int = 30, seed: int = 0) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 256, (height // size + 2, width // size + 2, 3), np.uint8)
    whole = Image.fromarray(small).resize((small.shape[1] * size, small.shape[0] * size), Image.Resampling.BICUBIC)
    return np.asarray(whole)[:height, :width]
