"""Layers put in order: which value each reads and writes, and every value's axes.

Caffe's blobs are written in place (a ReLU over its own bottom); a Graph's values are written once. A blob's
last writing keeps its name, an earlier one is ``blob@k`` with k writings after it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fullconv.errors import BadInput, CannotRun, Refusal
from fullconv.formats.caffe.layers import make_layer
from fullconv.formats.caffe.layers.base import Layer, LayerError, LayerRefused, Learned
from fullconv.graph import spec
from fullconv.graph.axes import Axes, AxesError
from fullconv.graph.nodes import Graph, Linear, Node, Touch


@dataclass(frozen=True, slots=True)
class Placed:
    """A layer with the values that it reads and writes."""

    layer: Layer
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    ins: tuple[Axes, ...]
    touch: Touch
    linear: Linear | None
    learned: tuple[Learned, ...]

    @property
    def name(self) -> str:
        return str(self.layer.message.name)

    @property
    def kind(self) -> str:
        return str(self.layer.message.type)


@dataclass(frozen=True, slots=True)
class Placement:
    """All layers of a net for given input shapes. ``inputs`` are values; ``versions`` a blob's values in order."""

    layers: tuple[Placed, ...]
    axes: Mapping[str, Axes]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    versions: Mapping[str, tuple[str, ...]]

    def graph(self) -> Graph:
        nodes = tuple(
            Node(p.name, p.kind, p.inputs, p.outputs, p.touch, p.linear) for p in self.layers if p.kind != "Input"
        )
        return spec.check(Graph(self.inputs, self.outputs, nodes, self.axes))


def blob_of(value: str) -> str:
    """The blob that a value is a writing of."""
    return value.rsplit("@", 1)[0] if value.rsplit("@", 1)[-1].isdigit() else value


def place(net: Any, source: str, shapes: Mapping[str, Sequence[int]] | None = None) -> Placement:
    """Place every layer of a V2 net.

    Args:
        net: filtered and deployed.
        source: the file, for messages.
        shapes: input shapes by blob instead of the file's.

    Raises:
        BadInput: a layer is unknown, or its parameters or bottoms do not fit.
        CannotRun: layers that Caffe has and nothing here can compute; all are named.
    """
    layers = _make(net, source)
    writes = Counter(top for message, _ in layers for top in message.top)
    written: Counter[str] = Counter()
    current: dict[str, str] = {}
    axes: dict[str, Axes] = {}
    versions: dict[str, tuple[str, ...]] = {}
    placed: list[Placed] = []
    inputs: list[str] = []
    read: set[str] = set()
    for message, layer in layers:
        where = f"{source}: layer {message.name!r} ({message.type})"
        for bottom in message.bottom:
            if bottom not in current:
                raise BadInput(f"{where} reads {bottom!r}, which no layer before it writes")
        values = tuple(current[bottom] for bottom in message.bottom)
        ins = tuple(axes[value] for value in values)
        try:
            layer.check_bottoms(ins)
            outs = layer.outputs(ins)
            told = layer.touch(ins), layer.linear(ins), layer.learned(ins)
            if message.type == "Input" and shapes:
                outs = tuple(Axes.image(shapes.get(top, a.shape)) for top, a in zip(message.top, outs, strict=True))
        except (LayerError, AxesError) as error:
            raise BadInput(f"{where}: {error}") from None
        except LayerRefused as error:
            raise CannotRun(f"{source}: cannot run", [Refusal(message.name, str(error))]) from None
        if len(outs) != len(message.top):
            raise BadInput(f"{where} writes {len(outs)} tops, but {len(message.top)} are named")
        tops = []
        for top, out in zip(message.top, outs, strict=True):
            if top in current and top not in message.bottom:
                raise BadInput(f"{where} writes {top!r}, which another layer writes already")
            written[top] += 1
            later = writes[top] - written[top]
            value = f"{top}@{later}" if later else top
            current[top] = value
            axes[value] = out
            versions[top] = (*versions.get(top, ()), value)
            tops.append(value)
        read.update(values)
        if message.type == "Input":
            inputs.extend(tops)
        placed.append(Placed(layer, values, tuple(tops), ins, *told))
    outputs = tuple(value for value in axes if value not in read and value not in inputs)
    if not inputs:
        raise BadInput(f"{source}: the net has no input; declare one with an Input layer")
    if not outputs:
        raise BadInput(f"{source}: the net has no output")
    return Placement(tuple(placed), axes, tuple(inputs), outputs, versions)


def _make(net: Any, source: str) -> list[tuple[Any, Layer]]:
    made, refused, names = [], [], Counter(layer.name for layer in net.layer)
    for message in net.layer:
        where = f"{source}: layer {message.name!r} ({message.type})"
        if names[message.name] > 1:
            raise BadInput(f"{where}: {names[message.name]} layers have this name; give each its own")
        try:
            made.append((message, make_layer(message)))
        except LayerError as error:
            raise BadInput(f"{where}: {error}") from None
        except LayerRefused as error:
            refused.append(Refusal(message.name, str(error)))
    if refused:
        raise CannotRun(f"{source}: {len(refused)} layer(s) cannot run", refused)
    return made
