"""A convolution, what is added to it and its ReLU as one kernel of cuDNN's, in 16 bits on NVIDIA's GPUs.

Of a ResNet-50 that is compiled a third of the time goes by between convolutions, where what one wrote is read, rectified and written again. One kernel
rounds once, where three round three times.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx


def joined(module: fx.GraphModule) -> fx.GraphModule:
    """The module itself, changed so where such a ReLU is."""
    for node in list(module.graph.nodes):
        if node.op == "call_function" and node.target is F.relu:
            _join(module.graph, node)
    module.graph.lint()
    module.recompile()
    return module


def rectified(
    x: Tensor, weight: Tensor, bias: Tensor | None, beside: Tensor | None, stride: list[int], padding: list[int], dilation: list[int]
) -> Tensor:  # fmt: skip
    """ReLU of a convolution of (N, C, H, W) and of what lies beside it, in the precision that autocast asks for."""
    kind = x.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
    x, weight = (each.to(dtype).contiguous(memory_format=torch.channels_last) for each in (x, weight))
    bias = None if bias is None else bias.to(dtype)
    if beside is not None:
        if tuple(beside.shape) != _shape(x, weight, stride, padding, dilation):
            return F.relu(F.conv2d(x, weight, bias, stride, padding, dilation) + beside)
        beside = beside.to(dtype).contiguous(memory_format=torch.channels_last)
    found: Tensor = _rectified(x, weight, bias, beside, stride, padding, dilation)
    return found


@torch.library.custom_op("fullconv::rectified", mutates_args=())
def _rectified(
    x: Tensor, weight: Tensor, bias: Tensor | None, beside: Tensor | None, stride: list[int], padding: list[int], dilation: list[int]
) -> Tensor:  # fmt: skip
    """All of one type, channels last."""
    found = _by_cudnn(x, weight, bias, beside, stride, padding, dilation) if x.is_cuda else None
    if found is None:
        found = F.conv2d(x, weight, bias, stride, padding, dilation)
        found = F.relu(found if beside is None else found + beside)
    return found.contiguous(memory_format=torch.channels_last)  # as it is said below


def _by_cudnn(
    x: Tensor, weight: Tensor, bias: Tensor | None, beside: Tensor | None, stride: list[int], padding: list[int], dilation: list[int]
) -> Tensor | None:  # fmt: skip
    """The same as one kernel; None where there is none for these shapes."""
    try:
        if beside is None:
            return torch.cudnn_convolution_relu(x, weight, bias, stride, padding, dilation, 1)
        return torch.cudnn_convolution_add_relu(x, weight, beside, 1.0, bias, stride, padding, dilation, 1)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:  # what else is wrong shows where it is computed otherwise
        return None


@_rectified.register_fake
def _(
    x: Tensor, weight: Tensor, bias: Tensor | None, beside: Tensor | None, stride: list[int], padding: list[int], dilation: list[int]
) -> Tensor:  # fmt: skip
    shape = _shape(x, weight, stride, padding, dilation)
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)


def _shape(x: Tensor, weight: Tensor, stride: list[int], padding: list[int], dilation: list[int]) -> tuple[int, ...]:
    sides = zip(x.shape[2:], weight.shape[2:], stride, padding, dilation, strict=True)
    return (
        x.shape[0],
        weight.shape[0],
        *((have + 2 * edge - apart * (length - 1) - 1) // step + 1 for have, length, step, edge, apart in sides),
    )


def _join(graph: fx.Graph, relu: fx.Node) -> None:
    (source,) = relu.args
    conv, beside = source, None
    if isinstance(source, fx.Node) and source.target is torch.add and len(source.args) == 2 and len(source.users) == 1:
        for first, other in (source.args, source.args[::-1]):
            if _is_plain(first) and isinstance(other, fx.Node) and other.op == "call_function" and other is not first:
                conv, beside = first, other
                break
    if not _is_plain(conv):
        return
    assert isinstance(conv, fx.Node)
    x, weight, bias, stride, padding, dilation, _ = conv.args
    relu.target, relu.args = rectified, (x, weight, bias, beside, stride, padding, dilation)
    for node in dict.fromkeys((source, conv)):
        assert isinstance(node, fx.Node)
        graph.erase_node(node)


def _is_plain(node: Any) -> bool:
    """Whether it is a convolution of one group, in two directions, which nothing else reads."""
    if not isinstance(node, fx.Node) or node.target is not F.conv2d or len(node.users) != 1:
        return False
    return isinstance(node.args[4], list) and bool(node.args[6] == 1)
