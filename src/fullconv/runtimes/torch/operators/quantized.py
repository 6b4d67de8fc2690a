"""Numbers of eight bits, and what they stand for."""

from __future__ import annotations

import torch
from torch import Tensor, fx

from fullconv.runtimes.torch.operators.elementwise import TYPES
from fullconv.runtimes.torch.record import Call, Spelt, Unspelt


def _lay(values: Tensor, x: Tensor, axis: int) -> Tensor:
    """One number, or one a place along an axis."""
    if values.numel() == 1:
        return values.reshape(())
    return values.reshape([-1 if i == axis % x.dim() else 1 for i in range(x.dim())])


def numbers_of(x: Tensor, scale: Tensor, zero: Tensor | None, axis: int) -> Tensor:
    whole = x.to(torch.int32)
    whole = whole if zero is None else whole - _lay(zero.to(torch.int32), x, axis)
    return whole.to(scale.dtype) * _lay(scale, x, axis)


def in_bits(x: Tensor, scale: Tensor, zero: Tensor | None, axis: int, kind: torch.dtype) -> Tensor:
    """To the nearest, of two the even one, within what the bits hold."""
    whole = torch.round(x / _lay(scale, x, axis))
    whole = whole if zero is None else whole + _lay(zero.to(whole.dtype), x, axis)
    ends = torch.iinfo(kind)
    return whole.clamp(ends.min, ends.max).to(kind)


def _plain(call: Call) -> int:
    if call.attribute("block_size", 0):
        raise Unspelt("it has a scale for each block")
    return int(call.attribute("axis", 1))


def _dequantize(call: Call) -> fx.Node:
    return call.do(numbers_of, call.tensor(0), call.tensor(1), call.maybe(2), _plain(call))


def _quantize(call: Call) -> fx.Node:
    axis, zero = _plain(call), call.numbers(2)
    if call.has(2) and zero is None:
        raise Unspelt("its zero point is not constant")
    kind = (
        TYPES.get(call.attribute("output_dtype", 0))
        if zero is None
        else torch.from_numpy(zero.reshape(-1)[:1].copy()).dtype
    )
    kind = torch.uint8 if kind is None else kind
    if kind not in (torch.uint8, torch.int8):
        raise Unspelt(f"it makes numbers of {kind}")
    return call.do(in_bits, call.tensor(0), call.tensor(1), call.maybe(2), axis, kind)


OPERATORS = (Spelt("DequantizeLinear", _dequantize), Spelt("QuantizeLinear", _quantize))
