"""Pools. Edges that torch's own pools lack are laid around the image first."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from fullconv.runtimes.torch.operators.windows import Pads, filled_up, fixed_pads, larger, pads_of, smaller, window
from fullconv.runtimes.torch.record import Call, Spelt, Unspelt

_WHOLE = 12  # the operator set from which on 8-bit numbers have maxima
_MAX = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
_MEAN = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
_CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def _overhang(
    x: Tensor, pads: Pads, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> list[Any]:
    """Cells that the last window of each axis reaches past the edges, where counts are rounded up."""
    found = []
    for i, (before, behind) in enumerate(pads):
        span = (kernel[i] - 1) * dilation[i] + 1
        length = x.shape[2 + i]
        count = (length + before + behind - span + stride[i] - 1) // stride[i] + 1
        # No window begins behind the image.
        count = smaller(count, (length + before - 1) // stride[i] + 1)
        found.append(larger((count - 1) * stride[i] + span - (length + before + behind), 0))
    return found


def max_pool(x: Tensor, kernel: list[int], stride: list[int], pads: Any, dilation: list[int], ceil: bool) -> Tensor:
    """A maximum whose edges torch's own may lack. Of 8-bit numbers too, all of which float32 has."""
    if not x.is_floating_point():
        return max_pool(x.float(), kernel, stride, pads, dilation, ceil).to(x.dtype)
    if not ceil and _has(pads, kernel):
        return _MAX[len(kernel)](x, kernel, stride, [a for a, _ in pads], dilation)
    edges = pads_of(x, pads, kernel, stride, dilation)
    if ceil:
        over = _overhang(x, edges, kernel, stride, dilation)
        edges = [(before, behind + more) for (before, behind), more in zip(edges, over, strict=True)]
    x = filled_up(x, edges, -torch.inf)
    return _MAX[len(kernel)](x, kernel, stride, 0, dilation)


def sums(x: Tensor, kernel: list[int], stride: list[int], dilation: list[int]) -> Tensor:
    """Sums over windows."""
    if all(d == 1 for d in dilation):
        return _MEAN[len(kernel)](x, kernel, stride) * prod(kernel)
    flat = x.reshape(-1, 1, *x.shape[2:])
    made = _CONV[len(kernel)](flat, x.new_ones((1, 1, *kernel)), None, stride, 0, dilation)
    return made.reshape(*x.shape[:2], *made.shape[2:])


def average_pool(
    x: Tensor, kernel: list[int], stride: list[int], pads: Any, dilation: list[int], ceil: bool, counts_edges: bool
) -> Tensor:
    """A mean whose edges torch's own does not have: the sum of each window by the cells that count in it."""
    edges = pads_of(x, pads, kernel, stride, dilation)
    over = _overhang(x, edges, kernel, stride, dilation) if ceil else [0] * len(kernel)
    behind = [(0, more) for more in over]
    ones = x.new_ones((1, 1, *x.shape[2:]))
    ones = filled_up(filled_up(ones, edges, 1.0 if counts_edges else 0.0), behind, 0.0)
    x = filled_up(filled_up(x, edges, 0.0), behind, 0.0)
    return sums(x, kernel, stride, dilation) / sums(ones, kernel, stride, dilation)


def lp_pool(
    x: Tensor, kernel: list[int], stride: list[int], pads: Any, dilation: list[int], ceil: bool, p: int
) -> Tensor:
    edges = pads_of(x, pads, kernel, stride, dilation)
    if ceil:
        over = _overhang(x, edges, kernel, stride, dilation)
        edges = [(before, behind + more) for (before, behind), more in zip(edges, over, strict=True)]
    return sums(filled_up(x.abs().pow(p), edges, 0.0), kernel, stride, dilation).pow(1 / p)


def _space(x: Tensor) -> list[int]:
    return list(range(2, x.dim()))


def global_mean(x: Tensor) -> Tensor:
    return x.mean(_space(x), keepdim=True)


def global_max(x: Tensor) -> Tensor:
    return x.amax(_space(x), keepdim=True)


def global_lp(x: Tensor, p: int) -> Tensor:
    return x.abs().pow(p).sum(_space(x), keepdim=True).pow(1 / p)


def _window(call: Call) -> tuple[list[int], list[int], Any, list[int], bool]:
    kernel = list(call.attribute("kernel_shape"))
    if len(kernel) not in _MAX:
        raise Unspelt(f"a pool over {len(kernel)} axes")
    stride, pads, dilation = window(call, len(kernel))
    fixed = fixed_pads(pads, kernel, stride, dilation)
    return kernel, stride, pads if fixed is None else fixed, dilation, bool(call.attribute("ceil_mode", 0))


def _has(pads: Any, kernel: list[int]) -> bool:
    """Whether torch's own pools have these edges."""
    return not isinstance(pads, str) and all(a == b and 0 <= 2 * a <= k for (a, b), k in zip(pads, kernel, strict=True))


def _max(call: Call) -> fx.Node:
    if call.outputs > 1:
        raise Unspelt("where its maxima lie is not spelt here")
    kernel, stride, pads, dilation, ceil = _window(call)
    if not ceil and _has(pads, kernel) and call.opset < _WHOLE:
        return call.do(_MAX[len(kernel)], call.tensor(0), kernel, stride, [a for a, _ in pads], dilation)
    return call.do(max_pool, call.tensor(0), kernel, stride, pads, dilation, ceil)


def _mean(call: Call) -> fx.Node:
    kernel, stride, pads, dilation, ceil = _window(call)
    counts = bool(call.attribute("count_include_pad", 0))
    if not ceil and _has(pads, kernel) and all(d == 1 for d in dilation):
        return call.do(_MEAN[len(kernel)], call.tensor(0), kernel, stride, [a for a, _ in pads], False, counts)
    return call.do(average_pool, call.tensor(0), kernel, stride, pads, dilation, ceil, counts)


def _lp(call: Call) -> fx.Node:
    return call.do(lp_pool, call.tensor(0), *_window(call), call.attribute("p", 2))


OPERATORS = (
    Spelt("MaxPool", _max),
    Spelt("AveragePool", _mean),
    Spelt("LpPool", _lp),
    Spelt("GlobalAveragePool", lambda call: call.do(global_mean, call.tensor(0))),
    Spelt("GlobalMaxPool", lambda call: call.do(global_max, call.tensor(0))),
    Spelt("GlobalLpPool", lambda call: call.do(global_lp, call.tensor(0), call.attribute("p", 2))),
)
