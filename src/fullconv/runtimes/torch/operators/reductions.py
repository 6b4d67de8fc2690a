"""Statistics along axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx

from fullconv.runtimes.torch.record import Call, Spelt, Unspelt

_BY_INPUT = 18  # the operator set from which on axes are an input; of a sum earlier
_SUM_BY_INPUT = 13


def _all(x: Tensor, axes: tuple[int, ...] | None) -> list[int]:
    return list(range(x.dim())) if axes is None else [axis % x.dim() for axis in axes]


def mean(x: Tensor, axes: tuple[int, ...] | None, keep: bool) -> Tensor:
    return x.mean(_all(x, axes), keepdim=keep)


def total(x: Tensor, axes: tuple[int, ...] | None, keep: bool) -> Tensor:
    if axes == ():  # which torch takes for all of them
        return x
    return x.sum(_all(x, axes), keepdim=keep, dtype=x.dtype)


def largest(x: Tensor, axes: tuple[int, ...] | None, keep: bool) -> Tensor:
    return x.amax(_all(x, axes), keepdim=keep)


def smallest(x: Tensor, axes: tuple[int, ...] | None, keep: bool) -> Tensor:
    return x.amin(_all(x, axes), keepdim=keep)


def product(x: Tensor, axes: tuple[int, ...] | None, keep: bool) -> Tensor:
    for axis in sorted(_all(x, axes), reverse=True):
        x = x.prod(axis, keepdim=keep, dtype=x.dtype)
    return x


def absolute(x: Tensor, axes: tuple[int, ...] | None, keep: bool) -> Tensor:
    return total(x.abs(), axes, keep)


def length(x: Tensor, axes: tuple[int, ...] | None, keep: bool) -> Tensor:
    return torch.sqrt(squares(x, axes, keep))


def squares(x: Tensor, axes: tuple[int, ...] | None, keep: bool) -> Tensor:
    return total(x * x, axes, keep)


def log_sum(x: Tensor, axes: tuple[int, ...] | None, keep: bool) -> Tensor:
    return torch.log(total(x, axes, keep))


def log_sum_exp(x: Tensor, axes: tuple[int, ...] | None, keep: bool) -> Tensor:
    return x if axes == () else torch.logsumexp(x, _all(x, axes), keepdim=keep)


def place_of(x: Tensor, axis: int, keep: bool, last: bool, least: bool) -> Tensor:
    """Where the largest (or least) lies; of equal ones the first, or the last."""
    axis = axis % x.dim()
    x = x.flip(axis) if last else x
    found = x.argmin(axis, keepdim=keep) if least else x.argmax(axis, keepdim=keep)
    return x.shape[axis] - 1 - found if last else found


def top(x: Tensor, count: int, axis: int, largest: bool, part: int) -> Tensor:
    """Of equal ones the first, which torch.topk does not promise."""
    ordered = torch.sort(x, dim=axis, descending=largest, stable=True)[part]
    return ordered.narrow(axis, 0, count)


def so_far(x: Tensor, axis: int, without_own: bool, backwards: bool) -> Tensor:
    """Sums of all positions up to each, or from each on; without its own, where it is asked for."""
    given = x.flip(axis) if backwards else x
    found = given.cumsum(axis).to(x.dtype)
    found = found - given if without_own else found
    return found.flip(axis) if backwards else found


def _so_far(call: Call) -> fx.Node:
    axis = call.numbers(1)
    if axis is None:
        raise Unspelt("its axis is not constant")
    how = bool(call.attribute("exclusive", 0)), bool(call.attribute("reverse", 0))
    return call.do(so_far, call.tensor(0), int(axis.reshape(())), *how)


def _reduction(function: Callable[..., Tensor], by_input: int = _BY_INPUT) -> Callable[[Call], fx.Node]:
    def spell(call: Call) -> fx.Node:
        axes, x = call.ints("axes", 1, by_input), call.tensor(0)
        if not axes:
            if call.attribute("noop_with_empty_axes", 0):
                return x if function in (mean, total, largest, smallest, product) else call.do(function, x, (), True)
            axes = None
        return call.do(function, x, axes, bool(call.attribute("keepdims", 1)))

    return spell


def _place(least: bool) -> Callable[[Call], fx.Node]:
    def spell(call: Call) -> fx.Node:
        last = bool(call.attribute("select_last_index", 0))
        keep = bool(call.attribute("keepdims", 1))
        return call.do(place_of, call.tensor(0), call.attribute("axis", 0), keep, last, least)

    return spell


def _top(call: Call) -> list[fx.Node]:
    count: Any = call.attribute("k")
    if call.opset >= 10:
        numbers = call.numbers(1)
        if numbers is None:
            raise Unspelt("how many are wanted is not constant")
        count = int(numbers.reshape(()))
    given = count, call.attribute("axis", -1), bool(call.attribute("largest", 1))
    x = call.tensor(0)
    return [call.do(top, x, *given, part) for part in range(call.outputs)]


OPERATORS = (
    Spelt("ReduceMean", _reduction(mean)),
    Spelt("ReduceSum", _reduction(total, _SUM_BY_INPUT)),
    Spelt("ReduceMax", _reduction(largest)),
    Spelt("ReduceMin", _reduction(smallest)),
    Spelt("ReduceProd", _reduction(product)),
    Spelt("ReduceL1", _reduction(absolute)),
    Spelt("ReduceL2", _reduction(length)),
    Spelt("ReduceSumSquare", _reduction(squares)),
    Spelt("ReduceLogSum", _reduction(log_sum)),
    Spelt("ReduceLogSumExp", _reduction(log_sum_exp)),
    Spelt("ArgMax", _place(least=False)),
    Spelt("ArgMin", _place(least=True)),
    Spelt("TopK", _top),
    Spelt("CumSum", _so_far),
)
