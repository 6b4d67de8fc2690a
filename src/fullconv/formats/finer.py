"""Finer maps, and whatever else is done to a network's ONNX form, for every format.

Caffe's pooling has no dilation and PyTorch's averages have none, so a finer network is one of ONNX whatever the format.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fullconv.errors import BadInput
from fullconv.formats.format import Format
from fullconv.formats.head import FittedHead
from fullconv.graph.nodes import Graph
from fullconv.surgery.edit import SetWindow
from fullconv.surgery.head import misplaced

if TYPE_CHECKING:
    from fullconv.formats.onnx.network import OnnxNet


@dataclass(frozen=True, slots=True)
class Finer:
    """A finer network: its format and its object there, and the edits that made it."""

    format: Format
    native: Any
    edits: tuple[SetWindow, ...]


def refined(kind: Format, native: Any, graph: Graph, source: str, stride: int) -> Finer:
    """A cast network with a finer map.

    Args:
        kind, native, graph: the cast network: its format, its object there, and its graph.
        source: its name, for messages.
        stride: pixels from cell to cell; a divisor of the network's own steps.

    Raises:
        CannotCast: a node has no finer form.
    """
    from fullconv.formats.onnx.refine import refined as refined_onnx

    network, edits = refined_onnx(as_onnx(kind, native, graph, source)[0], (stride, stride))
    return Finer(_onnx(), network, edits)


@dataclass(frozen=True, slots=True)
class Adapted:
    """A network with a head: its format and its object there, and the head in its names."""

    format: Format
    native: Any
    fitted: FittedHead


def adapted(kind: Format, native: Any, graph: Graph, source: str, fitted: FittedHead) -> Adapted:
    """A cast network with a head, in its own format where that has one.

    Args:
        kind, native, graph, source: as for ``refined``.

    Raises:
        BadInput: the head does not fit the network.
    """
    why = misplaced(graph, fitted.head)
    if why is not None:
        raise BadInput(f"{source}: a head that does not fit the network: {why}")
    own = kind.adapt(native, fitted)
    if own is not None:
        return Adapted(kind, own, fitted)
    network, names = as_onnx(kind, native, graph, source)
    there, renamed = _onnx(), _renamed(fitted, graph, names)
    return Adapted(there, there.adapt(network, renamed), renamed)


def _onnx() -> Format:
    from fullconv.formats.onnx.format import Onnx

    return Onnx()


def _renamed(fitted: FittedHead, graph: Graph, names: Mapping[str, str]) -> FittedHead:
    """A head in the names of a network's ONNX form, where outputs keep theirs."""
    head = fitted.head
    levels = tuple(replace(level, value=names[level.value]) for level in head.levels)
    logits = head.logits if head.logits in graph.outputs else names[head.logits]
    return replace(fitted, head=replace(head, logits=logits, levels=levels))


def as_onnx(kind: Format, native: Any, graph: Graph, source: str) -> tuple[OnnxNet, Mapping[str, str]]:
    """A cast network as one of ONNX over the same weights, its heads as ONNX has them, and the names of its values there."""
    from fullconv.formats.onnx.head import adapt
    from fullconv.formats.onnx.network import OnnxNet
    from fullconv.formats.onnx.refine import of_lowered

    if isinstance(native, OnnxNet):
        return native, {value: value for value in graph.values}
    bare, heads = kind.unadapted(native) or (native, ())
    if heads:
        plain = kind.graph(bare)
        network, names = as_onnx(kind, bare, plain, source)
        for each in heads:
            network = adapt(network, _renamed(each, plain, names))
        return network, names
    shapes = {value: graph.values[value].shape for value in graph.inputs}
    lowered = kind.lower(native, shapes)
    inputs = {value: graph.values[value] for value in graph.inputs}
    return of_lowered(lowered, graph.outputs, inputs, source), lowered.outputs
