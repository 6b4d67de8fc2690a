"""What a head costs: multiply-adds a cell of the map, beside those of the network."""

from __future__ import annotations

from math import prod

from fullconv.errors import CannotRun
from fullconv.model import Model
from fullconv.runtimes.footprint import value_shapes
from fullconv.surgery.head import Head

_STEPS = 16  # of the map, over which the network's own are counted, so that borders hardly count


def of_head(head: Head, mixes: bool) -> int:
    """Multiply-adds of a head a cell: sums of blocks, and each block of a window by each class."""
    total = head.classes * head.width if mixes else 0
    total += 0 if head.rank is None else head.classes * head.rank
    for level in head.levels:
        blocks = prod(level.step)  # new ones a cell
        total += level.channels * (blocks * prod(level.block) + prod(level.window) * head.width)
    return total


def of_network(full: Model, output: str) -> float | None:
    """Multiply-adds of a cast network's convolutions a cell of an output's map; None where some value's size cannot be told."""
    sampling, graph = full.sampling(output), full.graph
    size = [int(crop + _STEPS * step) for crop, step in zip(sampling.crop, sampling.stride, strict=True)]
    image = graph.image
    assert image is not None, "a network with cells has an image"
    shapes = {image: graph.values[image].with_size(*full.fitting((size[0], size[1]), output)).shape}
    try:
        lowered = full.lowered(shapes)
    except CannotRun:
        return None
    known = value_shapes(lowered, lowered.nodes, shapes)
    if known is None:
        return None
    constants = {tensor.name: tuple(tensor.dims) for tensor in lowered.constants}
    total = 0
    for node in lowered.nodes:
        if node.op_type in ("Conv", "Gemm", "MatMul") and node.output[0] in known:
            array = lowered.weights.get(node.input[1])
            kernel = constants.get(node.input[1], ()) if array is None else array.shape
            total += prod(known[node.output[0]]) * prod(kernel[1:] if node.op_type == "Conv" else kernel[:1])
    return total / prod(sampling.cells((size[0], size[1])))
