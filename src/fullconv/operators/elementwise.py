"""Operators that act on each number, alone or with others in the same place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fullconv.graph.axes import Axes, Axis, size_of, whole
from fullconv.graph.nodes import Pointwise, Whole
from fullconv.operators.operation import Effect, Operation, opaque
from fullconv.operators.record import Mark, Memory, Operator, words
from fullconv.operators.space import positions, touches_space


def elementwise(op: Operation) -> Effect:
    """Unary operators, and those of several inputs that broadcast."""
    shape, data = op.shape(), [axes for axes in op.axes if axes is not None]
    out = _broadcast(data, shape)
    if out is None:
        return opaque(op, f"it broadcasts {' and '.join(map(str, data))} to {shape}")
    other = next((axes for axes in data if not _lies_in(axes, out)), None)
    if other is not None:
        return opaque(op, f"{other} meets {out}: its positions are others")
    aligned = []
    for i, axes in enumerate(op.axes):
        value = op.constant(i)
        if axes is not None or value is None or value.size == 1 or op.is_sized(i):
            continue  # what follows from the image's size grows with it
        padded = (1,) * (out.rank - value.ndim) + value.shape
        along = [j for j, size in enumerate(padded) if size > 1]
        if touches_space(out, along):
            return Effect(Whole("other", f"{op.input(i)} has a number for each position of the map"), (out,))
        if not out.is_map and along:
            if 1 in out.shape[along[0] :]:
                return opaque(op, f"{op.input(i)} of {value.shape} runs along an axis of {out} that is not the last")
            aligned.append(str(op.input(i)))
    return Effect(Pointwise(), (out,) * len(op.shapes), aligned=tuple(aligned))


def _broadcast(data: Sequence[Axes], shape: tuple[int, ...]) -> Axes | None:
    """The axes of what the inputs give together: where they have the same size, those that know of space."""
    rank = len(shape)
    if max(axes.rank for axes in data) != rank:
        return None
    full = [axes for axes in data if axes.shape == shape]
    if full:
        return max(full, key=lambda axes: sum(atom.is_space for atom in axes.atoms))
    out: list[Axis] = []
    for i, size in enumerate(shape):
        there = [axes.axes[i - rank + axes.rank] for axes in data if i - rank + axes.rank >= 0]
        fits = [axis for axis in there if size_of(axis) == size]
        if not fits and (i == 0 or any(atom.is_space for axis in there for atom in axis)):
            return None
        out.append(max(fits, key=lambda axis: sum(a.is_space for a in axis)) if fits else (whole("c", size),))
    return Axes(tuple(out))


def _lies_in(axes: Axes, out: Axes) -> bool:
    """Whether each of its positions meets the same position of the output, or all of them."""
    behind = out.axes[out.rank - axes.rank :]
    return all(size_of(a) == 1 or positions(a) == positions(b) for a, b in zip(axes.axes, behind, strict=True))


def dropout(op: Operation) -> Effect:
    """Dropout at inference, which changes nothing."""
    training = op.constant(2)
    if op.input(2) and (training is None or np.any(training)):
        return opaque(op, "it drops numbers at random (training_mode)")
    return elementwise(op)


def quantised(op: Operation) -> Effect:
    """QuantizeLinear and DequantizeLinear: one scale, or one for each position of an axis."""
    scale = op.constant(1)
    if scale is None or scale.ndim > 1:
        return opaque(op, "its scale is not one number, or one along an axis")
    if scale.size == 1:
        return Effect(Pointwise(), (op.first,))
    declared = int(op.attribute("axis", 1))
    axis = op.first.index(declared)
    if touches_space(op.first, [axis]):
        return Effect(Whole("other", f"{op.input(1)} has a number for each position of the map"), (op.first,))
    return Effect(Pointwise(axis=axis, from_end=declared < 0), (op.first,))


def attention(op: Operation) -> Effect:
    """Attention: every position reads every other."""
    return opaque(op, "attention: every position reads all others, which no window of a fixed size does")


def expand(op: Operation) -> Effect:
    """Axes of size 1 repeated."""
    axes, shape = op.first, op.shape()
    if len(shape) != axes.rank:
        return opaque(op, f"it lays {axes} out along axes before the batch")
    stated = [] if op.is_sized(1) else (op.ints("shape", 1) or [])
    stated = [1] * (axes.rank - len(stated)) + stated
    if touches_space(axes, (i for i, size in enumerate(stated) if size > 1)) and not _spreads(axes, shape):
        return opaque(op, f"it states height and width as numbers ({'×'.join(map(str, stated))})")
    return _repeated(op)


def tile(op: Operation) -> Effect:
    """Axes of size 1 repeated, which an Expand does too; of others, copies side by side, which no window does."""
    axes, shape = op.first, op.shape()
    if len(shape) != axes.rank:
        return opaque(op, f"it lays {axes} out along axes before the batch")
    if any(axes.shape[i] not in (1, shape[i]) for i in range(axes.rank)):
        return opaque(op, f"it lays copies of {axes} side by side ({'×'.join(map(str, shape))})")
    return _repeated(op)


def _repeated(op: Operation) -> Effect:
    axes, shape = op.first, op.shape()
    grown = [i for i in range(axes.rank) if axes.shape[i] != shape[i]]
    if 0 in grown or _spreads(axes, shape):
        return opaque(op, f"it spreads one cell of {axes} over {'×'.join(map(str, shape))}")
    if not axes.is_map and len(grown) > 1:
        return opaque(op, f"it repeats several axes of {axes}")
    out = Axes(tuple((whole(f"e{i}", shape[i]),) if i in grown else axis for i, axis in enumerate(axes.axes)))
    along = grown[0] if len(grown) == 1 else None
    return Effect(Pointwise(axis=along, from_end=along is not None and not axes.is_map), (out,))


def _spreads(axes: Axes, shape: tuple[int, ...]) -> bool:
    """Whether height or width grows from one cell."""
    return any(atom.is_space for i in range(axes.rank) if axes.shape[i] != shape[i] for atom in axes.axes[i])


_OLD = {"axis": (), "broadcast": (0,)}  # of operator sets that are not read


def _unary(kind: str, harmless: str = "", memory: Memory = "cellwise") -> Operator:
    return Operator(kind, elementwise, harmless=words(harmless) | {"consumed_inputs"}, memory=memory)


def _binary(kind: str, harmless: str = "", memory: Memory = "cellwise") -> Operator:
    more = words(harmless) | {"consumed_inputs"}
    return Operator(kind, elementwise, ("data", "data"), harmless=more, refused=_OLD, memory=memory)


def _several(
    kind: str, inputs: tuple[Mark, ...] = ("data",), memory: Memory = "cellwise", harmless: str = ""
) -> Operator:
    more = words(harmless) | {"consumed_inputs"}
    return Operator(kind, elementwise, inputs, variadic=len(inputs) == 1, harmless=more, memory=memory)


OPERATORS = (
    *(
        _unary(kind)
        for kind in (
            "Abs", "Ceil", "Cos", "Erf", "Exp", "Floor", "HardSwish", "Log", "Mish", "Neg", "Reciprocal", "Relu", "Round", "Sigmoid", "Sin",
            "Softplus", "Softsign", "Sqrt", "Tanh",
        )
    ),
    *(_unary(kind, memory="own") for kind in ("Acos", "Asin", "Atan", "Cosh", "Not", "Sign", "Sinh", "Tan")),
    _unary("Cast", "to saturate round_mode"),
    _unary("Celu", "alpha"),
    _unary("Elu", "alpha"),
    _unary("Gelu", "approximate"),
    _unary("HardSigmoid", "alpha beta"),
    _unary("LeakyRelu", "alpha"),
    _unary("Selu", "alpha gamma"),
    _unary("Swish", "alpha", memory="own"),
    _unary("ThresholdedRelu", "alpha", memory="own"),
    _unary("Identity", memory="moved"),
    *(_binary(kind) for kind in ("Add", "Div", "Mul", "PRelu", "Pow", "Sub")),
    *(
        _binary(kind, memory="own")
        for kind in ("And", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Or", "Xor")
    ),
    _binary("CastLike", "saturate round_mode", memory="own"),
    _binary("Mod", "fmod", memory="own"),
    *(_several(kind) for kind in ("Max", "Min", "Sum")),
    _several("Mean", memory="own"),
    _several("Clip", ("data", "data", "data"), harmless="min max"),
    _several("Where", ("data", "data", "data")),
    Operator(
        "Dropout", dropout, ("data", "harmless", "read"), harmless=words("ratio seed is_test consumed_inputs"), memory="moved"
    ),
    Operator(
        "DequantizeLinear", quantised, ("data", "read", "read"), read=words("axis"), harmless=words("output_dtype"), refused={"block_size": (0,)}
    ),
    Operator(
        "QuantizeLinear", quantised, ("data", "read", "read"), read=words("axis"), harmless=words("output_dtype precision saturate"),
        refused={"block_size": (0,)},
    ),
    Operator(
        "Attention", attention, variadic=True,
        read=words(
            "is_causal kv_num_heads left_window_size q_num_heads qk_matmul_output_mode right_window_size scale softcap softmax_precision"
        ),
    ),
    Operator("Expand", expand, ("data", "size"), read=words("shape")),
    Operator("Tile", tile, ("data", "read", "refused"), read=words("repeats")),
)  # fmt: skip
