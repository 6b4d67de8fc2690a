"""Normalisations, softmaxes, dropout."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from fullconv.runtimes.lowered import TRAINED
from fullconv.runtimes.torch.record import Call, Spelt, Unspelt

_ALONG_ONE = 13  # the operator set from which on a softmax runs along one axis, instead of over all behind it


def batch_norm(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    variance: Tensor,
    training: bool,
    momentum: float,
    eps: float,
) -> Tensor:
    """``momentum`` is torch's: the share of what is new."""
    return F.batch_norm(x, mean, variance, weight, bias, training, momentum, eps)


def scaled_by_statistics(x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, eps: float) -> Tensor:
    """Batch normalisation that never trains, in an order that folds into a convolution in front."""
    scale = weight / torch.sqrt(variance + eps)
    lay = (1, -1, *[1] * (x.dim() - 2))
    return x * scale.reshape(lay) + (bias - mean * scale).reshape(lay)


def summed_batch_norm(
    x: Tensor, mean: Tensor, variance: Tensor, factor: Tensor, training: bool, kept: float, eps: float
) -> Tensor:
    """Caffe's: its blobs are decaying sums of means and of unbiased variances, and how many there are in them."""
    lay = (1, -1, *[1] * (x.dim() - 2))
    if training:
        axes = [0, *range(2, x.dim())]
        count = prod(x.shape[i] for i in axes)
        now = x.mean(axes)
        spread = (x - now.reshape(lay)).square().mean(axes)
        with torch.no_grad():
            factor.mul_(kept).add_(1)
            mean.mul_(kept).add_(now)
            variance.mul_(kept).add_(spread * (count / max(count - 1, 1)))
    else:
        scale = torch.where(factor == 0, torch.zeros_like(factor), 1 / factor)
        now, spread = mean * scale, variance * scale
    return (x - now.reshape(lay)) / torch.sqrt(spread + eps).reshape(lay)


def instance_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    axes, lay = list(range(2, x.dim())), (1, -1, *[1] * (x.dim() - 2))
    centred = x - x.mean(axes, keepdim=True)
    spread = centred.square().mean(axes, keepdim=True)
    return centred / torch.sqrt(spread + eps) * weight.reshape(lay) + bias.reshape(lay)


def group_norm(x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float) -> Tensor:
    """Scale and bias a group (operator sets 18 to 20) or a channel."""
    channels = x.shape[1]
    if weight.shape[0] != channels:
        weight, bias = (v.repeat_interleave(channels // groups) for v in (weight, bias))
    return F.group_norm(x, groups, weight, bias, eps)


def layer_norm(x: Tensor, weight: Tensor | None, bias: Tensor | None, axis: int, eps: float) -> Tensor:
    axes = list(range(axis % x.dim(), x.dim()))
    centred = x - x.mean(axes, keepdim=True)
    made = centred / torch.sqrt(centred.square().mean(axes, keepdim=True) + eps)
    made = made if weight is None else made * weight
    return made if bias is None else made + bias


def mean_variance(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    centred = x - x.mean(axes, keepdim=True)
    return centred / (torch.sqrt(centred.square().mean(axes, keepdim=True)) + 1e-9)


def unit_length(x: Tensor, p: int, axis: int) -> Tensor:
    """Nothing stays nothing."""
    length = x.abs().sum(axis, keepdim=True) if p == 1 else torch.sqrt(x.square().sum(axis, keepdim=True))
    return x / torch.where(length == 0, torch.ones_like(length), length)


def across_channels(x: Tensor, size: int, alpha: float, beta: float, bias: float) -> Tensor:
    before, behind = (size - 1) // 2, size - 1 - (size - 1) // 2
    square = F.pad(x.square().flatten(2).unsqueeze(1), (0, 0, before, behind))
    mean = F.avg_pool2d(square, (size, 1), 1).squeeze(1).reshape(x.shape)
    return x / (bias + alpha * mean) ** beta


def hardmax(x: Tensor, axis: int) -> Tensor:
    return F.one_hot(x.argmax(axis), x.shape[axis]).movedim(-1, axis).to(x.dtype)


def hardmax_over_rest(x: Tensor, axis: int) -> Tensor:
    return hardmax(x.flatten(axis % x.dim()), -1).reshape(x.shape)


def softmax_over_rest(x: Tensor, axis: int) -> Tensor:
    """Over all axes from one on, as operator sets below 13 have it."""
    return torch.softmax(x.flatten(axis % x.dim()), -1).reshape(x.shape)


def log_softmax_over_rest(x: Tensor, axis: int) -> Tensor:
    return torch.log_softmax(x.flatten(axis % x.dim()), -1).reshape(x.shape)


def _along(one: Callable[..., Tensor], rest: Callable[..., Tensor]) -> Callable[[Call], fx.Node]:
    def spell(call: Call) -> fx.Node:
        if call.opset >= _ALONG_ONE:
            return call.do(one, call.tensor(0), call.attribute("axis", -1))
        return call.do(rest, call.tensor(0), call.attribute("axis", 1))

    return spell


def _batch_norm(call: Call) -> fx.Node:
    if call.attribute("training_mode", 0) or not call.attribute("spatial", 1):
        raise Unspelt("it normalises by its own batch, or each position by itself")
    if call.outputs > 1:
        raise Unspelt("its statistics are read")
    given = [call.tensor(i) for i in range(5)]
    eps = float(call.attribute("epsilon", 1e-5))
    if not call.builder.trains:
        return call.do(scaled_by_statistics, *given, eps)
    beside = call.inputs[3]
    assert beside is not None
    flag = call.builder.training(beside)
    return call.do(batch_norm, *given, flag, 1 - float(call.attribute("momentum", 0.9)), eps)


def _summed(call: Call) -> fx.Node:
    beside = call.inputs[1]
    assert beside is not None
    given = [call.tensor(i) for i in range(4)]
    flag = call.builder.training(beside)
    return call.do(summed_batch_norm, *given, flag, float(call.attribute("kept")), float(call.attribute("epsilon")))


def _group(call: Call) -> fx.Node:
    given = [call.tensor(i) for i in range(3)]
    return call.do(group_norm, *given, call.attribute("num_groups"), float(call.attribute("epsilon", 1e-5)))


def _layer(call: Call) -> fx.Node:
    if call.outputs > 1:
        raise Unspelt("its statistics are read")
    given = call.tensor(0), call.maybe(1), call.maybe(2)
    return call.do(layer_norm, *given, call.attribute("axis", -1), float(call.attribute("epsilon", 1e-5)))


def _instance(call: Call) -> fx.Node:
    return call.do(instance_norm, *(call.tensor(i) for i in range(3)), float(call.attribute("epsilon", 1e-5)))


def _lrn(call: Call) -> fx.Node:
    numbers: dict[str, Any] = {"alpha": 1e-4, "beta": 0.75, "bias": 1.0}
    given = (float(call.attribute(name, default)) for name, default in numbers.items())
    return call.do(across_channels, call.tensor(0), call.attribute("size"), *given)


def _dropout(call: Call) -> fx.Node:
    if call.outputs > 1:
        raise Unspelt("its mask is read")
    x = call.tensor(0)
    mode = call.numbers(2)
    if call.has(2) and (mode is None or mode.any()):
        raise Unspelt("it drops at inference too")
    ratio = call.numbers(1)
    share = call.attribute("ratio", 0.5) if call.opset < 12 else 0.5 if ratio is None else float(ratio.reshape(()))
    return call.do(F.dropout, x, float(share), call.builder.training(None)) if call.builder.trains else x


OPERATORS = (
    Spelt("BatchNormalization", _batch_norm),
    Spelt("SummedBatchNorm", _summed, domain=TRAINED),
    Spelt("InstanceNormalization", _instance),
    Spelt("GroupNormalization", _group),
    Spelt("LayerNormalization", _layer),
    Spelt(
        "MeanVarianceNormalization", lambda c: c.do(mean_variance, c.tensor(0), tuple(c.attribute("axes", (0, 2, 3))))
    ),
    Spelt("LpNormalization", lambda c: c.do(unit_length, c.tensor(0), c.attribute("p", 2), c.attribute("axis", -1))),
    Spelt("LRN", _lrn),
    Spelt("Softmax", _along(torch.softmax, softmax_over_rest)),
    Spelt("LogSoftmax", _along(torch.log_softmax, log_softmax_over_rest)),
    Spelt("Hardmax", _along(hardmax, hardmax_over_rest)),
    Spelt("Dropout", _dropout),
)
