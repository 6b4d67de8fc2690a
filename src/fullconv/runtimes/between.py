"""A part of a lowered network, from one value to another, and the multiplications that it takes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from math import prod

from fullconv.runtimes.footprint import Shape, value_shapes
from fullconv.runtimes.lowered import Lowered


def lowered_between(lowered: Lowered, first: str, last: str, shape: Sequence[int]) -> Lowered | None:
    """The network that makes one value of another, by the network's own names; None where it reads other values that it does not make.

    Args:
        shape: of what it reads, (N, C, H, W).
    """
    source = first if first in lowered.inputs else lowered.outputs.get(first)
    target = lowered.outputs.get(last)
    if source is None or target is None:
        return None
    need, nodes = {target}, []
    for node in reversed(lowered.nodes):
        if need.intersection(node.output):
            nodes.append(node)
            need.update(value for value in node.input if value and value != source)
    read = {value for node in nodes for value in node.input if value}
    made = {value for node in nodes for value in node.output}
    known = {constant.name for constant in lowered.constants} | set(lowered.weights) | {source}
    if not nodes or not read - made <= known:
        return None
    return replace(
        lowered,
        nodes=nodes[::-1],
        constants=[constant for constant in lowered.constants if constant.name in read],
        inputs={source: tuple(shape)},
        outputs={last: target},
        weights={name: array for name, array in lowered.weights.items() if name in read},
    )


def multiplications(lowered: Lowered, without: Collection[str] = ()) -> int | None:
    """Of its convolutions and products, on inputs of its own shapes; None where a shape cannot be told.

    Args:
        without: values whose own are not counted.
    """
    shapes = value_shapes(lowered, lowered.nodes, lowered.inputs)
    if shapes is None:
        return None
    kernels: Mapping[str, Shape] = {constant.name: tuple(constant.dims) for constant in lowered.constants} | {
        name: array.shape for name, array in lowered.weights.items()
    }
    total = 0
    for node in lowered.nodes:
        kernel = next((kernels[value] for value in node.input[1:2] if value in kernels), None)
        if kernel is None or node.output[0] not in shapes or node.output[0] in without:
            continue
        if node.op_type == "Conv":
            total += prod(shapes[node.output[0]]) * prod(kernel[1:])
        elif node.op_type == "ConvTranspose" and node.input[0] in shapes:
            total += prod(shapes[node.input[0]]) * prod(kernel[1:])
        elif node.op_type in ("Gemm", "MatMul") and node.input[0] in shapes:
            total += prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]
    return total
