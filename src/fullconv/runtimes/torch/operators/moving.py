"""Parts of values, and edges around them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, fx

from fullconv.runtimes.torch.operators.windows import larger, smaller
from fullconv.runtimes.torch.record import Call, Known, Spelt, Unspelt

_MODES = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}


def sliced(x: Tensor, starts: Any, ends: Any, axes: Any, steps: Any) -> Tensor:
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        x = _along(x, start, end, axis % x.dim(), step)
    return x


def _along(x: Tensor, start: Any, end: Any, axis: int, step: int) -> Tensor:
    if step > 0:
        return x[(slice(None),) * axis + (slice(start, end, step),)]
    # torch has no steps backwards: the axis is turned over, and read forwards.
    length = x.shape[axis]
    first = -1 - start if start < 0 else length - 1 - start
    if not isinstance(start, int) or start >= 0:
        first = larger(first, 0)
    last = -1 - end if end < 0 else length - 1 - end
    behind = smaller(larger(last, 0), length)
    return x.flip(axis)[(slice(None),) * axis + (slice(first, behind, -step),)]


def picked(x: Tensor, index: Tensor, axis: int) -> Tensor:
    """``x`` by whole numbers along an axis, which may count from its end."""
    axis = axis % x.dim()
    index = torch.where(index < 0, index + x.shape[axis], index).to(torch.int64)
    made = x.index_select(axis, index.reshape(-1))
    return made.reshape(*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])


def gathered(x: Tensor, index: Tensor, axis: int) -> Tensor:
    index = torch.where(index < 0, index + x.shape[axis], index).to(torch.int64)
    return torch.gather(x, axis, index)


def edged(x: Tensor, pads: Any, axes: tuple[int, ...] | None, mode: str, value: float) -> Tensor:
    """Edges around any axes: numbers, the image's edge, turned over at it, or around the other side."""
    axes = tuple(range(x.dim())) if axes is None else tuple(axis % x.dim() for axis in axes)
    for i, axis in enumerate(axes):
        before, behind = pads[i], pads[len(axes) + i]
        if before == 0 and behind == 0:
            continue
        if mode == "constant":
            x = F.pad(x, [0, 0] * (x.dim() - 1 - axis) + [before, behind], value=value)
        else:
            x = _around(x, before, behind, axis, mode)
    return x


def _around(x: Tensor, before: int, behind: int, axis: int, mode: str) -> Tensor:
    """By reading the axis at the places that its edges stand for; torch's own knows some ranks and axes only."""
    length = x.shape[axis]
    at = torch.arange(-before, length + behind, device=x.device)
    if mode == "replicate":
        at = at.clamp(0, length - 1)
    elif mode == "circular":
        at = at % length
    else:
        at = length - 1 - (length - 1 - at.abs()).abs()
    return x.index_select(axis, at)


def _slice(call: Call) -> fx.Node:
    if call.opset < 10:
        starts, ends = call.attribute("starts"), call.attribute("ends")
        axes = call.attribute("axes", tuple(range(len(starts))))
        steps: Any = (1,) * len(starts)
    else:
        starts, ends = call.sizes(1), call.sizes(2)
        count = _count(call, starts, ends)
        axes = call.sizes(3) if call.has(3) else tuple(range(count))
        steps = call.sizes(4) if call.has(4) else (1,) * count
    if isinstance(axes, fx.Node) or isinstance(steps, fx.Node):
        raise Unspelt("its axes or steps follow from sizes")
    return call.do(sliced, call.tensor(0), starts, ends, tuple(axes), tuple(steps))


def _count(call: Call, starts: Any, ends: Any) -> int:
    for numbers in (starts, ends):
        if not isinstance(numbers, fx.Node):
            return len(numbers)
    known = call.numbers(3)
    if known is None:
        raise Unspelt("its axes are not stated")
    return known.size


def _gather(call: Call) -> fx.Node:
    axis, index = call.attribute("axis", 0), call.numbers(1)
    if index is not None and index.ndim == 0:
        return call.do(torch.select, call.tensor(0), axis, int(index))
    if index is not None and index.ndim == 1 and (index >= 0).all() and index.dtype == np.int64:
        return call.do(torch.index_select, call.tensor(0), axis, call.tensor(1))
    return call.do(picked, call.tensor(0), call.tensor(1), axis)


def pick(sizes: Any, index: Any) -> Any:
    return tuple(sizes[i] for i in index) if isinstance(index, tuple | list) else sizes[index]


def cut(sizes: Any, start: int, end: int, step: int) -> tuple[Any, ...]:
    return tuple(sizes)[start:end:step]


def _pick(call: Call) -> fx.Node:
    index = call.sizes(1)
    if isinstance(index, fx.Node):
        raise Unspelt("which size it takes is not constant")
    return call.builder.mark_sizes(call.do(pick, call.sizes(0), index))


def _cut(call: Call) -> fx.Node:
    first = call.inputs[0]
    if isinstance(first, Known) or (isinstance(first, fx.Node) and not call.builder.is_sizes(first)):
        return _slice(call)  # a tensor, at places that follow from sizes
    starts, ends = call.sizes(1), call.sizes(2)
    steps = call.sizes(4) if call.has(4) else (1,)
    if any(isinstance(v, fx.Node) for v in (starts, ends, steps)):
        raise Unspelt("which sizes it takes is not constant")
    return call.builder.mark_sizes(call.do(cut, first, starts[0], ends[0], steps[0]))


def _pad(call: Call) -> fx.Node:
    mode = _MODES.get(call.attribute("mode", "constant"))
    if mode is None:
        raise Unspelt(f"edges of mode {call.attribute('mode')}")
    if call.opset < 11:
        pads, value, axes = call.attribute("pads"), float(call.attribute("value", 0.0)), None
    else:
        pads, axes = call.sizes(1), call.sizes(3) if call.has(3) else None
        given = call.numbers(2)
        if call.has(2) and given is None:
            raise Unspelt("the number of its edges is not constant")
        value = 0.0 if given is None or not given.size else given.reshape(()).item()
    return call.do(edged, call.tensor(0), pads, axes, mode, value)


OPERATORS = (
    Spelt("Slice", _slice, _cut),
    Spelt("Gather", _gather, _pick),
    Spelt("GatherElements", lambda call: call.do(gathered, call.tensor(0), call.tensor(1), call.attribute("axis", 0))),
    Spelt("Pad", _pad, _pad),
)
