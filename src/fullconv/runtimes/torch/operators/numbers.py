"""Arithmetic on whole numbers that follow from an input's sizes: Python's numbers, or symbols of torch.export and torch.compile.

One number or a tuple of them; of a tuple and one number, or a tuple of one, the one goes with each.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import onnx
import torch
from torch import fx

from fullconv.runtimes.torch.record import Call, Unspelt

_WHOLE = (onnx.TensorProto.INT64, onnx.TensorProto.INT32)


def _pairs(function: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
    if not isinstance(a, tuple | list) and not isinstance(b, tuple | list):
        return function(a, b)
    first, second = (v if isinstance(v, tuple | list) else (v,) for v in (a, b))
    count = max(len(first), len(second))
    first, second = (tuple(v) * count if len(v) == 1 else tuple(v) for v in (first, second))
    return tuple(function(x, y) for x, y in zip(first, second, strict=True))


def add(a: Any, b: Any) -> Any:
    return _pairs(operator.add, a, b)


def subtract(a: Any, b: Any) -> Any:
    return _pairs(operator.sub, a, b)


def multiply(a: Any, b: Any) -> Any:
    return _pairs(operator.mul, a, b)


def _towards_zero(a: Any, b: Any) -> Any:
    return a // b if (a >= 0) == (b > 0) else -(-a // b)


def divide(a: Any, b: Any) -> Any:
    return _pairs(_towards_zero, a, b)


def modulo(a: Any, b: Any) -> Any:
    return _pairs(operator.mod, a, b)


def smaller(a: Any, b: Any) -> Any:
    return _pairs(torch.sym_min, a, b)


def larger(a: Any, b: Any) -> Any:
    return _pairs(torch.sym_max, a, b)


def each(function: Callable[..., Any]) -> Callable[[Call], fx.Node]:
    """An operator of two such numbers."""

    def spell(call: Call) -> fx.Node:
        if len(call.inputs) != 2:
            raise Unspelt("it takes sizes of the image, and not two of them")
        return call.builder.mark_sizes(call.do(function, call.sizes(0), call.sizes(1)))

    return spell


def cast(call: Call) -> fx.Node:
    """To whole numbers they are already."""
    if call.attribute("to") not in _WHOLE:
        raise Unspelt("it makes other numbers than whole ones of sizes")
    made = call.sizes(0)
    assert isinstance(made, fx.Node)
    return made
