"""Layers put in order: which value each reads and writes, and every value's axes.

Caffe's blobs are written in place (a ReLU over its own bottom); a Graph's values are written once. A blob's
last writing keeps its name, an earlier one is ``blob@k`` with k writings after it (with more ``@`` where a blob has that name).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from fullconv.errors import BadInput, CannotRun, Refusal
from fullconv.formats.caffe.layers import make_layer
from fullconv.formats.caffe.layers.base import Layer, LayerError, LayerRefused, Learned
from fullconv.graph import spec
from fullconv.graph.axes import Axes, AxesError
from fullconv.graph.nodes import Graph, Linear, Node, Touch

_MOST_AXES, _MOST_VALUES = 32, 2**31 - 1  # of a blob of Caffe


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
    """All layers of a net for given input shapes.

    Attributes:
        axes: of every value.
        inputs, outputs: values.
        versions: a blob's values, in the order in which they are written.
        blobs: the blob that a value is a writing of.
    """

    layers: tuple[Placed, ...]
    axes: Mapping[str, Axes]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    versions: Mapping[str, tuple[str, ...]]
    blobs: Mapping[str, str]

    def graph(self) -> Graph:
        nodes = tuple(
            Node(p.name, p.kind, p.inputs, p.outputs, p.touch, p.linear) for p in self.layers if p.kind != "Input"
        )
        return spec.check(Graph(self.inputs, self.outputs, nodes, self.axes))


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
    state = _State(writes)
    placed: list[Placed] = []
    inputs: list[str] = []
    read: Counter[str] = Counter()
    for message, layer in layers:
        where = f"{source}: layer {message.name!r} ({message.type})"
        for bottom in message.bottom:
            if bottom not in state.current:
                raise BadInput(f"{where} reads {bottom!r}, which no layer before it writes")
        values = tuple(state.current[bottom] for bottom in message.bottom)
        ins = tuple(state.axes[value] for value in values)
        try:
            layer.check_bottoms(ins)
            outs = layer.outputs(ins)
            given = layer.touch(ins), layer.linear(ins), layer.learned(ins)
            if message.type == "Input" and shapes:
                outs = tuple(Axes.image(shapes.get(top, a.shape)) for top, a in zip(message.top, outs, strict=True))
            for axes in outs:
                _check_size(axes)
        except (LayerError, AxesError) as error:
            raise BadInput(f"{where}: {error}") from None
        except LayerRefused as error:
            raise CannotRun(f"{source}: cannot run", [Refusal(message.name, str(error))]) from None
        if len(outs) != len(message.top):
            raise BadInput(f"{where} writes {len(outs)} tops, but {len(message.top)} are named")
        read.update(values)
        tops = []
        for i, (top, out) in enumerate(zip(message.top, outs, strict=True)):
            if top in state.current:
                if top in tops or top not in message.bottom[i : i + 1]:
                    raise BadInput(f"{where} writes {top!r}, which another layer writes already")
                _check_in_place(layer, top, read[state.current[top]], where)
            tops.append(state.write(top, out))
        if message.type == "Input":
            inputs.extend(tops)
        placed.append(Placed(layer, values, tuple(tops), ins, *given))
    _check_memory(placed, source)
    outputs = tuple(value for value in state.axes if value not in read and value not in inputs)
    if not inputs:
        raise BadInput(f"{source}: the net has no input; declare one with an Input layer")
    if not outputs:
        raise BadInput(f"{source}: the net has no output")
    return Placement(tuple(placed), state.axes, tuple(inputs), outputs, state.versions, state.blobs)


@dataclass
class _State:
    """Which value stands in each blob while layers are placed."""

    writes: Counter[str]  # how often each blob is written in all
    current: dict[str, str] = field(default_factory=dict)
    axes: dict[str, Axes] = field(default_factory=dict)
    versions: dict[str, tuple[str, ...]] = field(default_factory=dict)
    blobs: dict[str, str] = field(default_factory=dict)

    def write(self, blob: str, axes: Axes) -> str:
        """A new value of the blob, under a name of its own."""
        later = self.writes[blob] - len(self.versions.get(blob, ())) - 1
        value = f"{blob}@{later}" if later else blob
        while later and (value in self.writes or value in self.axes):
            value += "@"
        self.current[blob] = value
        self.axes[value] = axes
        self.versions[blob] = (*self.versions.get(blob, ()), value)
        self.blobs[value] = blob
        return value


def _check_size(axes: Axes) -> None:
    """Caffe's own bounds, which keep a small file from asking for all memory."""
    if axes.rank > _MOST_AXES:
        raise LayerError(f"a blob of {axes.rank} axes; Caffe's have at most {_MOST_AXES}")
    if prod(axes.shape) > _MOST_VALUES:
        raise LayerError(f"a blob of {axes.shape} is larger than any of Caffe's ({_MOST_VALUES} values)")


def _check_in_place(layer: Layer, blob: str, readers: int, where: str) -> None:
    if not layer.in_place:
        raise BadInput(f"{where} writes over its own bottom {blob!r}, which this type cannot; give it a top of its own")
    if readers > 1:
        raise BadInput(f"{where} writes over {blob!r}, which another layer reads too; give it a top of its own")


def _check_memory(layers: Sequence[Placed], source: str) -> None:
    """No layer writes over memory that another blob shares (a Flatten's top is its bottom's) and that is still to be read."""
    memory: dict[str, str] = {}
    last = {value: i for i, placed in enumerate(layers) for value in placed.inputs}
    for i, placed in enumerate(layers):
        over = placed.inputs[0] if placed.inputs else ""
        in_place = bool(over) and placed.layer.message.top[:1] == placed.layer.message.bottom[:1]
        for value, owner in memory.items() if in_place else ():
            if owner == memory[over] and value != over and last.get(value, len(layers)) > i:
                raise BadInput(
                    f"{source}: layer {placed.name!r} ({placed.kind}) writes over {over!r}, whose memory is that of {value!r} too, "
                    "which is read after it: give the layer a top of its own"
                )
        for value in placed.outputs:
            shared = in_place or placed.layer.shares
            memory[value] = memory[over] if shared else value
        if in_place:
            memory = {value: owner for value, owner in memory.items() if value != over}


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
