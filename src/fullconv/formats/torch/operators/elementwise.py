"""Operators that act on each number, alone or with others in the same place."""

from __future__ import annotations

import math
from collections.abc import Callable

from fullconv.formats.torch.operators.call import Call, Emit, Emitter, Spelling, spells

_SAME = {
    "abs": "Abs",
    "ceil": "Ceil",
    "cos": "Cos",
    "erf": "Erf",
    "exp": "Exp",
    "floor": "Floor",
    "log": "Log",
    "neg": "Neg",
    "reciprocal": "Reciprocal",
    "relu": "Relu",
    "round": "Round",
    "selu": "Selu",
    "sigmoid": "Sigmoid",
    "sign": "Sign",
    "sin": "Sin",
    "sqrt": "Sqrt",
    "tan": "Tan",
    "tanh": "Tanh",
    "hardswish": "HardSwish",
}
_COMPOSED: dict[str, Emit] = {
    "square": lambda b, x: b.op("Mul", x, x),
    "rsqrt": lambda b, x: b.op("Reciprocal", b.op("Sqrt", x)),
    "silu": lambda b, x: b.op("Mul", x, b.op("Sigmoid", x)),
    "mish": lambda b, x: b.op("Mul", x, b.op("Tanh", b.op("Softplus", x))),
    "relu6": lambda b, x: b.op("Clip", x, b.floats(0), b.floats(6)),
    "log_sigmoid": lambda b, x: b.op("Neg", b.op("Softplus", b.op("Neg", x))),
    "hardsigmoid": lambda b, x: b.op("HardSigmoid", x, alpha=1 / 6, beta=0.5),
    "expm1": lambda b, x: b.op("Sub", b.op("Exp", x), b.floats(1)),
    "log1p": lambda b, x: b.op("Log", b.op("Add", x, b.floats(1))),
}


def _unary(name: str, emit: Emit) -> None:
    spells(f"{name}.default")(lambda call: Spelling("Relu", (call.first,), emit=emit))


for _name, _op in _SAME.items():
    _unary(_name, lambda b, x, op=_op: b.op(op, x))
for _name, _emit in _COMPOSED.items():
    _unary(_name, _emit)


@spells(
    "dropout", "feature_dropout", "alpha_dropout", "contiguous", "clone", "alias", "detach", "lift_fresh_copy", "to.dtype",
    "to.device", "to.dtype_layout", "type_as", "_to_copy", "native_dropout", "detach_",
)  # fmt: skip
def identity(call: Call) -> Spelling:
    """What changes no number at inference; the engine computes in float32 throughout."""
    return Spelling("Identity", (call.first,), emit=lambda b, x: x)


@spells("gelu")
def gelu(call: Call) -> Spelling:
    """0.5 · x · (1 + erf(x / √2)), or its form by tanh."""

    def emit(b: Emitter, x: str) -> str:
        if call["approximate"] == "tanh":
            cubed = b.op("Mul", b.op("Mul", b.op("Mul", x, x), x), b.floats(0.044715))
            inner = b.op("Tanh", b.op("Mul", b.op("Add", x, cubed), b.floats(math.sqrt(2 / math.pi))))
        else:
            inner = b.op("Erf", b.op("Div", x, b.floats(math.sqrt(2))))
        return b.op("Mul", b.op("Mul", x, b.op("Add", inner, b.floats(1))), b.floats(0.5))

    return Spelling("Relu", (call["self"],), emit=emit)


@spells("leaky_relu")
def leaky_relu(call: Call) -> Spelling:
    """x, or slope · x below 0."""
    slope = float(call["negative_slope"])
    return Spelling("Relu", (call["self"],), emit=lambda b, x: b.op("LeakyRelu", x, alpha=slope))


@spells("elu")
def elu(call: Call) -> Spelling:
    """x, or scale · alpha · (exp(x · input_scale) - 1) below 0."""
    alpha, scale, inner = (float(call[name]) for name in ("alpha", "scale", "input_scale"))

    def emit(b: Emitter, x: str) -> str:
        if inner == 1:
            return b.scaled(b.op("Elu", x, alpha=alpha), scale)
        low = b.scaled(b.op("Elu", b.op("Min", b.scaled(x, inner), b.floats(0)), alpha=alpha), scale)
        return b.op("Add", b.scaled(b.op("Relu", x), scale), low)

    return Spelling("Relu", (call["self"],), emit=emit)


@spells("celu")
def celu(call: Call) -> Spelling:
    """x, or alpha · (exp(x / alpha) - 1) below 0."""
    return Spelling("Relu", (call["self"],), emit=lambda b, x: b.op("Celu", x, alpha=float(call["alpha"])))


@spells("softplus")
def softplus(call: Call) -> Spelling:
    """log(1 + exp(beta · x)) / beta, x itself past the threshold, where the two are equal in float32."""
    beta = float(call["beta"])
    return Spelling("Relu", (call["self"],), emit=lambda b, x: b.scaled(b.op("Softplus", b.scaled(x, beta)), 1 / beta))


@spells("hardtanh", "clamp", "clamp_min", "clamp_max", "clip")
def clamp(call: Call) -> Spelling:
    """Between two numbers."""
    low, high = (call.get("min", call.get("min_val")), call.get("max", call.get("max_val")))
    limits = [None if v is None else float(v) for v in (low, high)]

    def emit(b: Emitter, x: str) -> str:
        return b.op("Clip", x, *("" if v is None else b.floats(v) for v in limits))

    return Spelling("Relu", (call["self"],), emit=emit)


@spells("threshold")
def threshold(call: Call) -> Spelling:
    """x above a number, another number elsewhere."""
    limit, value = float(call["threshold"]), float(call["value"])
    return Spelling(
        "Relu",
        (call["self"],),
        emit=lambda b, x: b.op("Where", b.op("Greater", x, b.floats(limit)), x, b.floats(value)),
    )


@spells("prelu", "_prelu_kernel")
def prelu(call: Call) -> Spelling:
    """A slope a channel below 0; channels are axis 1 whatever the rank."""
    x, slope = call["self"], call["weight"]
    rank, count = call.rank(x), call.shape(slope)
    laid = [*count, *[1] * (rank - 1 - len(count))] if math.prod(count) > 1 and len(count) == 1 else None

    def emit(b: Emitter, x: str, weight: str) -> str:
        return b.op("PRelu", x, weight if laid is None else b.reshape(weight, *laid))

    return Spelling("BatchNormalization", (x, slope), emit=emit)


@spells("glu")
def glu(call: Call) -> Spelling:
    """Half of the channels gated by the other half."""
    axis = int(call["dim"])

    def emit(b: Emitter, x: str) -> str:
        a, gate = b.ops("Split", x, count=2, axis=axis)
        return b.op("Mul", a, b.op("Sigmoid", gate))

    return Spelling("ReduceOver", (call["self"],), {"axis": axis}, emit)


# Two inputs and more ------------------------------------------------------------------------------


def _binary(names: str, op: str) -> None:
    spells(*names.split())(lambda call: Spelling("Add", (call["self"], call["other"]), emit=_scaled(call, op)))


def _scaled(call: Call, op: str) -> Callable[[Emitter, str, str], str]:
    alpha = float(call.get("alpha", 1) or 1)
    return lambda b, x, y: b.op(op, x, b.scaled(y, alpha))


_binary("add.Tensor add.Scalar", "Add")
_binary("sub.Tensor sub.Scalar subtract.Tensor", "Sub")
_binary("mul.Tensor mul.Scalar multiply.Tensor", "Mul")
_binary("div.Tensor div.Scalar divide.Tensor true_divide.Tensor", "Div")
_binary("maximum.default max.other", "Max")
_binary("minimum.default min.other", "Min")


@spells("rsub.Scalar", "rsub.Tensor")
def rsub(call: Call) -> Spelling:
    """other - alpha · self."""
    alpha = float(call["alpha"])
    return Spelling("Add", (call["self"], call["other"]), emit=lambda b, x, y: b.op("Sub", y, b.scaled(x, alpha)))


@spells("pow.Tensor_Scalar", "pow.Tensor_Tensor")
def power(call: Call) -> Spelling:
    """self to the power of a number or a tensor."""
    return Spelling("Add", (call["self"], call["exponent"]), emit=lambda b, x, y: b.op("Pow", x, y))


@spells("addcmul")
def addcmul(call: Call) -> Spelling:
    """self + value · tensor1 · tensor2."""
    value = float(call["value"])
    return Spelling(
        "Add", (call["self"], call["tensor1"], call["tensor2"]),
        emit=lambda b, x, y, z: b.op("Add", x, b.scaled(b.op("Mul", y, z), value)),
    )  # fmt: skip


@spells("where.self", "where.ScalarOther")
def where(call: Call) -> Spelling:
    """One or the other, by a condition."""
    return Spelling(
        "Where", (call["condition"], call["self"], call["other"]), emit=lambda b, c, x, y: b.op("Where", c, x, y)
    )


@spells("gt.Scalar", "gt.Tensor", "lt.Scalar", "lt.Tensor", "ge.Scalar", "le.Scalar")
def compare(call: Call) -> Spelling:
    """Greater or less than a number or a tensor."""
    name = str(call.node.target).split(".")[1]
    op = {"gt": "Greater", "lt": "Less", "ge": "GreaterOrEqual", "le": "LessOrEqual"}[name]
    return Spelling("Add", (call["self"], call["other"]), emit=lambda b, x, y: b.op(op, x, y))
