"""Convolutions and matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from fullconv.runtimes.torch.operators.windows import filled_up, fixed_pads, pads_of, window
from fullconv.runtimes.torch.record import Call, Spelt, Unspelt

_CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def conv_padded(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: list[int], pads: Any, dilation: list[int], groups: int
) -> Tensor:
    """A convolution whose padding torch's own does not have: other before than behind, or by the size."""
    kernel = list(weight.shape[2:])
    x = filled_up(x, pads_of(x, pads, kernel, stride, dilation), 0.0)
    return _CONV[len(kernel)](x, weight, bias, stride, 0, dilation, groups)


def transposed(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    cut: Sequence[tuple[int, int]],
    dilation: Sequence[int],
    groups: int,
) -> Tensor:
    """A transposed convolution whose edges are cut, or filled up, one by one."""
    full = _TRANSPOSED[len(cut)](x, weight, None, list(stride), 0, 0, groups, list(dilation))
    full = filled_up(full, [(-before, -behind) for before, behind in cut], 0.0)
    return full if bias is None else full + bias.reshape(-1, *[1] * len(cut))


def transposed_to(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    sizes: Sequence[int] | None,
    upper: bool,
    more: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> Tensor:
    """A transposed convolution whose output has a stated size, or the input's times the stride."""
    cut = []
    for i, kernel in enumerate(weight.shape[2:]):
        length = x.shape[2 + i]
        wanted = length * stride[i] if sizes is None else sizes[i]
        total = (length - 1) * stride[i] + (kernel - 1) * dilation[i] + 1 + more[i] - wanted
        small = total // 2 if total >= 0 else -(-total // 2)
        large = total - small
        before, behind = (small, large) if upper else (large, small)
        cut.append((before, behind - more[i]))
    return transposed(x, weight, bias, stride, cut, dilation, groups)


def gemm(x: Tensor, y: Tensor, z: Tensor | None, alpha: float, beta: float) -> Tensor:
    made = torch.matmul(x, y)
    made = made if alpha == 1 else alpha * made
    return made if z is None else made + (z if beta == 1 else beta * z)


def _kernel(call: Call) -> list[int]:
    stated = call.attribute("kernel_shape")
    weight = call.numbers(1)
    if stated is not None:
        return list(stated)
    if weight is None:
        raise Unspelt("its kernel's size is not stated")
    return list(weight.shape[2:])


def _conv(call: Call) -> fx.Node:
    kernel = _kernel(call)
    if len(kernel) not in _CONV:
        raise Unspelt(f"a convolution over {len(kernel)} axes")
    stride, pads, dilation = window(call, len(kernel))
    groups = call.attribute("group", 1)
    given = call.tensor(0), call.tensor(1), call.maybe(2)
    fixed = fixed_pads(pads, kernel, stride, dilation)
    if fixed is not None and all(before == behind >= 0 for before, behind in fixed):
        padding = [before for before, _ in fixed]
        return call.do(_CONV[len(kernel)], *given, stride, padding, dilation, groups)
    return call.do(conv_padded, *given, stride, pads if fixed is None else fixed, dilation, groups)


def _transposed(call: Call) -> fx.Node:
    kernel = _kernel(call)
    if len(kernel) not in _TRANSPOSED:
        raise Unspelt(f"a convolution over {len(kernel)} axes")
    stride, pads, dilation = window(call, len(kernel))
    groups, more = call.attribute("group", 1), list(call.attribute("output_padding", [0] * len(kernel)))
    given = call.tensor(0), call.tensor(1), call.maybe(2)
    sizes = call.attribute("output_shape")
    if sizes is not None or pads in ("SAME_UPPER", "SAME_LOWER"):
        upper = pads == "SAME_UPPER"
        return call.do(
            transposed_to, *given, stride, sizes and tuple(sizes)[-len(kernel) :], upper, more, dilation, groups
        )
    assert not isinstance(pads, str)
    even = all(before == behind for before, behind in pads)
    if even and all(m < max(s, d) for m, s, d in zip(more, stride, dilation, strict=True)):
        padding = [before for before, _ in pads]
        return call.do(_TRANSPOSED[len(kernel)], *given, stride, padding, more, groups, dilation)
    cut = [(before, behind - m) for (before, behind), m in zip(pads, more, strict=True)]
    return call.do(transposed, *given, stride, cut, dilation, groups)


def _gemm(call: Call) -> fx.Node:
    x, y, z = call.tensor(0), call.tensor(1), call.maybe(2)
    alpha, beta = float(call.attribute("alpha", 1.0)), float(call.attribute("beta", 1.0))
    x = call.do(torch.t, x) if call.attribute("transA", 0) else x
    numbers = call.numbers(2)
    row = z is None or (numbers is not None and numbers.ndim == 1 and numbers.size > 1)
    if call.attribute("transB", 0) and alpha == 1 and beta == 1 and row:
        return call.do(F.linear, x, y, z)
    y = call.do(torch.t, y) if call.attribute("transB", 0) else y
    return call.do(gemm, x, y, z, alpha, beta)


def _einsum(call: Call) -> fx.Node:
    return call.do(torch.einsum, call.attribute("equation"), *(call.tensor(i) for i in range(len(call.inputs))))


OPERATORS = (
    Spelt("Conv", _conv),
    Spelt("ConvTranspose", _transposed),
    Spelt("Gemm", _gemm),
    Spelt("MatMul", lambda call: call.do(torch.matmul, call.tensor(0), call.tensor(1))),
    Spelt("Einsum", _einsum),
)
