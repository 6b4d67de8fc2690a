"""The first layer of a network of colours, for GPUs: a kernel that steps over three channels, as one that does not step over many.

Kernels of GPUs compute on channels by eights, and with three of them most of what they multiply is nothing: the first layer of a ResNet-50 takes a sixth of
its time. Blocks of step × step pixels, taken as channels of one place, have enough of them. The products are the same, with some of zeros beside them.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from fullconv.runtimes.torch.module import held

_MOST_CHANNELS = 4  # of an image; what has more is computed well as it is
_MOST_STEP = 4
_BY = 8  # channels that are computed on together


def with_blocks(module: fx.GraphModule) -> fx.GraphModule:
    """The module itself, changed so where its first layer is one."""
    for node in list(module.graph.nodes):
        if node.op == "call_function" and node.target is F.conv2d and _is_stem(module, node):
            _change(module, node)
    module.graph.lint()
    module.recompile()
    return module


def blocks(kernel: Tensor, step: int, padding: tuple[int, int]) -> Tensor:
    """(out, C, h, w) of a convolution as (out, C × step² filled up to eights, rows, cols) of one over blocks."""
    count = kernel.shape[0]
    sides = []
    for length, edge in zip(kernel.shape[2:], padding, strict=True):
        before = -edge % step
        sides.append((before, -(before + length) % step))
    (top, bottom), (left, right) = sides
    padded = F.pad(kernel, (left, right, top, bottom))
    rows, cols = padded.shape[2] // step, padded.shape[3] // step
    laid = padded.reshape(count, -1, rows, step, cols, step).permute(0, 1, 3, 5, 2, 4).reshape(count, -1, rows, cols)
    return F.pad(laid, (0, 0, 0, 0, 0, -laid.shape[1] % _BY)).contiguous()


def as_blocks(x: Tensor, parts: tuple[int, ...], step: int, size: tuple[int, ...], padding: tuple[int, ...]) -> Tensor:
    """(N, C, H, W) as what a kernel over blocks takes, (N, its channels, rows, cols).

    Args:
        parts: (channels, rows, cols) of that kernel.
        size, padding: of the one over pixels.
    """
    ends = []
    for have, length, edge, count in zip(x.shape[2:], size, padding, parts[1:], strict=True):
        places = (have + 2 * edge - length) // step + 1
        before = edge + -edge % step
        ends.append((before, (places + count - 1) * step - have - before))  # below nothing: pixels that no place reads
    (top, bottom), (left, right) = ends
    laid = F.pixel_unshuffle(F.pad(x, (left, right, top, bottom)), step)
    laid = F.pad(laid, (0, 0, 0, 0, 0, parts[0] - laid.shape[1]))
    return laid.contiguous(memory_format=torch.channels_last)


def _is_stem(module: fx.GraphModule, node: fx.Node) -> bool:
    arguments: Any = node.args
    x, weight, _, stride, padding, dilation, groups = arguments
    if weight.op != "get_attr" or x not in _images(module):
        return False
    return bool(
        module.get_buffer(str(weight.target)).shape[1] <= _MOST_CHANNELS
        and stride[0] == stride[1]
        and 2 <= stride[0] <= _MOST_STEP
        and set(dilation) == {1}
        and groups == 1
        and all(isinstance(edge, int) for edge in padding)
    )


def _images(module: fx.GraphModule) -> set[fx.Node]:
    """The inputs, and what only looks at their sizes."""
    found: set[fx.Node] = set()
    for node in module.graph.nodes:
        if node.op == "placeholder" or (node.target is held and node.args[0] in found):
            found.add(node)
    return found


def _change(module: fx.GraphModule, node: fx.Node) -> None:
    arguments: Any = node.args
    x, weight, bias, (step, _), padding, _, _ = arguments
    kernel = module.get_buffer(str(weight.target))
    made = blocks(kernel, step, (padding[0], padding[1]))
    name = f"{node.name}_blocks"
    module.register_buffer(name, made, persistent=False)
    with module.graph.inserting_before(node):
        parts = module.graph.get_attr(name)
        laid = module.graph.call_function(
            as_blocks, (x, tuple(made.shape[1:]), step, tuple(kernel.shape[2:]), tuple(padding))
        )
    node.args = (laid, parts, bias, [1, 1], [0, 0], [1, 1], 1)
