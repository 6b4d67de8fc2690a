"""Convolutions whose kernels are mixed for each image (CondConv): each expert's convolution of what its gate lets through.

Frameworks lay the batch among the channels, so that one grouped convolution has a kernel an image:

    conv(x, Σ rₑ · Wₑ)   ->   Σ conv(rₑ · x, Wₑ)

The weights rₑ come from the pooled map x. In front of the convolution they are gates like any other, one number an expert at every cell,
whatever the convolution's stride.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import fx

from fullconv.formats.torch.operators import Call

aten = torch.ops.aten
_VIEWS = (aten.view.default, aten.reshape.default)
_PADS = (aten.pad.default, aten.constant_pad_nd.default)


class Writer(Protocol):
    """Writes an operator in front of the node that is respelt."""

    def __call__(self, target: Any, *args: Any) -> fx.Node: ...


def mixed(w: Writer, call: Call) -> fx.Node | None:
    """The respelling of the view that gives the batch back its axis; None where it is not behind such a convolution."""
    order = call["self"]
    conv = order.args[0] if _is(order, aten.permute.default) and list(order.args[1]) == [1, 0, 2, 3] else None
    if conv is None or not _is(conv, aten.conv2d.default):
        return None
    x, weight, bias, stride, padding, dilation = (*conv.args, *_DEFAULTS[len(conv.args) :])[:6]
    pad = x if any(_is(x, kind) for kind in _PADS) else None
    laid = x if pad is None else pad.args[0]
    known = call.known.shapes
    if not _is(laid, *_VIEWS) or not _is(weight, *_VIEWS) or any(node not in known for node in (laid, weight, conv)):
        return None
    image, routed = laid.args[0], weight.args[0]
    if not _is(routed, aten.matmul.default, aten.mm.default) or image not in known or len(known[image]) != 4:
        return None
    routing, experts = routed.args[:2]
    batch, channels = (int(side) for side in known[image][:2])
    if not _are_experts(call, experts) or len(known[routing]) != 2 or known[routing][0] != batch:
        return None
    made, within, *kernel = (int(side) for side in known[weight])
    whole = tuple(known[laid][:2]) == (1, batch * channels) and made % batch == 0 and channels % within == 0
    count, out = int(known[experts][0]), made // batch
    if (
        not whole
        or tuple(call.out[0][:2]) != (batch, out)
        or int(known[experts][1]) != out * within * kernel[0] * kernel[1]
    ):
        return None
    biases = _biases(call, bias, routing, (count, out))
    if bias is not None and biases is None:
        return None
    gated = [
        w(aten.mul.Tensor, image, _over_cells(w, w(aten.slice.Tensor, routing, 1, i, i + 1))) for i in range(count)
    ]
    source = w(aten.cat.default, gated, 1)
    if pad is not None:
        source = w(pad.target, source, *pad.args[1:])
    groups, each = channels // within, w(aten.reshape.default, experts, [count, out, within, *kernel])
    if groups == 1:  # all experts' channels are summed
        kernels = w(
            aten.reshape.default, w(aten.permute.default, each, [1, 0, 2, 3, 4]), [out, count * within, *kernel]
        )
        total = w(aten.conv2d.default, source, kernels, None, stride, padding, dilation, 1)
    else:
        kernels = w(aten.reshape.default, each, [count * out, within, *kernel])
        apart = w(aten.conv2d.default, source, kernels, None, stride, padding, dilation, groups * count)
        parts = [w(aten.slice.Tensor, apart, 1, i * out, (i + 1) * out) for i in range(count)]
        total = parts[0]
        for part in parts[1:]:
            total = w(aten.add.Tensor, total, part)
    return total if biases is None else w(aten.add.Tensor, total, _over_cells(w, biases))


_DEFAULTS: tuple[Any, ...] = (None, None, None, [1, 1], [0, 0], [1, 1], 1)


def _is(node: Any, *targets: Any) -> bool:
    return isinstance(node, fx.Node) and node.target in targets


def _are_experts(call: Call, node: Any) -> bool:
    """Whether it is a parameter of (experts, numbers of a kernel)."""
    return isinstance(node, fx.Node) and node.op == "get_attr" and len(call.known.shapes.get(node, ())) == 2


def _biases(call: Call, bias: Any, routing: fx.Node, shape: tuple[int, int]) -> fx.Node | None:
    """Biases mixed by the same weights, (n, channels)."""
    if not _is(bias, *_VIEWS) or not _is(bias.args[0], aten.matmul.default, aten.mm.default):
        return None
    mix = bias.args[0]
    same = mix.args[0] is routing and _are_experts(call, mix.args[1]) and tuple(call.known.shapes[mix.args[1]]) == shape
    return mix if same else None


def _over_cells(w: Writer, value: fx.Node) -> fx.Node:
    """(n, c) as (n, c, 1, 1)."""
    return w(aten.unsqueeze.default, w(aten.unsqueeze.default, value, -1), -1)
