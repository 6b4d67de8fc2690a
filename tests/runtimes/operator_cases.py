"""Calls of ONNX's operators, in every spelling that operator sets have given them: what PyTorch's side is held to ONNX Runtime on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

RNG = np.random.default_rng(0)
F = np.float32


@dataclass(frozen=True)
class Case:
    """One call: its images (fed), its constants by place among the inputs (None: left out), its attributes."""

    kind: str
    images: tuple[np.ndarray, ...]
    constants: dict[int, Any] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    opset: int = 21
    outputs: int = 1

    def __str__(self) -> str:
        return f"{self.kind}-{self.opset} {self.attributes} {sorted(self.constants)}"


def real(*shape: int, low: float = -2.0, high: float = 2.0) -> np.ndarray:
    return RNG.uniform(low, high, shape).astype(F)


def ints(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


MAP = real(2, 4, 7, 9)
OTHER = real(2, 4, 7, 9)
PART = real(4, 1, 1)
INSIDE = real(2, 3, 5, 4, low=-0.9, high=0.9)
ABOVE = real(2, 3, 5, 4, low=1.1, high=3)
MASK = RNG.random((2, 4, 7, 9)) > 0.5


def one(
    kind: str, image: np.ndarray = MAP, opset: int = 21, constants: dict[int, Any] | None = None, **attributes: Any
) -> Case:
    return Case(kind, (image,), constants or {}, attributes, opset)


def two(kind: str, a: np.ndarray = MAP, b: np.ndarray = OTHER, opset: int = 21, **attributes: Any) -> Case:
    return Case(kind, (a, b), {}, attributes, opset)


ELEMENTWISE = [
    *(one(k, INSIDE) for k in ("Abs", "Acos", "Asin", "Atan", "Atanh", "Ceil", "Cos", "Cosh", "Erf", "Exp", "Floor", "Identity", "Neg", "Reciprocal",
                               "Relu", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Tan", "Tanh", "HardSwish", "Mish", "Asinh")),
    *(one(k, ABOVE) for k in ("Log", "Sqrt", "Acosh")),
    one("Softplus", MAP * 30), one("Round", np.array([[-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 0.4]], F)), one("Identity"),
    one("Elu"), one("Elu", alpha=0.3), one("Celu"), one("Celu", alpha=2.0), one("Selu"), one("Selu", alpha=1.2, gamma=0.7), one("LeakyRelu"),
    one("LeakyRelu", alpha=0.3), one("HardSigmoid"), one("HardSigmoid", alpha=0.4, beta=0.1), one("ThresholdedRelu"), one("ThresholdedRelu", alpha=0.5),
    one("Shrink", lambd=0.7, bias=0.2), one("Gelu"), one("Gelu", approximate="tanh"),
    one("PRelu", constants={1: PART}), one("PRelu", constants={1: real(1)}), one("PRelu", constants={1: real(9)}, opset=7),
    *(two(k) for k in ("Add", "Sub", "Mul", "Div", "Min", "Max", "Sum", "Mean")),
    *(one(k, constants={1: PART}) for k in ("Add", "Sub", "Mul", "Div")), one("Sub", constants={1: np.array(0.25, F)}, opset=7),
    Case("Sub", (MAP,), {0: np.array(1.0, F)}), Case("Div", (ABOVE,), {0: np.array(2.0, F)}), Case("Div", (ABOVE,), {0: np.array([2.0], F)}, opset=7),
    Case("Max", (MAP,), {1: PART, 2: np.array(0.1, F)}), Case("Min", (MAP,), {1: np.array(0.1, F)}), Case("Mean", (MAP,), {1: PART, 2: real(9)}),
    Case("Sum", (MAP,), {1: PART, 2: real(9)}),
    Case("Add", (MAP,), {1: real(3, 1, 4, 1, 1)}),  # more axes than the image
    one("Pow", ABOVE, constants={1: np.array(0.75, F)}), one("Pow", MAP, constants={1: np.array(2, np.int64)}), one("Pow", MAP, constants={1: np.array(3.0, F)}, opset=7),
    two("Pow", np.abs(MAP), OTHER),
    one("Mod", constants={1: PART + 3}, fmod=1),
    *(two(k) for k in ("Greater", "GreaterOrEqual", "Less", "LessOrEqual")), two("Equal", MAP, MAP),
    Case("Where", (MAP, OTHER), {0: MASK}), Case("Where", (MAP,), {0: MASK, 2: np.array(0.0, F)}), Case("Where", (MAP,), {0: MASK, 1: PART}),
    one("Clip"), one("Clip", constants={1: np.array(-0.5, F)}), one("Clip", constants={2: np.array(0.5, F)}), one("Clip", constants={1: np.array(0.0, F), 2: np.array(6.0, F)}),
    one("Clip", constants={1: np.array(0.5, F), 2: np.array(-0.5, F)}), one("Clip", opset=7, min=-0.5, max=0.5), one("Clip", opset=7, max=0.5), one("Clip", opset=10),
    *(one("Cast", MAP * 40, to=to) for to in (1, 6, 7, 9, 10, 11)), one("CastLike", constants={1: np.array(1, np.int32)}),
    *(Case(k, (), {0: MASK, 1: ~MASK}) for k in ("And", "Or", "Xor")), Case("Not", (), {0: MASK}),
]  # fmt: skip

KERNEL, BIAS = real(6, 4, 3, 2), real(6)
CONV = [
    *(one("Conv", constants=c, **a) for c in ({1: KERNEL}, {1: KERNEL, 2: BIAS}) for a in (
        {}, {"kernel_shape": [3, 2]}, {"strides": [2, 3]}, {"pads": [1, 2, 1, 2]}, {"pads": [0, 1, 2, 0]}, {"dilations": [2, 3]},
        {"pads": [2, 1, 1, 0], "strides": [2, 1], "dilations": [1, 2]}, {"auto_pad": "VALID"}, {"auto_pad": "NOTSET", "pads": [1, 1, 1, 1]},
        {"auto_pad": "SAME_UPPER"}, {"auto_pad": "SAME_LOWER"}, {"auto_pad": "SAME_UPPER", "strides": [2, 3]}, {"auto_pad": "SAME_LOWER", "strides": [3, 2]},
        {"auto_pad": "SAME_UPPER", "strides": [5, 5]},
    )),
    one("Conv", constants={1: real(4, 1, 3, 3), 2: real(4)}, group=4, pads=[1, 1, 1, 1]), one("Conv", constants={1: real(6, 2, 3, 3)}, group=2, opset=7),
    one("Conv", real(2, 3, 11), constants={1: real(5, 3, 4), 2: real(5)}, pads=[2, 1], strides=[2]),
    one("Conv", real(1, 2, 5, 6, 4), constants={1: real(3, 2, 2, 3, 2)}, pads=[1, 0, 1, 0, 1, 0]),
]  # fmt: skip

TURNED = real(4, 6, 3, 2)
TRANSPOSED = [
    *(one("ConvTranspose", constants={1: TURNED, 2: BIAS}, **a) for a in (
        {}, {"strides": [2, 3]}, {"pads": [1, 1, 1, 1]}, {"pads": [0, 1, 2, 0], "strides": [2, 2]}, {"strides": [2, 2], "output_padding": [1, 1]},
        {"strides": [3, 3], "output_padding": [2, 0], "pads": [1, 0, 0, 1]}, {"dilations": [2, 2]}, {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
        {"strides": [2, 2], "auto_pad": "SAME_LOWER"}, {"strides": [2, 2], "auto_pad": "VALID"}, {"strides": [2, 2], "output_shape": [14, 18]},
        {"strides": [2, 2], "output_shape": [16, 19], "auto_pad": "SAME_UPPER"}, {"kernel_shape": [3, 2], "strides": [1, 2]},
    )),
    one("ConvTranspose", constants={1: real(4, 3, 3, 3)}, group=2, strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1]),
    one("ConvTranspose", real(1, 2, 8), constants={1: real(2, 3, 4)}, strides=[2], pads=[1, 0]),
]  # fmt: skip

FLAT = real(3, 8)
LINEAR = [
    one("Gemm", FLAT, constants={1: real(8, 5), 2: real(5)}), one("Gemm", FLAT, constants={1: real(5, 8), 2: real(5)}, transB=1),
    one("Gemm", FLAT, constants={1: real(5, 8)}, transB=1, alpha=0.5), one("Gemm", FLAT, constants={1: real(8, 5), 2: real(3, 1)}, beta=2.0),
    one("Gemm", FLAT, constants={1: real(5, 8), 2: real(1, 5)}, transB=1), one("Gemm", FLAT, constants={1: real(5, 8), 2: real(1)}, transB=1),
    one("Gemm", FLAT, constants={1: real(3, 5), 2: real(8, 5)}, transA=1, opset=7), one("Gemm", FLAT, constants={1: real(5, 8), 2: real()}, transB=1),
    one("MatMul", FLAT, constants={1: real(8, 5)}), one("MatMul", MAP, constants={1: real(9, 5)}), two("MatMul", MAP, real(2, 4, 9, 3)),
    Case("MatMul", (MAP,), {0: real(5, 7)}), one("Einsum", MAP, constants={1: real(4, 3)}, equation="nchw,ck->nkhw"),
]  # fmt: skip

WINDOWS = [
    {}, {"strides": [2, 3]}, {"pads": [1, 0, 1, 0], "strides": [2, 2]}, {"pads": [0, 1, 2, 0], "strides": [2, 1]}, {"strides": [2, 2], "ceil_mode": 1},
    {"strides": [3, 3], "ceil_mode": 1, "pads": [1, 1, 1, 1]}, {"strides": [2, 3], "ceil_mode": 1, "pads": [0, 1, 1, 0]}, {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
    {"auto_pad": "SAME_LOWER", "strides": [2, 2]}, {"auto_pad": "SAME_UPPER"}, {"auto_pad": "VALID", "strides": [2, 2]},
]  # fmt: skip
DILATED = [{"dilations": [2, 2]}, {"dilations": [2, 3], "strides": [2, 1], "pads": [1, 1, 1, 1]}]
POOLS = [
    *(one("MaxPool", kernel_shape=[3, 2], **a) for a in (*WINDOWS, *DILATED)),
    *(one("AveragePool", kernel_shape=[3, 2], **a) for a in (*WINDOWS, *DILATED)),
    *(one("AveragePool", kernel_shape=[3, 2], count_include_pad=1, **a) for a in WINDOWS),
    *(one("LpPool", kernel_shape=[3, 2], **a) for a in ({}, {"p": 1}, {"p": 3, "strides": [2, 2]}, {"pads": [1, 0, 1, 1]}, {"auto_pad": "SAME_UPPER"})),
    *(one(k, opset=7, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]) for k in ("MaxPool", "AveragePool")),
    one("MaxPool", real(1, 2, 9), kernel_shape=[3], pads=[1, 0], strides=[2]), one("AveragePool", real(1, 2, 5, 6, 4), kernel_shape=[2, 2, 2]),
    one("MaxPool", (MAP * 60).astype(np.int8), kernel_shape=[2, 2], pads=[1, 1, 0, 0]), one("MaxPool", (np.abs(MAP) * 60).astype(np.uint8), kernel_shape=[2, 2]),
    one("GlobalAveragePool"), one("GlobalMaxPool"), one("GlobalLpPool"), one("GlobalLpPool", p=3), one("GlobalAveragePool", real(2, 3, 6)),
]  # fmt: skip

SCALE, SHIFT = real(4), real(4)
STATISTICS = {1: SCALE, 2: SHIFT, 3: real(4), 4: real(4, low=0.3, high=2.0)}
NORMALISATIONS = [
    *(one("BatchNormalization", constants=STATISTICS, opset=o, **a) for o, a in ((7, {}), (9, {"epsilon": 0.1}), (14, {}), (15, {"momentum": 0.5}))),
    one("BatchNormalization", real(3, 4), constants=STATISTICS),
    one("InstanceNormalization", constants={1: SCALE, 2: SHIFT}), one("InstanceNormalization", constants={1: SCALE, 2: SHIFT}, epsilon=0.1, opset=7),
    one("GroupNormalization", constants={1: SCALE, 2: SHIFT}, num_groups=2), one("GroupNormalization", constants={1: SCALE, 2: SHIFT}, num_groups=4, epsilon=0.1),
    one("LayerNormalization", constants={1: real(9), 2: real(9)}), one("LayerNormalization", constants={1: real(4, 7, 9)}, axis=1, epsilon=0.1),
    one("LayerNormalization", constants={1: real(7, 9), 2: real(7, 9)}, axis=-2),
    one("MeanVarianceNormalization"), one("MeanVarianceNormalization", axes=[0, 1, 2, 3]),
    one("LpNormalization"), one("LpNormalization", p=1, axis=1),
    *(one("LRN", size=s, **a) for s in (3, 5, 1) for a in ({}, {"alpha": 0.3, "beta": 0.5, "bias": 2.0})),
    *(one(k, opset=o, **a) for k in ("Softmax", "LogSoftmax", "Hardmax") for o in (7, 11, 13, 21) for a in ({}, {"axis": 1}, {"axis": 2}, {"axis": -1})),
    one("Dropout"), one("Dropout", opset=7, ratio=0.3), one("Dropout", opset=10, ratio=0.3), one("Dropout", constants={1: np.array(0.3, F), 2: np.array(False)}),
]  # fmt: skip

REDUCED = [
    *(one(k, ABOVE, opset=o, **a) for k in ("ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp")
      for o, a in ((11, {"axes": [2, 3]}), (13, {"axes": [-1], "keepdims": 0}), (11, {}))),
    *(one(k, ABOVE, constants=c, **a) for k in ("ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum",
                                               "ReduceLogSumExp", "ReduceSum")
      for c, a in (({1: ints(1)}, {}), ({1: ints(2, -1)}, {"keepdims": 0}), ({}, {}), ({}, {"keepdims": 0}), ({1: ints()}, {"noop_with_empty_axes": 1}), ({}, {"noop_with_empty_axes": 1}))),
    one("ReduceSum", opset=11, axes=[1], keepdims=0), one("ReduceSum", constants={1: ints(1)}, opset=13),
    *(one(k, np.round(MAP), opset=o, **a) for k in ("ArgMax", "ArgMin") for o, a in ((7, {}), (13, {"axis": 1, "keepdims": 0}), (13, {"axis": -1, "select_last_index": 1}))),
    Case("TopK", (MAP,), {1: ints(3)}, {"axis": 1}, outputs=2),
    *(one("CumSum", constants={1: np.array(axis)}, exclusive=own, reverse=back) for axis, own, back in ((2, 0, 0), (-1, 1, 0), (1, 0, 1), (0, 1, 1))),
    Case("TopK", (np.round(real(3, 60)),), {1: ints(20)}, outputs=2), Case("TopK", (np.round(real(3, 60)),), {1: ints(20)}, {"largest": 0}, outputs=2), Case("TopK", (MAP,), {1: ints(2)}, {"largest": 0}, outputs=2), Case("TopK", (MAP,), {}, {"k": 2, "axis": 1}, 9, 2),
]  # fmt: skip

LAID = [
    *(one("Flatten", axis=a) for a in (0, 1, 2, 3, 4, -1)), one("Flatten", opset=7),
    *(one("Reshape", constants={1: ints(*s)}) for s in ((2, -1), (0, -1), (0, 0, 63), (2, 2, 2, 7, 9), (-1, 9), (0, 4, -1, 1))),
    one("Reshape", real(2, 3), constants={1: ints(3, 2)}, allowzero=1), one("Reshape", real(3, 4), constants={1: ints(-1)}, opset=7),
    one("Squeeze", real(2, 1, 3, 1), constants={1: ints(1, -1)}), one("Squeeze", real(2, 1, 3, 1)), one("Squeeze", real(2, 1, 3, 1), opset=11, axes=[3]),
    one("Unsqueeze", constants={1: ints(0, -1)}), one("Unsqueeze", opset=11, axes=[4, 2]), one("Unsqueeze", constants={1: ints(2)}),
    one("Transpose"), one("Transpose", perm=[0, 2, 3, 1]), one("Expand", real(4, 1), constants={1: ints(2, 1, 7)}), one("Expand", real(2, 4, 1), constants={1: ints(4, 1)}),
    two("Concat", axis=1), two("Concat", axis=-1, opset=7), Case("Concat", (MAP,), {1: real(2, 4, 7, 2)}, {"axis": 3}),
    Case("Split", (MAP,), {1: ints(3, 1)}, {"axis": 1}, outputs=2), Case("Split", (MAP,), {}, {"axis": 1, "num_outputs": 2}, 18, 2), Case("Split", (MAP,), {}, {"axis": 2, "num_outputs": 3}, 18, 3),
    Case("Split", (MAP,), {}, {"axis": -1, "split": [4, 5]}, 11, 2), Case("Split", (MAP,), {}, {"axis": 1}, 13, 2),
    *(one("DepthToSpace", real(1, 8, 3, 4), blocksize=2, opset=o, **a) for o, a in ((7, {}), (11, {"mode": "DCR"}), (13, {"mode": "CRD"}))),
    one("SpaceToDepth", real(1, 3, 4, 6), blocksize=2), one("Tile", constants={1: ints(1, 2, 1, 3)}),
    one("Shape"), one("Shape", start=1, end=-1), one("Shape", start=-2), one("Size"),
]  # fmt: skip

MOVED = [
    one("Slice", opset=7, starts=[1, -4], ends=[3, 2**31 - 1], axes=[1, 3]), one("Slice", opset=7, starts=[0, 1], ends=[2, -1]),
    *(one("Slice", constants=dict(enumerate((ints(*n) for n in numbers), 1))) for numbers in (
        ((1,), (3,), (2,)), ((0, 1), (2, 100)), ((0,), (2**63 - 1,), (3,), (2,)), ((-1,), (-(2**63),), (2,), (-1,)), ((5,), (0,), (-2,), (-2,)), ((-2,), (-6,), (3,), (-3,)),
        ((100,), (-100,), (3,), (-2,)), ((-3,), (2**31 - 1,), (-1,)), ((1, 2), (4, 8), (1, 3), (2, 3)), ((8,), (3,), (3,), (-1,)), ((3,), (2,), (3,)),
    )),
    *(one("Gather", constants={1: i}, axis=a) for a in (0, 1, -1) for i in (ints(1, 0, 1), ints(-1, 0), np.array(1, np.int64), np.array(-2, np.int64), np.array([[0, 1], [1, 1]], np.int64), np.array([0, 1], np.int32))),
    one("GatherElements", real(3, 4), constants={1: np.array([[0, -1], [1, 2], [3, 0]], np.int64)}, axis=1),
    one("Pad", constants={1: ints(0, 0, 1, 2, 0, 0, 3, 1)}), one("Pad", constants={1: ints(0, 0, 1, 2, 0, 0, 3, 1), 2: np.array(-7.0, F)}), one("Pad", constants={1: ints(1, 1, 0, 0, 0, 2, 0, 0)}),
    one("Pad", constants={1: ints(0, 0, -1, 2, 0, 0, 0, -3)}), one("Pad", constants={1: ints(1, 2, 3, 4), 3: ints(2, -1)}),
    *(one("Pad", constants={1: ints(0, 1, 3, 2, 0, 2, 4, 1)}, mode=m) for m in ("reflect", "edge", "wrap")),
    *(one("Pad", opset=7, pads=[0, 0, 1, 2, 0, 0, 3, 1], mode=m) for m in ("constant", "reflect", "edge")), one("Pad", opset=10, pads=[0, 0, 1, 2, 0, 0, 3, 1], value=1.5),
]  # fmt: skip

COORDINATES = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric")
RESIZED = [
    *(one("Resize", constants={2: np.array(s, F)}, mode="nearest", coordinate_transformation_mode=c, nearest_mode=n)
      for c in COORDINATES[:4] for n in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil") for s in ([1, 1, 2, 2], [1, 1, 0.6, 1.7])),
    *(one("Resize", constants={2: np.array(s, F)}, mode=m, coordinate_transformation_mode=c)
      for c in COORDINATES for m in ("linear", "cubic") for s in ([1, 1, 2, 2], [1, 1, 2, 3], [1, 1, 0.6, 1.7], [1, 1, 1, 2])),
    *(one("Resize", constants={3: ints(2, 4, 14, 13)}, mode=m, coordinate_transformation_mode=c) for c in COORDINATES[:4] for m in ("nearest", "linear", "cubic")),
    one("Resize", constants={2: np.array([2, 1.5], F)}, mode="linear", axes=[2, 3], opset=18), one("Resize", constants={3: ints(9, 5)}, axes=[2, 3], opset=19),
    one("Resize", constants={2: np.array([1, 1, 2, 2], F)}, mode="cubic", cubic_coeff_a=-0.5), one("Resize", constants={1: np.array([1, 1, 2, 3], F)}, opset=10),
    one("Resize", constants={1: np.array([1, 1, 2, 3], F)}, opset=10, mode="linear"), one("Resize", constants={1: real(0), 2: np.array([1, 1, 2, 2], F)}, opset=11),
    one("Upsample", opset=7, scales=[1.0, 1.0, 2.0, 3.0]), one("Upsample", opset=7, scales=[1.0, 1.0, 2.0, 2.0], mode="linear"),
    one("Upsample", constants={1: np.array([1, 1, 2, 2], F)}, opset=9), one("Upsample", constants={1: np.array([1, 1, 1.5, 2], F)}, opset=9),
]  # fmt: skip

EIGHT = RNG.integers(-128, 127, (2, 4, 7, 9)).astype(np.int8)
QUANTISED = [
    one("DequantizeLinear", EIGHT, constants={1: np.array(0.1, F), 2: np.array(3, np.int8)}), one("DequantizeLinear", EIGHT, constants={1: np.array(0.1, F)}),
    one("DequantizeLinear", EIGHT, constants={1: real(4, low=0.1, high=1.0), 2: np.array([1, 2, 3, 4], np.int8)}, axis=1, opset=13),
    one("QuantizeLinear", constants={1: np.array(0.013, F), 2: np.array(3, np.int8)}), one("QuantizeLinear", constants={1: np.array(0.011, F), 2: np.array(130, np.uint8)}),
    one("QuantizeLinear", np.abs(MAP), constants={1: np.array(0.013, F)}, opset=13), one("QuantizeLinear", constants={1: real(4, low=0.01, high=0.02), 2: np.zeros(4, np.int8)}, axis=1, opset=13),
]  # fmt: skip

HEADS = {
    name: real(2, heads, rows, 8)
    for name, heads, rows in (("q", 6, 5), ("k", 6, 7), ("v", 6, 7), ("few", 2, 7), ("few_v", 2, 7))
}
PLACES = {
    name: real(2, rows, heads * 8) for name, heads, rows in (("q", 6, 5), ("k", 6, 7), ("v", 6, 7), ("few", 2, 7))
}
SEEN = RNG.random((5, 7)) > 0.3
SEEN[:, 0] = True  # a row that sees nothing has no softmax


def attends(*names: str, of: dict[str, np.ndarray] = HEADS, mask: np.ndarray | None = None, **attributes: Any) -> Case:
    images = tuple(of[name] for name in names)
    return Case("Attention", images, {} if mask is None else {3: mask}, attributes, 23)


ATTENDING = [
    attends("q", "k", "v"), attends("q", "k", "v", scale=0.2), attends("q", "few", "few_v"), attends("q", "k", "v", mask=SEEN),
    attends("q", "k", "v", mask=real(5, 7)), attends("q", "k", "v", mask=real(2, 6, 5, 7)), attends("q", "k", "v", is_causal=1),
    attends("q", "k", "v", mask=SEEN, is_causal=1), attends("q", "k", "v", mask=real(5, 7), is_causal=1, scale=0.5),
    attends("q", "k", "v", of=PLACES, q_num_heads=6, kv_num_heads=6), attends("q", "few", "few", of=PLACES, q_num_heads=6, kv_num_heads=2),
]  # fmt: skip
CASES = [
    *ELEMENTWISE, *ATTENDING, *CONV, *TRANSPOSED, *LINEAR, *POOLS, *NORMALISATIONS, *REDUCED, *LAID, *MOVED, *RESIZED, *QUANTISED,
]  # fmt: skip
