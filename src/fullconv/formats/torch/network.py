"""A PyTorch network as fullconv holds it: a graph module, the input sizes that it is read at, and its graph."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from fullconv.errors import BadInput
from fullconv.formats.torch.module import OPAQUE, PATH, calls
from fullconv.formats.torch.operators import OPERATORS, Call, Spelling, Unspelt
from fullconv.formats.torch.shapes import Known, follows_size, learn
from fullconv.graph import spec
from fullconv.graph.axes import BATCH, Axes, whole
from fullconv.graph.nodes import Graph, Linear, Node, Opaque, Whole
from fullconv.operators import OPERATORS as RULES
from fullconv.operators import effect_of
from fullconv.operators.operation import Effect, Operation
from fullconv.rasters.preprocess import Preprocess
from fullconv.runtimes.lowered import Lowered

NAME, VALUE = "name", "value"  # keys of node.meta: names that fx would not take


WIDE = 2  # networks are read with a batch of two, so that no axis of size one is taken for the batch


@dataclass(frozen=True)
class TorchNet:
    """One network.

    Attributes:
        module: never changed; a cast works on a copy of its graph, over the same tensors where they stay as they are.
        source: what it was read from, for messages.
        inputs: axes of each input at training size.
        batch: the only batch size that it takes, None for any.
        known: shapes at that size.
        graph: nodes that carry the image's data.
        preprocess: what it was trained with, where its source says.
        notes: what a user should know of the reading.
        is_cast: made by a cast: it takes any size.
        metadata: texts that its file has beside the network, by their keys.
        lowered: its form for all sizes, once that was made, None where sizes differ in theirs.
    """

    module: fx.GraphModule
    source: str
    inputs: Mapping[str, Axes]
    batch: int | None
    known: Known
    graph: Graph
    preprocess: Preprocess | None = None
    notes: tuple[str, ...] = ()
    is_cast: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)
    lowered: list[Lowered | None] = field(default_factory=list, init=False, compare=False, repr=False)


def understand(
    module: fx.GraphModule,
    source: str,
    inputs: Mapping[str, Axes],
    batch: int | None,
    preprocess: Preprocess | None = None,
    notes: tuple[str, ...] = (),
) -> TorchNet:
    """Place every operator of a module for inputs of these axes."""
    known = known_at(module, inputs, batch)
    wide = {name: _with_batch(axes, batch or WIDE) for name, axes in inputs.items()}
    graph = _Reader(module, known, wide).graph(source)
    return TorchNet(module, source, dict(inputs), batch, known, graph, preprocess, notes)


def known_at(module: fx.GraphModule, inputs: Mapping[str, Axes], batch: int | None) -> Known:
    """Shapes of every value for inputs of these axes."""
    return learn(module, {name: _with_batch(axes, batch or WIDE).shape for name, axes in inputs.items()})


def _with_batch(axes: Axes, size: int) -> Axes:
    """The same axes for another batch."""
    return Axes(tuple(tuple(whole(BATCH, size) if a.root == BATCH else a for a in axis) for axis in axes.axes))


class _Reader:
    def __init__(self, module: fx.GraphModule, known: Known, inputs: Mapping[str, Axes]) -> None:
        self.module = module
        self.known = known
        self.inputs = inputs
        self.axes: dict[fx.Node, Axes] = {}
        self.nodes: list[Node] = []
        self.constants = _Constants(known)

    def graph(self, source: str) -> Graph:
        for node in self.module.graph.nodes:
            if node.op == "placeholder":
                self.axes[node] = self.inputs[name_of(node)]
        for node in calls(self.module):
            if node in self.known.flowing:
                self._read(node)
        outputs = tuple(value_of(node) for node in outputs_of(self.module) if node in self.axes)
        if not outputs:
            raise BadInput(f"{source}: no output depends on the input")
        values = {value_of(node): _with_batch(axes, 1) for node, axes in self.axes.items()}
        return spec.check(Graph(tuple(self.inputs), outputs, tuple(self.nodes), values))

    def _read(self, node: fx.Node) -> None:
        made, shapes = parts_of(node), self.known.shapes.get(node)
        if shapes is None or not made:
            return
        spelling, reason = None, node.meta.get(OPAQUE) or follows_size(node, self.known)
        try:
            spelling = spelling_of(node, self.known)
        except Unspelt as error:
            reason = reason or str(error)
        effect = self._effect(node, spelling, reason, made[-1][0] + 1)
        kept = [(value, effect.outputs[i]) for i, value in made]
        self.axes.update(kept)
        data = [v for v in (spelling.inputs if spelling else node.all_input_nodes) if v in self.axes]
        linear = effect.linear and Linear(effect.linear.outputs, effect.linear.over)
        self.nodes.append(
            Node(
                name_of(node),
                op_of(node.target),
                tuple(value_of(v) for v in data),
                tuple(value_of(value) for value, _ in kept),
                effect.touch,
                linear,
                effect.aligned,
            )
        )

    def _effect(self, node: fx.Node, spelling: Spelling | None, reason: str | None, read: int) -> Effect:
        shapes = self.known.shapes[node]
        each = shapes[:read] if shapes and isinstance(shapes[0], tuple) else (shapes,)
        if spelling is None or reason or spelling.op not in RULES:
            why = reason or f"{node.target} has no rule: how it moves over an image is not known"
            return Effect(Opaque(why), tuple(Axes.image(shape) for shape in each))
        axes = tuple(self.axes.get(v) if isinstance(v, fx.Node) else None for v in spelling.inputs)
        names = tuple(value_of(v) if isinstance(v, fx.Node) else None for v in spelling.inputs)
        effect = effect_of(Operation(spelling.op, names, axes, each, spelling.attributes, self.constants))
        if node.target is torch.ops.aten.layer_norm.default and isinstance(effect.touch, Whole):
            why = f"it normalises {axes[0]} over {list(Call(node, self.known)['normalized_shape'])}, a shape that holds at one size only"
            return Effect(Opaque(why), effect.outputs)
        return effect


def op_of(target: Any) -> str:
    """What people read for an operator: ``add.Tensor``, ``relu``."""
    if isinstance(target, torch._ops.OpOverload):
        return str(target).removeprefix("aten.").removesuffix(".default")
    return str(getattr(target, "__name__", target))


class _Constants(Mapping[str, Any]):
    """Shapes of constants as arrays that take no memory: rules ask for no more of them."""

    def __init__(self, known: Known) -> None:
        self._shapes = {value_of(n): shape for n, shape in known.shapes.items() if n not in known.flowing}

    def __getitem__(self, name: str) -> Any:
        return np.broadcast_to(np.float32(0), self._shapes[name])

    def __iter__(self) -> Any:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)


def name_nodes(module: fx.GraphModule) -> None:
    """Name what computes by the modules that it belongs to: ``layer1.0.conv1``, with the operator where one has several."""
    taken: set[str] = set()
    here: dict[str, set[str]] = {}
    for node in calls(module):
        here.setdefault(str(node.meta.get(PATH, "")), set()).add(_stem(node))
    for node in calls(module):
        path, stem = str(node.meta.get(PATH, "")), _stem(node)
        name = path if path and len(here[path]) == 1 else f"{path}/{stem}" if path else stem
        count, fresh = 1, name
        while fresh in taken:
            fresh, count = f"{name}_{count}", count + 1
        taken.add(fresh)
        node.meta[NAME] = fresh
        for i, part in parts_of(node):
            if part is not node:
                part.meta[NAME] = f"{fresh}.{i}"


def _stem(node: fx.Node) -> str:
    name = str(getattr(node.target, "__name__", node.target))
    return name.partition(".")[0].rstrip("_")


def spelling_of(node: fx.Node, known: Known) -> Spelling | None:
    """A call in ONNX's words; None for operators that have no spelling here.

    Raises:
        Unspelt: it has one, but not as it is called.
    """
    record = OPERATORS.get(node.target)
    return None if record is None else record.spelling(Call(node, known))


def parts_of(node: fx.Node) -> list[tuple[int, fx.Node]]:
    """The values that a call makes and that are read, with their place among its outputs."""
    picked = [user for user in node.users if user.target is operator.getitem]
    if picked and len(picked) == len(node.users):
        first: dict[int, fx.Node] = {}
        for user in picked:
            first.setdefault(int(user.args[1]), user)  # type: ignore[arg-type]
        return sorted(first.items())
    return [(0, node)]


def name_of(node: fx.Node) -> str:
    """A node's name in the Graph; of an input what the module calls it."""
    return str(node.target) if node.op == "placeholder" else str(node.meta.get(NAME, node.name))


def value_of(node: fx.Node) -> str:
    """The name in the Graph of the value that a node makes: its own, unless a cast had to part the two."""
    return str(node.meta.get(VALUE, name_of(node)))


def outputs_of(module: fx.GraphModule) -> list[fx.Node]:
    """The values that the module answers with; an input that it hands back is no answer."""
    (output,) = (node for node in module.graph.nodes if node.op == "output")
    return [node for node in output.all_input_nodes if node.op != "placeholder"]


def device_of(module: nn.Module) -> torch.device:
    """Where a module's parameters lie."""
    first = next(iter(module.parameters()), None)
    return torch.device("cpu") if first is None else first.device
