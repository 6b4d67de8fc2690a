"""Operators on 8-bit numbers (QLinearConv and its kin) in the words of those that they quantise, for the rules on axes.

Scales and zero points are one number each, or one an output channel: they change values and no axes. Weight matrices and pools
over the map have no such words here, since a cast would have to write them anew: they stay without a rule.
"""

from __future__ import annotations

from dataclasses import replace

from fullconv.operators.operation import Operation

_MICROSOFT = "com.microsoft."
# Name to the plain operator, its inputs that are data or weights, and those of one number that must be constant.
_WORDS: dict[str, tuple[str, tuple[int, ...]]] = {
    "QLinearConv": ("Conv", (0, 3)),
    "ConvInteger": ("Conv", (0, 1)),
    f"{_MICROSOFT}QLinearAdd": ("Add", (0, 3)),
    f"{_MICROSOFT}QLinearMul": ("Mul", (0, 3)),
    f"{_MICROSOFT}QLinearLeakyRelu": ("LeakyRelu", (0,)),
    f"{_MICROSOFT}QLinearSigmoid": ("Sigmoid", (0,)),
    f"{_MICROSOFT}QuantizeLinear": ("QuantizeLinear", (0, 1, 2)),
    f"{_MICROSOFT}DequantizeLinear": ("DequantizeLinear", (0, 1, 2)),
    f"{_MICROSOFT}QLinearAveragePool": ("AveragePool", (0,)),
}


def respelt(op: Operation) -> Operation:
    """The operator in plain words; itself where it has none, or where a scale comes from the image."""
    words = _WORDS.get(op.kind)
    joined = (
        op.kind == f"{_MICROSOFT}QLinearConcat"
    )  # scale and zero point of the output, then data, scale, zero point of each
    if words is None and not joined:
        return op
    kind, kept = words or ("Concat", tuple(range(2, len(op.names), 3)))
    others = [i for i in range(len(op.names)) if i not in kept]
    if any(op.axes[i] is not None or op.is_sized(i) for i in others) or (op.attributes.get("channels_last", 0)):
        return op
    return replace(
        op,
        kind=kind,
        names=tuple(op.names[i] for i in kept if i < len(op.names)),
        axes=tuple(op.axes[i] for i in kept if i < len(op.axes)),
    )
