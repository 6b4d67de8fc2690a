"""Operator names to rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fullconv.formats.rules import layout, linear, pointwise, window
from fullconv.formats.rules.operation import Effect, Operation, opaque
from fullconv.graph.axes import AxesError

_ELEMENTWISE = [
    "Abs",
    "Acos",
    "Add",
    "And",
    "Asin",
    "Atan",
    "Cast",
    "CastLike",
    "Ceil",
    "Celu",
    "Clip",
    "Cos",
    "Cosh",
    "DequantizeLinear",
    "Div",
    "Dropout",
    "Elu",
    "Equal",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "Greater",
    "GreaterOrEqual",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "LeakyRelu",
    "Less",
    "LessOrEqual",
    "Log",
    "Max",
    "Mean",
    "Min",
    "Mish",
    "Mod",
    "Mul",
    "Neg",
    "Not",
    "Or",
    "PRelu",
    "Pow",
    "QuantizeLinear",
    "Reciprocal",
    "Relu",
    "Round",
    "Selu",
    "Sigmoid",
    "Sign",
    "Sin",
    "Sinh",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Sub",
    "Sum",
    "Swish",
    "Tan",
    "Tanh",
    "ThresholdedRelu",
    "Where",
    "Xor",
]

RULES: Mapping[str, Callable[[Operation], Effect]] = {
    **dict.fromkeys(_ELEMENTWISE, pointwise.elementwise),
    **dict.fromkeys(("Conv", "ConvTranspose"), window.convolution),
    **dict.fromkeys(("MaxPool", "AveragePool", "LpPool"), window.pool),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"), window.global_pool),
    **dict.fromkeys(("Flatten", "Reshape", "Squeeze", "Unsqueeze"), layout.reshape),
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax", "LpNormalization"), pointwise.along),
    **dict.fromkeys(("ArgMax", "ArgMin", "TopK"), pointwise.choose),
    **dict.fromkeys(("InstanceNormalization", "GroupNormalization", "MeanVarianceNormalization"), pointwise.statistics),
    **dict.fromkeys(
        (
            "ReduceMean",
            "ReduceMax",
            "ReduceMin",
            "ReduceSum",
            "ReduceProd",
            "ReduceL1",
            "ReduceL2",
            "ReduceVariance",
            "ReduceOther",
        ),
        pointwise.reduce,
    ),
    **dict.fromkeys(("Gemm", "MatMul"), linear.linear),
    "BatchNormalization": pointwise.by_channel,
    "Concat": pointwise.join,
    "Gather": pointwise.gather,
    "LRN": pointwise.by_channel,
    "LayerNormalization": pointwise.layer_normalization,
    "Pad": window.pad,
    "Slice": pointwise.cut,
    "Split": pointwise.split,
    "Transpose": layout.transpose,
    "Resize": window.resize,
    "Upsample": window.resize,
    "SpaceToDepth": window.blocks,
    "DepthToSpace": window.blocks,
    # Words of our own, for operators of other formats that ONNX writes with several:
    "AdaptivePool": window.adaptive,
    "Attention": pointwise.attention,
    "Expand": pointwise.expand,
    "ReduceOver": pointwise.within,
    "Select": layout.select,
    "Stack": layout.stack,
}


_SEVERAL = {
    *_ELEMENTWISE,
    "Attention",
    "Concat",
    "Gather",
    "Gemm",
    "MatMul",
    "Stack",
}  # those that may read the image's data at any input


def effect_of(op: Operation) -> Effect:
    """What the operator does to its axes; Opaque, with the reason, where no rule says."""
    rule = RULES.get(op.kind)
    if rule is None:
        return opaque(op, f"{op.kind} has no rule: how it moves over an image is not known")
    others = [str(op.input(i)) for i, axes in enumerate(op.axes) if i and axes is not None]
    if op.kind not in _SEVERAL and (others or op.axes[0] is None):
        return opaque(op, f"{', '.join(others) or 'its parameters'} should be constant and follow from the image")
    try:
        return rule(op)
    except AxesError as error:
        return opaque(op, str(error))
