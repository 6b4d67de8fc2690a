"""Operators that act on each number, alone or with others in the same place."""

from __future__ import annotations

from fullconv.graph.axes import Axes, size_of, whole
from fullconv.graph.nodes import Pointwise, Whole
from fullconv.operators.operation import Effect, Operation, opaque
from fullconv.operators.record import Mark, Memory, Operator, words


def elementwise(op: Operation) -> Effect:
    """Unary operators, and those of several inputs that broadcast."""
    shape = op.shape()
    out = next((axes for axes in op.axes if axes is not None and axes.shape == shape), None)
    if out is None:
        out = _broadcast([axes for axes in op.axes if axes is not None], shape)
        if out is None:
            return opaque(op, f"it broadcasts {' and '.join(str(a) for a in op.axes if a)} to {shape}")
    aligned = []
    for i, axes in enumerate(op.axes):
        value = op.constant(i)
        if axes is not None or value is None or value.size == 1 or op.is_sized(i):
            continue  # what follows from the image's size grows with it
        padded = (1,) * (out.rank - value.ndim) + value.shape
        for size, atoms in zip(padded, out.axes, strict=False):
            if size > 1 and size_of(atom for atom in atoms if atom.is_space) > 1:
                return Effect(Whole("other", f"{op.input(i)} has a number for each position of the map"), (out,))
        if not out.is_map and max(padded) > 1:
            aligned.append(str(op.input(i)))
    return Effect(Pointwise(), (out,) * len(op.shapes), aligned=tuple(aligned))


def _broadcast(inputs: list[Axes], shape: tuple[int, ...]) -> Axes | None:
    if any(axes.rank > len(shape) for axes in inputs):
        return None
    out = []
    for i in range(len(shape)):
        choices = [a.axes[i - len(shape) + a.rank] for a in inputs if i - len(shape) + a.rank >= 0]
        choices = [atoms for atoms in choices if size_of(atoms) == shape[i]]
        if not choices:
            return None
        out.append(choices[0])
    return Axes(tuple(out))


def attention(op: Operation) -> Effect:
    """Attention: every position reads every other."""
    return opaque(op, "attention: every position reads all others, which no window of a fixed size does")


def expand(op: Operation) -> Effect:
    """Axes of size 1 repeated."""
    axes, shape = op.first, op.shape()
    lead = ((),) * (len(shape) - axes.rank)
    out = []
    for i, (atoms, size) in enumerate(zip((*lead, *axes.axes), shape, strict=True)):
        same = size_of(atoms) == size
        if not same and any(atom.is_space for atom in atoms):
            return opaque(op, f"it spreads one cell of {axes} over {'×'.join(map(str, shape))}")
        out.append(atoms if same else (whole(f"e{i}", size),))
    return Effect(Pointwise(), (Axes(tuple(out)),))


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
    _several("Dropout", ("data", "harmless", "read"), "moved", "ratio seed is_test"),
    Operator(
        "DequantizeLinear", elementwise, ("data", "read", "read"), read=words("axis"), harmless=words("output_dtype"), refused={"block_size": (0,)}
    ),
    Operator(
        "QuantizeLinear", elementwise, ("data", "read", "read"), read=words("axis"), harmless=words("output_dtype precision saturate"),
        refused={"block_size": (0,)},
    ),
    Operator(
        "Attention", attention, variadic=True,
        read=words(
            "is_causal kv_num_heads left_window_size q_num_heads qk_matmul_output_mode right_window_size scale softcap softmax_precision"
        ),
    ),
    Operator("Expand", expand, ("data", "size"), read=words("shape")),
)  # fmt: skip
