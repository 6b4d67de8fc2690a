"""Operators that act on each number, alone or with others in the same place."""

from __future__ import annotations

import math
from collections.abc import Callable

from fullconv.formats.torch.operators.call import Call, Emit, Emitter, NotLowered, Spelling, Unspelt, spells, unwritten

_EQUAL = 20  # from here on log(1 + exp(x)) is x in float32
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
    "asinh": "Asinh",
    "atan": "Atan",
    "sinh": "Sinh",
    "cosh": "Cosh",
    "asin": "Asin",
    "acos": "Acos",
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
    "log2": lambda b, x: b.scaled(b.op("Log", x), 1 / math.log(2)),
    "log10": lambda b, x: b.scaled(b.op("Log", x), 1 / math.log(10)),
    "exp2": lambda b, x: b.op("Pow", b.floats(2), x),
    "trunc": lambda b, x: b.op("Mul", b.op("Sign", x), b.op("Floor", b.op("Abs", x))),
    "frac": lambda b, x: b.op("Sub", x, b.op("Mul", b.op("Sign", x), b.op("Floor", b.op("Abs", x)))),
}


def _unary(name: str, emit: Emit) -> None:
    spells(f"{name}.default", reads="self")(lambda call: Spelling("Relu", (call["self"],), emit=emit))


for _name, _op in _SAME.items():
    _unary(_name, lambda b, x, op=_op: b.op(op, x))
for _name, _emit in _COMPOSED.items():
    _unary(_name, _emit)


@spells("dropout", "feature_dropout", "alpha_dropout", reads="input train", harmless="p")
def dropout(call: Call) -> Spelling:
    """Nothing at inference."""
    if call["train"] is True:
        raise Unspelt("it drops values at inference too")
    return Spelling("Identity", (call["input"],), emit=lambda b, x: x)


@spells(
    "contiguous",
    "clone",
    "alias",
    "detach",
    "detach_",
    "lift_fresh_copy",
    reads="self",
    harmless="memory_format",
    kinds="any",
)
def identity(call: Call) -> Spelling:
    """What changes no number."""
    return Spelling("Identity", (call["self"],), emit=lambda b, x: x)


@spells(
    "to.dtype", "to.device", "to.dtype_layout", "type_as", "_to_copy", reads="self dtype other", kinds="any", refuses="layout",
    harmless="device non_blocking copy memory_format pin_memory",
)  # fmt: skip
def convert(call: Call) -> Spelling:
    """Another kind of number: what every operator's inputs are made, its output's, says it. The engine has one width of each kind."""
    if call.node in call.known.narrow and call.kind(call["self"]) != "bool":  # larger numbers wrap around
        return Spelling("Identity", (call["self"],), emit=unwritten)
    return Spelling("Identity", (call["self"],), emit=lambda b, x: x)


@spells("gelu", reads="self approximate")
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


@spells("leaky_relu", reads="self negative_slope")
def leaky_relu(call: Call) -> Spelling:
    """x, or slope · x below 0."""
    slope = float(call["negative_slope"])
    return Spelling("Relu", (call["self"],), emit=lambda b, x: b.op("LeakyRelu", x, alpha=slope))


@spells("elu", reads="self alpha scale input_scale")
def elu(call: Call) -> Spelling:
    """x, or scale · alpha · (exp(x · input_scale) - 1) below 0."""
    alpha, scale, inner = (float(call[name]) for name in ("alpha", "scale", "input_scale"))

    def emit(b: Emitter, x: str) -> str:
        if inner == 1:
            return b.scaled(b.op("Elu", x, alpha=alpha), scale)
        low = b.scaled(b.op("Elu", b.op("Min", b.scaled(x, inner), b.floats(0)), alpha=alpha), scale)
        return b.op("Add", b.scaled(b.op("Relu", x), scale), low)

    return Spelling("Relu", (call["self"],), emit=emit)


@spells("celu", reads="self alpha")
def celu(call: Call) -> Spelling:
    """x, or alpha · (exp(x / alpha) - 1) below 0."""
    return Spelling("Relu", (call["self"],), emit=lambda b, x: b.op("Celu", x, alpha=float(call["alpha"])))


@spells("softplus", reads="self beta threshold")
def softplus(call: Call) -> Spelling:
    """log(1 + exp(beta · x)) / beta, x itself past the threshold."""
    beta, threshold = float(call["beta"]), float(call["threshold"])

    def emit(b: Emitter, x: str) -> str:
        inner = b.scaled(x, beta)
        found = b.scaled(b.op("Softplus", inner), 1 / beta)
        if threshold >= _EQUAL:
            return found
        return b.op("Where", b.op("Greater", inner, b.floats(threshold)), x, found)

    return Spelling("Relu", (call["self"],), emit=emit)


@spells("hardtanh", "clamp", "clamp_min", "clamp_max", "clip", reads="self min max min_val max_val", kinds="float int")
def clamp(call: Call) -> Spelling:
    """Between two numbers."""
    limits = [call.get("min", call.get("min_val")), call.get("max", call.get("max_val"))]

    def emit(b: Emitter, x: str) -> str:
        return b.op("Clip", x, *(b.value(v, call.out_kind) for v in limits))

    return Spelling("Relu", (call["self"],), emit=emit)


@spells("threshold", reads="self threshold value")
def threshold(call: Call) -> Spelling:
    """x above a number, another number elsewhere."""
    limit, value = float(call["threshold"]), float(call["value"])
    return Spelling(
        "Relu",
        (call["self"],),
        emit=lambda b, x: b.op("Where", b.op("Greater", x, b.floats(limit)), x, b.floats(value)),
    )


@spells("hardshrink", "softshrink", reads="self lambd")
def shrink(call: Call) -> Spelling:
    """0 near 0; elsewhere x, or x less the limit."""
    limit = float(call["lambd"])
    bias = limit if "soft" in str(call.node.target) else 0.0
    return Spelling("Relu", (call["self"],), emit=lambda b, x: b.op("Shrink", x, lambd=limit, bias=bias))


@spells("prelu", "_prelu_kernel", reads="self weight")
def prelu(call: Call) -> Spelling:
    """A slope a channel below 0; channels are axis 1 whatever the rank."""
    x, slope = call["self"], call["weight"]
    rank, count = call.rank(x), call.shape(slope)
    laid = [*count, *[1] * (rank - 1 - len(count))] if math.prod(count) > 1 and len(count) == 1 else None

    def emit(b: Emitter, x: str, weight: str) -> str:
        return b.op("PRelu", x, weight if laid is None else b.reshape(weight, *laid))

    return Spelling("BatchNormalization", (x, slope), emit=emit)


@spells("glu", reads="self dim")
def glu(call: Call) -> Spelling:
    """Half of the channels gated by the other half."""
    axis = int(call["dim"])

    def emit(b: Emitter, x: str) -> str:
        a, gate = b.ops("Split", x, count=2, axis=axis)
        return b.op("Mul", a, b.op("Sigmoid", gate))

    return Spelling("ReduceOver", (call["self"],), {"axis": axis}, emit)


# Two inputs and more ------------------------------------------------------------------------------


def _binary(names: str, op: str) -> None:
    def spell(call: Call) -> Spelling:
        return Spelling("Add", (call["self"], call["other"]), emit=_scaled(call, op))

    more = " alpha" if op in ("Add", "Sub") else ""
    spells(*names.split(), reads=f"self other{more}", kinds="any")(spell)


_OF_BOOLS = {"Add": "Or", "Mul": "And", "Max": "Or", "Min": "And"}


def _scaled(call: Call, op: str) -> Callable[[Emitter, str, str], str]:
    alpha, kind = call.get("alpha", 1), call.out_kind

    def emit(b: Emitter, x: str, y: str) -> str:
        if kind == "bool" and (op not in _OF_BOOLS or alpha != 1):
            raise NotLowered("no form for ONNX here over booleans")
        if kind == "int" and alpha != 1:
            y = b.op("Mul", y, b.value(int(alpha), "int"))
        if kind == "float":
            y = b.scaled(y, float(alpha))
        return b.op(_OF_BOOLS[op] if kind == "bool" else op, x, y)

    return emit


_binary("add.Tensor add.Scalar", "Add")
_binary("sub.Tensor sub.Scalar subtract.Tensor", "Sub")
_binary("mul.Tensor mul.Scalar multiply.Tensor", "Mul")
_binary("div.Tensor div.Scalar divide.Tensor true_divide.Tensor", "Div")
_binary("maximum.default max.other", "Max")
_binary("minimum.default min.other", "Min")


@spells("div.Tensor_mode", "div.Scalar_mode", "floor_divide", reads="self other rounding_mode")
def divide(call: Call) -> Spelling:
    """A quotient, rounded down or towards zero."""
    mode = call.get("rounding_mode", "floor")

    def emit(b: Emitter, x: str, y: str) -> str:
        if mode == "floor":  # as PyTorch does it, so that a quotient that rounds up to a whole number does not
            return b.op("Round", b.op("Div", b.op("Sub", x, _remainder(b, x, y)), y))
        found = b.op("Div", x, y)
        return found if mode is None else b.op("Mul", b.op("Sign", found), b.op("Floor", b.op("Abs", found)))

    return Spelling("Add", (call["self"], call["other"]), emit=emit)


def _remainder(b: Emitter, x: str, y: str) -> str:
    """What a division leaves, with the sign of the divisor."""
    rest, zero = b.op("Mod", x, y, fmod=1), b.floats(0)
    other_sign = b.op("Less", b.op("Mul", rest, y), zero)
    return b.op("Where", other_sign, b.op("Add", rest, y), rest)


@spells("remainder.Scalar", "remainder.Tensor", "fmod.Scalar", "fmod.Tensor", reads="self other")
def remainder(call: Call) -> Spelling:
    """What a division leaves, with the sign of the divisor, or of what is divided."""
    dividend = "fmod" in str(call.node.target)

    def emit(b: Emitter, x: str, y: str) -> str:
        return b.op("Mod", x, y, fmod=1) if dividend else _remainder(b, x, y)

    return Spelling("Add", (call["self"], call["other"]), emit=emit)


@spells("rsub.Scalar", "rsub.Tensor", reads="self other alpha")
def rsub(call: Call) -> Spelling:
    """other - alpha · self."""
    alpha = float(call["alpha"])
    return Spelling("Add", (call["self"], call["other"]), emit=lambda b, x, y: b.op("Sub", y, b.scaled(x, alpha)))


@spells("pow.Tensor_Scalar", "pow.Tensor_Tensor", "pow.Scalar", reads="self exponent")
def power(call: Call) -> Spelling:
    """self to the power of a number or a tensor."""
    return Spelling("Add", (call["self"], call["exponent"]), emit=lambda b, x, y: b.op("Pow", x, y))


@spells("addcmul", "addcdiv", reads="self tensor1 tensor2 value")
def addc(call: Call) -> Spelling:
    """self + value · tensor1 · tensor2, or / tensor2."""
    value, op = float(call["value"]), "Div" if "addcdiv" in str(call.node.target) else "Mul"
    return Spelling(
        "Sum", (call["self"], call["tensor1"], call["tensor2"]),
        emit=lambda b, x, y, z: b.op("Add", x, b.scaled(b.op(op, y, z), value)),
    )  # fmt: skip


@spells("lerp.Scalar", "lerp.Tensor", reads="self end weight")
def lerp(call: Call) -> Spelling:
    """self + weight · (end - self)."""
    return Spelling(
        "Sum", (call["self"], call["end"], call["weight"]),
        emit=lambda b, x, y, w: b.op("Add", x, b.op("Mul", w, b.op("Sub", y, x))),
    )  # fmt: skip
