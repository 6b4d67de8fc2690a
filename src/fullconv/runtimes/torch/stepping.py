"""Kernels of one pixel that step, in a module that trains.

oneDNN 3.12, by which PyTorch 2.13 computes on processors, ends the process on those with AVX-512 where it computes the gradient of such a kernel
over an image whose channels lie together. The same numbers come of the pixels that it reads, taken out first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx

_aten = torch.ops.aten
_BY_AXES = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_CONVOLUTIONS = {*_BY_AXES.values(), _aten.conv1d.default, _aten.conv2d.default, _aten.conv3d.default}
_Length = int | Sequence[int]


def convolved(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: _Length = 1, padding: _Length = 0,
    dilation: _Length = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """A convolution; where its kernel is one pixel, over none but the pixels that it reads."""
    axes = weight.ndim - 2
    steps, edges, apart = (_each(length, axes) for length in (stride, padding, dilation))
    if max(weight.shape[2:]) == 1 and not any(edges):
        x = x[(slice(None), slice(None), *(slice(None, None, step) for step in steps))]
        steps = [1] * axes
    return _BY_AXES[axes](x, weight, bias, steps, edges, apart, groups)


def without_steps(module: fx.GraphModule) -> fx.GraphModule:
    """The module itself, changed so."""
    for node in list(module.graph.nodes):
        if node.op == "call_function" and node.target in _CONVOLUTIONS and _steps(node):
            node.target = convolved
    module.recompile()
    return module


def _steps(node: fx.Node) -> bool:
    stride: Any = node.args[3] if len(node.args) > 3 else node.kwargs.get("stride", 1)
    return any(step != 1 for step in _each(stride, 1))


def _each(length: _Length, axes: int) -> list[int]:
    return [length] * axes if isinstance(length, int) else list(length) * (axes if len(length) == 1 else 1)
