"""What a run of a network takes, before it is run."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import prod

from fullconv.errors import CannotRun
from fullconv.maps.ways import Way
from fullconv.model import Model
from fullconv.runtimes.engine import Engine
from fullconv.runtimes.footprint import footprint
from fullconv.runtimes.lowered import Lowered
from fullconv.runtimes.runtime import Precision, chosen
from fullconv.tiling.memory import graph_bytes

_COMPILED = 32 << 20  # bytes of a network that OpenVINO compiled, without its weights
_KEPT, _COMPILING = 2, 5.5  # copies of these that it holds, and that it takes while it compiles
_SCRATCH = 1.15  # what a run takes, for what ONNX Runtime's does
_BETWEEN = 1.25  # times what lives at once, where PyTorch's pieces lie with room between them on the processor: measured 1.1 to 1.2
_KERNELS = 40 << 20  # bytes of what PyTorch loads and makes with the first tile there
_COPIES = 4  # of the scores, that a softmax or sigmoid holds


def turns(model: Model) -> bool:
    """Whether its input is laid out in another order, which takes a copy."""
    image = model.graph.image
    return image is not None and model.graph.values[image].channel_axis != 1


def engine_bytes(way: Way, asked: str, precision: Precision = "fp32") -> Callable[[tuple[int, int, int, int]], int]:
    """Predicted bytes of a run by the engine that is asked for, or that ``auto`` takes, as a function of its input's shape (N, C, H, W)."""
    model, graph = way.model, way.model.graph
    image = graph.image
    assert image is not None, "a network with cells has an image"
    engine = chosen(Engine.of(asked), precision)
    runtime = "torch" if engine == "torch" else "onnxruntime"
    axes = graph.values[image]
    classes = prod(graph.values[way.output].shape[1:])  # at training size: no fewer

    def laid(shape: tuple[int, int, int, int]) -> tuple[int, ...]:
        return shape if axes.channel_axis == 1 else (shape[0], *shape[2:], shape[1])

    def activated(size: tuple[int, int]) -> int:
        """Of a softmax or sigmoid that is computed behind the framework."""
        return 0 if model.activation is None else _COPIES * 4 * classes * prod(way.sampling.cells(size))

    @cache
    def lowered(shape: tuple[int, ...]) -> Lowered:
        return model.lowered({image: shape})

    def rules(found: int, own: Lowered) -> int:
        if engine == "openvino":
            return _by_openvino(found, own)
        return by_torch(found) if engine == "torch" and Engine.of(asked).kind in (None, "cpu") else found

    def measure(shape: tuple[int, int, int, int]) -> int:
        try:
            own = lowered(axes.shape)
            if not own.any_size:
                own = lowered(laid(shape))
            found = footprint(own, [way.output], {image: laid(shape)}, runtime)
        except CannotRun:  # its own framework runs it
            found = None
        if found is not None:
            return rules(found, own)
        return (graph_bytes(graph, way.output, (shape[2], shape[3])) + activated((shape[2], shape[3]))) * shape[0]

    return measure


def by_torch(alive: int) -> int:
    """What PyTorch takes on the processor for values that take so much while they live."""
    return int(_BETWEEN * alive) + _KERNELS


def _by_openvino(run: int, lowered: Lowered) -> int:
    """The same with what OpenVINO takes, which compiles for a shape what was compiled for another: measured on five families, at two shapes each."""
    weights = sum(array.nbytes for array in lowered.weights.values())
    return max(int(_SCRATCH * run + _KEPT * weights), int(_COMPILING * weights)) + _COMPILED
