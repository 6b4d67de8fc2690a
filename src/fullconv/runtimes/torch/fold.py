"""What is scaled and shifted behind a convolution, channel by channel, becomes part of its kernel and bias: batch normalisation, say.

For inference alone, over networks whose numbers are constants. The sums are made in double precision.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import fx

from fullconv.runtimes.torch.operators.elementwise import divide
from fullconv.runtimes.torch.operators.linear import conv_padded
from fullconv.runtimes.torch.operators.normalization import scaled_by_statistics

Array = npt.NDArray[Any]
_CONVOLUTIONS = (F.conv1d, F.conv2d, F.conv3d, conv_padded)


def folded(module: fx.GraphModule) -> fx.GraphModule:
    """The same module, changed."""
    for node in list(module.graph.nodes):
        if node.op == "call_function" and node.target in _CONVOLUTIONS:
            _fold(module, node)
    module.graph.lint()
    module.recompile()
    return module


def _fold(module: fx.GraphModule, conv: fx.Node) -> None:
    weight, bias = (_constant(module, conv.args[i]) for i in (1, 2))
    if weight is None or not np.issubdtype(weight.dtype, np.floating) or (bias is None and conv.args[2] is not None):
        return
    channels, rank = weight.shape[0], weight.ndim
    scale, shift = np.ones(channels), np.zeros(channels)
    last = conv
    passed = []
    while len(last.users) == 1:
        (user,) = last.users
        step = _affine(module, user, last, channels, rank)
        if step is None:
            break
        scale, shift = scale * step[0], shift * step[0] + step[1]
        passed.append(user)
        last = user
    if not passed or not (np.isfinite(scale).all() and np.isfinite(shift).all()):
        return
    kernel = weight.astype(np.float64) * scale.reshape(-1, *[1] * (rank - 1))
    moved = shift + (0 if bias is None else bias.astype(np.float64) * scale)
    with module.graph.inserting_before(conv):
        made = [
            _register(module, f"{conv.name}_{n}", a.astype(weight.dtype))
            for n, a in (("kernel", kernel), ("bias", moved))
        ]
    conv.args = (conv.args[0], *made, *conv.args[3:])
    last.replace_all_uses_with(conv)
    for node in reversed(passed):
        module.graph.erase_node(node)


def _affine(module: fx.GraphModule, node: fx.Node, x: fx.Node, channels: int, rank: int) -> tuple[Array, Array] | None:
    """(scale, shift) a channel of what a node does to ``x``; None where it does something else."""
    if node.op != "call_function" or node.kwargs:
        return None
    if node.target is scaled_by_statistics and node.args[0] is x:
        numbers = [_constant(module, arg) for arg in node.args[1:5]]
        if any(n is None for n in numbers):
            return None
        weight, bias, mean, variance = (np.asarray(n, np.float64) for n in numbers)
        scale = weight / np.sqrt(variance + float(node.args[5]))  # type: ignore[arg-type]
        return scale, bias - mean * scale
    if node.target not in (torch.add, torch.sub, torch.mul, divide) or len(node.args) != 2:
        return None
    first = node.args[0] is x
    other = _along_channels(module, node.args[1 if first else 0], channels, rank)
    if other is None or (node.args[0] is x and node.args[1] is x):
        return None
    one, none = np.ones(channels), np.zeros(channels)
    if node.target is torch.add:
        return one, other
    if node.target is torch.mul:
        return other, none
    if node.target is torch.sub:
        return (one, -other) if first else (-one, other)
    return (1 / other, none) if first and (other != 0).all() else None


def _along_channels(module: fx.GraphModule, arg: Any, channels: int, rank: int) -> Array | None:
    """One number a channel of an operand; None where it is none, or varies otherwise."""
    value = np.asarray(arg, np.float64) if isinstance(arg, int | float) else _constant(module, arg)
    if value is None or value.ndim > rank:
        return None
    shape = (1,) * (rank - value.ndim) + value.shape
    if any(size != 1 and (i != 1 or size != channels) for i, size in enumerate(shape)):
        return None
    return np.broadcast_to(value.astype(np.float64).reshape(-1), (channels,))


def _constant(module: fx.GraphModule, arg: Any) -> Array | None:
    if not isinstance(arg, fx.Node) or arg.op != "get_attr":
        return None
    value = getattr(module.get_submodule(str(arg.target).rpartition(".")[0]), str(arg.target).rpartition(".")[2])
    return value.detach().numpy() if isinstance(value, torch.Tensor) else None


def _register(module: fx.GraphModule, name: str, array: Array) -> fx.Node:
    module.register_buffer(name, torch.from_numpy(array), persistent=False)
    return module.graph.get_attr(name)
