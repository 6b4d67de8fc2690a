"""A network of any format up to one of its values, as one of ONNX over the same weights: what lies behind it is not there, and not computed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import onnx

from fullconv.errors import BadInput
from fullconv.formats.format import Format
from fullconv.graph.axes import SPACE
from fullconv.graph.nodes import Graph
from fullconv.runtimes.lowered import Lowered

if TYPE_CHECKING:
    from fullconv.formats.onnx.network import OnnxNet


def up_to(kind: Format, native: Any, graph: Graph, value: str, source: str) -> tuple[Format, OnnxNet]:
    """The network whose only output is this value, and its format.

    Args:
        kind, native, graph: the network: its format, its object there, and its graph.
        source: its name, for messages.

    Raises:
        BadInput: its engine keeps no such value.
        CannotRun: the network has no form in ONNX's operators.
    """
    from fullconv.formats.onnx.format import Onnx
    from fullconv.formats.onnx.probe import leading_to
    from fullconv.formats.onnx.refine import of_lowered

    lowered = kind.lower(native, {name: graph.values[name].shape for name in graph.inputs})
    if value not in lowered.outputs:
        raise BadInput(f"{source}: {value!r} is no value of the form that engines run")
    part = leading_to(lowered, {lowered.outputs[value]})
    # What the network's other layers hold for one size alone is gone; the reader looks at each that is left.
    free = part.free if lowered.any_size else _free(kind, native, graph)
    part = replace(
        part,
        any_size=True,
        free=free,
        nodes=list(_named(part, lowered, graph)),
        outputs={value: lowered.outputs[value]},
    )
    inputs = {name: graph.values[name] for name in graph.inputs if name in part.inputs}
    return Onnx(), of_lowered(part, (value,), inputs, source)


def _free(kind: Format, native: Any, graph: Graph) -> tuple[int, ...]:
    """The axes of its image that may be of any size."""
    image = graph.image
    sides = () if image is None else (graph.values[image].space_axis(root) for root in SPACE)
    return (*((0,) if kind.batch(native) is None else ()), *(side for side in sides if side is not None))


def _named(part: Lowered, whole: Lowered, graph: Graph) -> Iterator[onnx.NodeProto]:
    """The part's operators; what makes a value of the network has the name of the layer that does."""
    makers = {whole.outputs[value]: node.name for node in graph for value in node.outputs if value in whole.outputs}
    for node in part.nodes:
        own = onnx.NodeProto()
        own.CopyFrom(node)
        own.name = next((makers[value] for value in node.output if value in makers), node.name)
        yield own
