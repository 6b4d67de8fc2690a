"""Operators on each number alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import onnx
import torch
import torch.nn.functional as F
from torch import Tensor, fx

from fullconv.runtimes.torch.operators import numbers
from fullconv.runtimes.torch.record import Call, Spelt, Unspelt, plain

TYPES = {
    onnx.TensorProto.FLOAT: torch.float32, onnx.TensorProto.FLOAT16: torch.float16, onnx.TensorProto.DOUBLE: torch.float64,
    onnx.TensorProto.BFLOAT16: torch.bfloat16, onnx.TensorProto.INT8: torch.int8, onnx.TensorProto.INT16: torch.int16,
    onnx.TensorProto.INT32: torch.int32, onnx.TensorProto.INT64: torch.int64, onnx.TensorProto.UINT8: torch.uint8,
    onnx.TensorProto.BOOL: torch.bool,
}  # fmt: skip


def divide(x: Tensor | float, y: Tensor | float) -> Tensor:
    """Whole numbers are cut towards zero."""
    whole = all(isinstance(v, int) or (isinstance(v, Tensor) and not v.is_floating_point()) for v in (x, y))
    return torch.div(x, y, rounding_mode="trunc") if whole else torch.true_divide(x, y)


def power(x: Tensor, y: Tensor | float) -> Tensor:
    """In the type of the base."""
    return torch.pow(x, y).to(x.dtype) if isinstance(x, Tensor) else torch.pow(x, y)


def leaky(x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x < 0, x * slope, x)


def thresholded(x: Tensor, alpha: float) -> Tensor:
    return torch.where(x > alpha, x, torch.zeros_like(x))


def shrink(x: Tensor, lambd: float, bias: float) -> Tensor:
    return torch.where(x < -lambd, x + bias, torch.where(x > lambd, x - bias, torch.zeros_like(x)))


def swish(x: Tensor, alpha: float) -> Tensor:
    return x * torch.sigmoid(alpha * x)


def celu(x: Tensor, alpha: float) -> Tensor:
    return torch.clamp(x, min=0) + torch.clamp(alpha * torch.expm1(x / alpha), max=0)


def selu(x: Tensor, alpha: float, gamma: float) -> Tensor:
    return gamma * torch.where(x > 0, x, alpha * torch.expm1(torch.clamp(x, max=0)))


def elu(x: Tensor, alpha: float) -> Tensor:
    return torch.where(x > 0, x, alpha * torch.expm1(torch.clamp(x, max=0)))


def hard_sigmoid(x: Tensor, alpha: float, beta: float) -> Tensor:
    return torch.clamp(alpha * x + beta, 0, 1)


def clip(x: Tensor, low: Tensor | float | None, high: Tensor | float | None) -> Tensor:
    """Within both ends; where they cross, the upper one."""
    if low is not None:
        x = torch.clamp(x, min=low)
    return x if high is None else torch.clamp(x, max=high)


def cast(x: Tensor, kind: torch.dtype) -> Tensor:
    return x if x.dtype == kind else x.to(kind)


def cast_like(x: Tensor, other: Tensor) -> Tensor:
    return cast(x, other.dtype)


def mean_of(*values: Tensor) -> Tensor:
    return reduce(torch.add, values) / len(values)


def negative(x: Tensor) -> Tensor:
    return -x


def _with(function: Callable[..., Any], **defaults: float) -> Callable[[Call], fx.Node]:
    """An operator of one input whose attributes are the function's other arguments, in order."""
    return lambda call: call.do(
        function, call.tensor(0), *(float(call.attribute(name, default)) for name, default in defaults.items())
    )


def _variadic(function: Callable[..., Any]) -> Callable[[Call], fx.Node]:
    def spell(call: Call) -> fx.Node:
        made = call.tensor(0)
        for i in range(1, len(call.inputs)):
            made = call.do(function, made, call.tensor(i))
        return made

    return spell


def _clip(call: Call) -> fx.Node:
    if call.opset < 11:
        low, high = call.attribute("min"), call.attribute("max")
    else:
        low, high = (call.operand(i) if call.has(i) else None for i in (1, 2))
    return call.do(clip, call.tensor(0), low, high)


def _cast(call: Call) -> fx.Node:
    kind = TYPES.get(call.attribute("to"))
    if kind is None:
        raise Unspelt(f"it casts to {onnx.TensorProto.DataType.Name(call.attribute('to'))}, which is not spelt here")
    made = call.do(cast, call.tensor(0), kind)
    made.meta[CASTS] = kind.is_floating_point
    return made


def _gelu(call: Call) -> fx.Node:
    return call.do(F.gelu, call.tensor(0), approximate=call.attribute("approximate", "none"))


def _mod(call: Call) -> fx.Node:
    return call.do(torch.fmod if call.attribute("fmod", 0) else torch.remainder, call.operand(0), call.operand(1))


def _where(call: Call) -> fx.Node:
    return call.do(torch.where, call.tensor(0), call.operand(1), call.operand(2))


CASTS = "casts"  # meta of a node: it casts to floats, which other precisions may make others

_NAMED: dict[str, Callable[..., Any]] = {
            "Abs": torch.abs, "Acos": torch.acos, "Acosh": torch.acosh, "And": torch.logical_and, "Asin": torch.asin,
            "Asinh": torch.asinh, "Atan": torch.atan, "Atanh": torch.atanh, "Ceil": torch.ceil, "Cos": torch.cos, "Cosh": torch.cosh,
            "Equal": torch.eq, "Erf": torch.erf, "Exp": torch.exp, "Floor": torch.floor, "Greater": torch.gt,
            "GreaterOrEqual": torch.ge, "HardSwish": F.hardswish, "IsNaN": torch.isnan, "Less": torch.lt, "LessOrEqual": torch.le,
            "Log": torch.log, "Mish": F.mish, "Neg": negative, "Not": torch.logical_not, "Or": torch.logical_or,
            "Reciprocal": torch.reciprocal, "Relu": F.relu, "Round": torch.round, "Sigmoid": torch.sigmoid, "Sign": torch.sign,
            "Sin": torch.sin, "Sinh": torch.sinh, "Softplus": F.softplus, "Softsign": F.softsign, "Sqrt": torch.sqrt,
            "Tan": torch.tan, "Tanh": torch.tanh, "Xor": torch.logical_xor, "PRelu": leaky, "Pow": power,
        }  # fmt: skip

OPERATORS = (
    *(plain(kind, function) for kind, function in _NAMED.items()),
    plain("Add", torch.add, numbers.each(numbers.add)),
    plain("Sub", torch.sub, numbers.each(numbers.subtract)),
    plain("Mul", torch.mul, numbers.each(numbers.multiply)),
    plain("Div", divide, numbers.each(numbers.divide)),
    Spelt("Mod", _mod, numbers.each(numbers.modulo)),
    Spelt("Elu", _with(elu, alpha=1.0)),
    Spelt("Celu", _with(celu, alpha=1.0)),
    Spelt("Selu", _with(selu, alpha=1.67326319217681884765625, gamma=1.05070102214813232421875)),
    Spelt("LeakyRelu", _with(F.leaky_relu, alpha=0.01)),
    Spelt("HardSigmoid", _with(hard_sigmoid, alpha=0.2, beta=0.5)),
    Spelt("ThresholdedRelu", _with(thresholded, alpha=1.0)),
    Spelt("Shrink", _with(shrink, lambd=0.5, bias=0.0)),
    Spelt("Swish", _with(swish, alpha=1.0)),
    Spelt("Gelu", _gelu),
    Spelt("Min", _variadic(torch.minimum), numbers.each(numbers.smaller)),
    Spelt("Max", _variadic(torch.maximum), numbers.each(numbers.larger)),
    Spelt("Sum", _variadic(torch.add)),
    Spelt("Mean", lambda call: call.do(mean_of, *(call.tensor(i) for i in range(len(call.inputs))))),
    Spelt("Clip", _clip),
    Spelt("Cast", _cast, numbers.cast),
    Spelt("CastLike", lambda call: call.do(cast_like, call.tensor(0), call.tensor(1))),
    Spelt("Where", _where),
)
