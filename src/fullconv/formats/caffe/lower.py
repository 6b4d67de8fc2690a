"""A Caffe network as the ONNX graph that runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.errors import BadInput, NoWeights
from fullconv.formats.caffe.layers.base import LayerError
from fullconv.formats.caffe.network import CaffeNet
from fullconv.formats.caffe.placement import Placed, Placement
from fullconv.formats.caffe.weights import owners
from fullconv.runtimes.lowered import OPSET, TRAINED, Lowered, OnnxBuilder
from fullconv.runtimes.trainable import Trainable

Array = npt.NDArray[Any]


def lower(net: CaffeNet, shapes: Mapping[str, Sequence[int]]) -> Lowered:
    """Lower the whole net for inputs of these shapes (and, where it says so, for any image size)."""
    placement = fitted(net, shapes)
    return lower_layers(placement, placement.layers, _arrays(net), net.source)


def fitted(net: CaffeNet, shapes: Mapping[str, Sequence[int]]) -> Placement:
    """The net placed for inputs of these shapes.

    Raises:
        NoWeights: it has learned layers and no weights.
        BadInput: an input is too small for a window, or a weight matrix is for another size.
    """
    placement = net.placed(shapes)
    if net.weights is None and any(p.learned for p in placement.layers):
        raise NoWeights(f"{net.source}: needs its weights to run; give the .caffemodel or .h5 (--weights)")
    for placed in placement.layers:
        for spec, array in zip(placed.learned, (net.weights or {}).get(placed.name, ()), strict=False):
            if spec.shape != array.shape:
                given = " and ".join("×".join(map(str, shape)) for shape in shapes.values())
                raise BadInput(
                    f"{net.source}: layer {placed.name!r} ({placed.kind}) has weights of {array.shape}; an input of {given} "
                    f"would need {spec.shape}. The network takes its training size only; cast it for others"
                )
    return placement


def weight_name(layer: str, index: int) -> str:
    """The lowered network's name of a learned blob."""
    return f"weight:{layer}:{index}"


def trainable(net: CaffeNet) -> Trainable:
    """The net as it trains: ``layer.weight`` and ``layer.bias``; of BatchNorm ``mean``, ``variance`` and ``factor``, which are buffers."""
    placement = fitted(net, {value: net.placement.axes[value].shape for value in net.placement.inputs})
    lowered = lower_layers(placement, placement.layers, _arrays(net), net.source, trains=True)
    names, parameters = {}, set()
    for placed in placement.layers:
        for i, role in enumerate(placed.layer.roles(len(placed.learned))):
            weight = weight_name(placed.name, i)
            if weight in lowered.weights:
                names[weight] = f"{placed.name}.{role}"
                parameters |= {weight} if placed.layer.trained_by_gradient else set()
    return Trainable(lowered, names, frozenset(parameters))


def with_weights(net: CaffeNet, arrays: Mapping[str, Array]) -> CaffeNet:
    """The net with other learned arrays, by ``weight_name`` of their owners; those of shared parameters with them."""
    shared = owners(net.placement.layers)
    weights = {
        layer: tuple(
            arrays.get(weight_name(*shared.get((layer, i), (layer, i))), own).reshape(own.shape)
            for i, own in enumerate(blobs)
        )
        for layer, blobs in (net.weights or {}).items()
    }
    return replace(net, weights=weights)


def _arrays(net: CaffeNet) -> dict[str, Array]:
    return {
        weight_name(layer, i): array for layer, blobs in (net.weights or {}).items() for i, array in enumerate(blobs)
    }


def lower_layers(
    placement: Placement, layers: Sequence[Placed], arrays: Mapping[str, Array], source: str, *, trains: bool = False
) -> Lowered:
    """Lower a run of layers; values that they read and do not write become inputs.

    Args:
        arrays: learned arrays by ``weight_name``; those that are shared are taken from their owner.
        trains: with dropout, and batch normalisation by its batch.
    """
    builder = OnnxBuilder(trains=trains)
    shared = owners(placement.layers)
    emitted: dict[str, str] = {}
    inputs: dict[str, tuple[int, ...]] = {}
    weights: dict[str, Array] = {}
    for placed in layers:
        if placed.kind == "Input":
            for value in placed.outputs:
                inputs[value] = placement.axes[value].shape
            emitted.update({value: value for value in placed.outputs})
            continue
        for value in placed.inputs:
            if value not in emitted:
                inputs[value] = placement.axes[value].shape
                emitted[value] = value
        blobs = []
        for i in range(len(placed.learned)):
            name = weight_name(*shared[placed.name, i])
            array = arrays[name]
            weights[name] = array if array.dtype == np.float32 else array.astype(np.float32)
            blobs.append(name)
        names, before = [emitted[value] for value in placed.inputs], len(builder.nodes)
        try:
            outs = placed.layer.lower(builder, names, placed.ins, blobs)
        except LayerError as error:
            raise BadInput(f"{source}: layer {placed.name!r} ({placed.kind}): {error}") from None
        # A layer that changes nothing still writes a value of its own, which may be asked for.
        outs = tuple(builder.op("Identity", out) if out in names else out for out in outs)
        emitted.update(zip(placed.outputs, outs, strict=True))
        for node in builder.nodes[before:]:
            node.name = f"{placed.name}/{node.name}"
        if outs and len(builder.nodes) > before:
            builder.nodes[-1].name = placed.name  # what gives the layer's value
    used = {name for node in builder.nodes for name in node.input}  # a layer may not need all that it learned
    weights = {name: array for name, array in weights.items() if name in used}
    inputs = {value: shape for value, shape in inputs.items() if value in used}
    made = {v: emitted[v] for p in layers for v in p.outputs if v not in inputs}
    opsets = {"": OPSET, TRAINED: 1} if trains else {"": OPSET}
    return Lowered(
        builder.nodes, list(builder.constants.values()), inputs, made, weights, builder.any_size, opsets=opsets
    )
