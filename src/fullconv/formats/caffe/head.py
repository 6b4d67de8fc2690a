"""A head within a Caffe network: average pooling, convolutions and sums; what it is, a line of comment says at the prototxt's top.

Caffe's average pools take a last block that is cut off. Where a crop's window has one, blocks are averaged by a convolution a channel instead.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.errors import BadInput, BrokenPromise
from fullconv.formats.adapted import Described, Weighs, alike, believed, described, kernels_of, read_described
from fullconv.formats.caffe.apply import set_kernel
from fullconv.formats.caffe.network import CaffeNet
from fullconv.formats.caffe.proto import caffe_pb2 as pb
from fullconv.formats.head import FittedHead
from fullconv.geometry.axis import ceil_overhang
from fullconv.graph.nodes import Window
from fullconv.surgery.head import STEM, Part, Parts, even, put_behind

Array = npt.NDArray[Any]
Arrays = dict[str, tuple[Array, ...]]


def adapt(net: CaffeNet, fitted: FittedHead) -> CaffeNet | None:
    """``Format.adapt``; None where a level is written over in place before the head could read it, or an axis is moved."""
    graph, there = net.placement.graph(), read_described(net.adapted)
    names = {*graph.values, *net.placement.versions, *(layer.name for layer in net.message.layer)}
    stem = next(
        s for s in (f"{STEM}{i}" for i in range(len(names) + 1)) if not any(n.startswith(f"{s}_") for n in names)
    )
    mine = Described.of(fitted, stem, graph)
    parts = put_behind(graph, fitted.head, stem, mixes=mine.mixes, ceils=even(graph, fitted.head))
    made = _with_head(net, parts, fitted)
    if made is None:
        return None
    try:
        adapted = net.with_message(*made, adapted=described([*there, mine]))
    except BadInput:  # what makes the logits writes over its own bottom
        return None
    difference = parts.within(graph).difference(adapted.placement.graph())
    if difference is not None:
        raise BrokenPromise(f"the adapted network is not the planned one: {difference}")
    return adapted


def unadapted(net: CaffeNet) -> tuple[CaffeNet, tuple[FittedHead, ...]] | None:
    """``Format.unadapted``."""
    if net.adapted is None:
        named = any(layer.name.startswith(STEM) for layer in net.message.layer)
        return (net, ()) if named else None
    if net.weights is None:
        return None
    heads = read_described(net.adapted)
    found: tuple[CaffeNet, tuple[FittedHead, ...]] | None = believed(lambda: _taken_off(net, heads)) if heads else None
    return found or (net, ())


def _taken_off(net: CaffeNet, heads: tuple[Described, ...]) -> tuple[CaffeNet, tuple[FittedHead, ...]] | None:
    message, weights = pb.NetParameter(), dict(net.weights or {})
    message.CopyFrom(net.message)
    fitted = [_remove(net, message, weights, each) for each in reversed(heads)][::-1]
    bare = net.with_message(message, weights, adapted=None)
    # The same heads are written again, and must be the layers that are there.
    again, graph = bare, bare.placement.graph()
    kinds = {layer.name: layer.type for layer in net.message.layer}
    for each, one in zip(heads, fitted, strict=True):
        pools = frozenset(
            i for i in range(len(one.head.levels)) if kinds.get(f"{each.stem}_level{i}_mean") == "Pooling"
        )
        parts = put_behind(graph, one.head, each.stem, mixes=each.mixes, ceils=pools, again=True)
        made = _with_head(again, parts, one)
        if made is None:
            return None
        again = again.with_message(*made)
        graph = again.placement.graph()
    mine = [layer for layer in net.message.layer if any(layer.name.startswith(f"{each.stem}_") for each in heads)]
    same = all(_same(layer, net, again) for layer in mine) and len(again.message.layer) == len(net.message.layer)
    return (bare, tuple(fitted)) if same and graph.difference(net.placement.graph()) is None else None


def _same(layer: Any, net: CaffeNet, again: CaffeNet) -> bool:
    other = next(each for each in again.message.layer if each.name == layer.name)
    pairs = zip((net.weights or {}).get(layer.name, ()), (again.weights or {}).get(layer.name, ()), strict=True)
    return layer == other and all(alike(a, b) for a, b in pairs)


def _with_head(net: CaffeNet, parts: Parts, fitted: FittedHead) -> tuple[Any, Arrays | None] | None:
    """The message and the arrays with a head behind the layer that makes its logits."""
    placement = net.placement
    at = next(i for i, placed in enumerate(placement.layers) if parts.logits in placed.outputs)
    standing = _standing(net, at)
    blobs = {value: placement.blobs[value] for value in standing}
    blobs |= {
        parts.bare: parts.bare,
        **{p.output: p.output for p in parts.parts},
        parts.logits: placement.blobs[parts.logits],
    }
    read = {value for part in parts.parts for value in part.inputs if value not in {p.output for p in parts.parts}}
    if not read <= {*standing, parts.bare} or any(part.kind not in _WRITE for part in parts.parts):
        return None
    message = pb.NetParameter()
    message.CopyFrom(net.message)
    layers = list(message.layer)
    top = layers[at].top
    top[list(placement.layers[at].outputs).index(parts.logits)] = parts.bare
    kernels = kernels_of(fitted, parts.parts)
    made, arrays = [], dict[str, tuple[Array, ...]]()
    for part in parts.parts:
        layer = pb.LayerParameter(
            name=part.name, bottom=[blobs[value] for value in part.inputs], top=[blobs[part.output]]
        )
        arrays.update(_WRITE[part.kind](layer, part, kernels))
        made.append(layer)
    del message.layer[:]
    message.layer.extend([*layers[: at + 1], *made, *layers[at + 1 :]])
    if net.weights is None:
        return message, None
    weights = {**net.weights, **arrays}
    return message, {layer.name: weights[layer.name] for layer in message.layer if layer.name in weights}


def _standing(net: CaffeNet, at: int) -> set[str]:
    """Values that can be read behind a layer: those that stand in their blobs there, and that no layer behind writes over."""
    current: dict[str, str] = {}
    for placed in net.placement.layers[: at + 1]:
        current.update({net.placement.blobs[value]: value for value in placed.outputs})
    return {value for blob, value in current.items() if net.placement.versions[blob][-1] == value}


def _pool(layer: Any, part: Part, kernels: dict[str, tuple[Array, Array | None]]) -> Arrays:
    assert isinstance(part.touch, Window)
    spans = part.touch.y, part.touch.x
    if all(span.overhang == ceil_overhang(span.kernel, int(span.stride), 0) for span in spans):
        layer.type, param = "Pooling", layer.pooling_param
        param.pool = param.AVE
        set_kernel(param, (spans[0].kernel, spans[1].kernel))
        _set_stride(param, part.touch)
        return {}
    layer.type, param = "Convolution", layer.convolution_param
    channels = part.axes.shape[1]
    param.num_output, param.group, param.bias_term = channels, channels, False
    set_kernel(param, (spans[0].kernel, spans[1].kernel))
    _set_stride(param, part.touch)
    cells = spans[0].kernel * spans[1].kernel
    return {part.name: (np.full((channels, 1, spans[0].kernel, spans[1].kernel), 1 / cells, np.float32),)}


def _convolution(layer: Any, part: Part, kernels: dict[str, tuple[Array, Array | None]]) -> Arrays:
    assert isinstance(part.touch, Window)
    kernel, bias = kernels[part.name]
    layer.type, param = "Convolution", layer.convolution_param
    param.num_output, param.bias_term = kernel.shape[0], bias is not None
    set_kernel(param, (kernel.shape[2], kernel.shape[3]))
    _set_stride(param, part.touch)
    return {part.name: (kernel,) if bias is None else (kernel, bias)}


def _sum(layer: Any, part: Part, kernels: dict[str, tuple[Array, Array | None]]) -> Arrays:
    layer.type, layer.eltwise_param.operation = "Eltwise", pb.EltwiseParameter.SUM
    return {}


_WRITE = {"mean": _pool, "weigh": _convolution, "add": _sum}


def _set_stride(param: Any, touch: Window) -> None:
    y, x = int(touch.y.stride), int(touch.x.stride)
    if y != x:
        param.stride_h, param.stride_w = y, x
    elif isinstance(param, pb.ConvolutionParameter):
        param.stride.append(y)
    else:
        param.stride = y


def _remove(net: CaffeNet, message: Any, weights: Arrays, each: Described) -> FittedHead:
    """Take a head out; what it was, by its weights."""
    found: dict[Weighs, Array] = {}
    bias: Array | None = None
    weighing = each.weighing
    mine = [layer for layer in message.layer if layer.name.startswith(f"{each.stem}_")]
    for layer in mine:
        blobs = weights.pop(layer.name, ())
        if layer.name in weighing:
            found[weighing[layer.name]] = blobs[0]
            bias = blobs[1] if len(blobs) > 1 else bias
        message.layer.remove(layer)
    if bias is None:
        raise ValueError(f"{each.stem}: a head without a bias")
    bare, blob = f"{each.stem}_bare", net.placement.blobs[each.head.logits]
    for layer in message.layer:
        for i, name in enumerate(layer.top):
            if name == bare:
                layer.top[i] = blob
    return each.fitted(found, bias)
