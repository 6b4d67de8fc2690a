"""The walk that plans: one visit a node, in order.

At each node the inputs' axes are known twice: before the cast (``old``) and after it (``new``). Values that were
vectors are maps after it, of 1×1 cells at training size, so that the same net still answers once for one crop.

Cases at a node, each in a module of its own:
1. Whole, linear, or Pointwise with a matrix    -> LinearToConv (pooled.py), kernel = the map at training size, or 1×1
2. Whole, mean or max                           -> GlobalToSliding; GlobalToLocal where it gates the map (pooled.py, gates.py)
3. Pointwise over everything or a vector's axis -> SetAxis to channels, where its input became a map (along.py)
4. Pointwise over an axis and all behind it     -> ChannelsLast, on every map (along.py)
5. Layout that hides height or width            -> RemoveLayout; who reads it reads the map (moved.py)
6. Layout that keeps them                       -> FreeShape, where it states them as numbers (moved.py)
7. Opaque, Whole of another kind, or inputs that no longer match -> refused
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from fullconv.errors import Refusal
from fullconv.graph.axes import AxesError
from fullconv.graph.nodes import Graph, Layout, Node, Opaque, Pointwise, Whole, Window
from fullconv.surgery.along import along, needs_edit
from fullconv.surgery.dialect import Dialect
from fullconv.surgery.draft import Draft
from fullconv.surgery.edit import FixWindow
from fullconv.surgery.gates import Gates
from fullconv.surgery.moved import layout
from fullconv.surgery.pooled import linear, pool
from fullconv.surgery.sampled import Sampler
from fullconv.surgery.step import Step, grown


@dataclass
class Walk:
    """One walk; ``visit`` every node, then ask for the ``result``.

    Attributes:
        draft: the cast network so far.
        gates: pools that meet the map again.
        refusals: nodes that have no cast form.
        unordered: values left in an order that no map has.
    """

    draft: Draft
    gates: Gates
    refusals: list[Refusal] = field(default_factory=list)
    unordered: set[str] = field(default_factory=set)
    sampler: Sampler = field(init=False)
    _lost: set[str] = field(default_factory=set)  # behind a refusal: one a chain is enough

    def __post_init__(self) -> None:
        self.sampler = Sampler(self.draft, self.gates)

    @staticmethod
    def over(graph: Graph, dialect: Dialect, gates: frozenset[str], keeps_gates: bool) -> Walk:
        """Walk a whole graph, with these pools known as gates."""
        walk = Walk(Draft(graph, dialect), Gates(graph, gates, keeps_gates))
        for node in graph.nodes:
            walk.visit(node)
        return walk

    def visit(self, node: Node) -> None:
        inputs = tuple(self.draft.now(value) for value in node.inputs)
        if self._lost.intersection(inputs):
            self._lost.update(node.outputs)
            return
        self.gates.visit(node, inputs)
        old = tuple(self.draft.graph.values[value] for value in node.inputs)
        step = Step(node, inputs, old, tuple(self.draft.axes[value] for value in inputs))
        try:
            self._plan(step)
        except AxesError as error:
            self.refusals.append(Refusal(node.name, str(error)))
            self._lost.update(node.outputs)

    def _plan(self, step: Step) -> None:
        node, touch, draft = step.node, step.node.touch, self.draft
        if isinstance(touch, Opaque):
            raise AxesError(touch.reason)
        if self.unordered.intersection(node.inputs):
            self._unordered(step)
        if self.gates.behind_kept(step.inputs) or self.gates.keeps(node):
            draft.emit(replace(node, inputs=step.inputs), *(draft.graph.values[v] for v in node.outputs))
        elif isinstance(touch, Layout):
            if layout(draft, step, touch):
                self.unordered.add(node.outputs[0])
        elif node.linear is not None and step.new[0].is_map:
            linear(draft, step, node.linear)
        elif isinstance(touch, Whole) and touch.how in ("mean", "max"):
            pool(draft, step, gates=node.name in self.gates.known)
        elif isinstance(touch, Whole) and touch.how != "statistics":
            raise AxesError(touch.reason or "it mixes the whole map in a way that no window does")
        else:
            self._stay(step)

    def _unordered(self, step: Step) -> None:
        """A layout or a weight matrix may read a value in no map's order; so may what acts on each number for itself."""
        node, touch = step.node, step.node.touch
        read = self.unordered.intersection(node.inputs)
        only_first = read == {node.inputs[0]}
        if isinstance(touch, Layout) or (node.linear is not None and only_first):
            return
        alone = len(node.inputs) == 1 and not node.aligned
        if (
            alone
            and isinstance(touch, Pointwise)
            and touch.axis is None
            and not touch.flat
            and _keeps(step, self.draft)
        ):
            self.unordered.update(node.outputs)
            return
        value = min(read)
        raise AxesError(f"it reads {value} ({self.draft.graph.values[value]}), in an order that no map has")

    def _stay(self, step: Step) -> None:
        node, touch, draft = step.node, step.node.touch, self.draft
        if isinstance(touch, Pointwise):
            step = self.sampler.sampled(step)
            self.gates.check(step.inputs, step.old, step.new)
            if needs_edit(step, touch):
                along(draft, step, touch)
                return
        if isinstance(touch, Window) and touch.auto:
            pads = (touch.y.pad_before, touch.x.pad_before, touch.y.pad_after, touch.x.pad_after)
            kernel, stride = (touch.y.kernel, touch.x.kernel), (touch.y.stride, touch.x.stride)
            reason = "a window that follows the input's size would move the cells of a map"
            draft.edits.append(FixWindow(node.name, kernel, stride, pads, reason))
            touch = replace(touch, auto=False)
        outs = (grown(step, touch, draft.graph.values[v]) for v in node.outputs)
        draft.emit(replace(node, inputs=step.inputs, touch=touch), *outs)


def _keeps(step: Step, draft: Draft) -> bool:
    """Whether a node's outputs have its input's axes."""
    return all(draft.graph.values[value] == step.old[0] for value in step.node.outputs)
