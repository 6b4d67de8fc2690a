"""From a Graph to a Plan: what to edit, what is refused, and the graph that must come out.

One walk over the nodes, in order. At each the inputs' axes are known twice: before the cast (``old``)
and after it (``new``). Values that were vectors are maps after it, of 1×1 cells at training size, so
the same net still answers once for one crop.

Cases at a node:
1. Whole, linear                                -> LinearToConv, kernel = the map at training size
2. Whole, mean or max                           -> GlobalToSliding
3. Pointwise with a matrix, on a vector         -> LinearToConv, kernel 1×1
4. Pointwise over everything or a negative axis -> SetAxis to channels, where its input became a map
5. Layout that hides height or width            -> RemoveLayout; who reads it reads the map
6. Layout that keeps them                       -> FreeShape, where it states them as numbers
7. Opaque, Whole of another kind, or inputs that no longer match -> refused
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from fullconv import spec
from fullconv.axes import CHANNEL, SPACE, Axes, AxesError, flatten_order, size_of, whole
from fullconv.errors import Refusal
from fullconv.geometry.exactness import Cause, causes
from fullconv.graph import Graph, Layout, Linear, Node, Opaque, Pointwise, Span, Whole, Window
from fullconv.surgery.edit import Edit, FreeShape, GlobalToSliding, LinearToConv, RemoveLayout, SetAxis, to_json

CHANNELS = 1  # the channel axis of a map in (n, c, h, w)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a cast does.

    Attributes:
        graph: the graph that was planned for.
        edits: in the order of its nodes.
        refusals: nodes that cannot be cast; a plan with any is not applied.
        predicted: the graph that must be read back after applying (None where refused).
        inexact: why the map differs from crops; empty where it is exact.
    """

    graph: Graph
    edits: tuple[Edit, ...]
    refusals: tuple[Refusal, ...]
    predicted: Graph | None
    inexact: tuple[Cause, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Nothing to do: the network is fully convolutional already."""
        return not self.edits and not self.refusals

    def __str__(self) -> str:
        lines = [f"{edit}  ({edit.reason})" for edit in self.edits]
        lines += [f"refused: {refusal}" for refusal in self.refusals]
        if self.is_empty:
            lines.append("nothing to do: the network is fully convolutional already")
        if self.predicted is not None:
            lines.append(self.exactness)
        return "\n".join(lines)

    @property
    def exactness(self) -> str:
        """One sentence: exact, or how many nodes make the map differ from crops."""
        if not self.inexact:
            return "exact: every cell equals its crop's answer to floating-point noise"
        kinds = dict.fromkeys(cause.kind for cause in self.inexact)
        told = " and ".join(f"{kind} in {_some([c.node for c in self.inexact if c.kind == kind])}" for kind in kinds)
        return f"not exact: cells differ from their crops through {told}"

    def to_json(self) -> dict[str, Any]:
        return {
            "edits": [to_json(edit) for edit in self.edits],
            "refusals": [{"node": r.node, "reason": r.reason} for r in self.refusals],
            "exact": self.predicted is not None and not self.inexact,
            "causes": [{"kind": c.kind, "node": c.node, "detail": c.detail} for c in self.inexact],
        }


def _some(names: list[str], most: int = 5) -> str:
    """The first few names, and how many more."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def make_plan(graph: Graph, rename: Callable[[str], str] = lambda name: name) -> Plan:
    """Plan the cast of a graph.

    Args:
        graph: as read, at training size.
        rename: the name of a node whose weights change shape (Caffe's reader matches weights by name).
    """
    if graph.image is None:
        names = ", ".join(f"{name} {graph.values[name].shape}" for name in graph.inputs) or "none"
        return Plan(
            graph, (), (Refusal("input", f"no input is an image with height and width (inputs: {names})"),), None
        )
    walk = _Walk(graph, rename)
    for node in graph.nodes:
        walk.visit(node)
    if walk.refusals:
        return Plan(graph, tuple(walk.edits), tuple(walk.refusals), None)
    predicted = spec.check(walk.result())
    return Plan(graph, tuple(walk.edits), (), predicted, causes(predicted))


@dataclass(frozen=True, slots=True)
class _Site:
    """A node, with what it reads before the cast and after it."""

    node: Node
    inputs: tuple[str, ...]
    old: tuple[Axes, ...]
    new: tuple[Axes, ...]

    @property
    def became_map(self) -> bool:
        """Whether its first input was no map and is one after the cast."""
        return bool(self.new) and self.new[0].is_map and not self.old[0].is_map


@dataclass
class _Walk:
    graph: Graph
    rename: Callable[[str], str]
    edits: list[Edit] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    new: dict[str, Axes] = field(default_factory=dict)
    alias: dict[str, str] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    follow: set[str] = field(default_factory=set)  # values whose size follows an input's

    def __post_init__(self) -> None:
        self.new = {name: self.graph.values[name] for name in self.graph.inputs}
        self.follow = set(self.graph.inputs)

    def visit(self, node: Node) -> None:
        inputs = tuple(self.alias.get(value, value) for value in node.inputs)
        if self.lost.intersection(inputs):
            self.lost.update(node.outputs)  # one refusal a chain is enough
            return
        if self.follow.intersection(inputs):
            self.follow.update(node.outputs)
        old = tuple(self.graph.values[value] for value in node.inputs)
        site = _Site(node, inputs, old, tuple(self.new[value] for value in inputs))
        try:
            self._place(site)
        except AxesError as error:
            self.refusals.append(Refusal(node.name, str(error)))
            self.lost.update(node.outputs)

    def _place(self, site: _Site) -> None:
        touch = site.node.touch
        if isinstance(touch, Opaque):
            raise AxesError(touch.reason)
        if isinstance(touch, Layout):
            self._layout(site, touch)
        elif site.node.linear is not None and site.new[0].is_map:
            self._linear(site, site.node.linear)
        elif isinstance(touch, Whole) and touch.how in ("mean", "max"):
            self._pool(site)
        elif isinstance(touch, Whole) and touch.how != "statistics":
            raise AxesError(touch.reason or "it mixes the whole map in a way that no window does")
        else:
            self._stay(site)

    def _linear(self, site: _Site, linear: Linear) -> None:
        source = site.new[0]
        channels = source.axes[CHANNELS]
        order = flatten_order(linear.over, channels)
        kernel = source.map_size
        area = size_of(atom for atom in linear.over if atom.is_space)
        if area != kernel[0] * kernel[1]:
            raise AxesError(f"its matrix covers {area} cells of a map of {kernel[0]}×{kernel[1]}")
        name = self._fresh(site.node.name)
        what = "over 1×1 cells" if kernel == (1, 1) else f"over the {kernel[0]}×{kernel[1]} map"
        reason = f"an inner product {what} is a {kernel[0]}×{kernel[1]} convolution"
        self.edits.append(
            LinearToConv(site.node.name, name, order, linear.outputs, size_of(channels), kernel, site.inputs[0], reason)
        )
        out = Axes((source.axes[0], (whole(CHANNEL, linear.outputs),), *_ONE_CELL))
        node = replace(site.node, name=name, inputs=site.inputs, linear=None, touch=_window(kernel))
        self._emit(node, out)

    def _pool(self, site: _Site) -> None:
        source = site.new[0]
        kernel = source.map_size
        reason = f"pooling the {kernel[0]}×{kernel[1]} map of one crop is pooling a window of that size"
        self.edits.append(GlobalToSliding(site.node.name, kernel, reason))
        out = Axes((source.axes[0], source.axes[CHANNELS], *_ONE_CELL))
        self._emit(replace(site.node, inputs=site.inputs, touch=_window(kernel)), out)

    def _layout(self, site: _Site, touch: Layout) -> None:
        node, before, after = site.node, site.new[0], self.graph.values[site.node.outputs[0]]
        if not before.is_map:
            self._emit(replace(node, inputs=site.inputs), after)
        elif after.is_map and site.old[0].is_map:
            if touch.fixed:
                if any(before.space_axis(root) != after.space_axis(root) for root in SPACE):
                    raise AxesError(f"it states sizes as numbers and moves height or width ({before} to {after})")
                free = {after.space_axis(root) for root in SPACE} | {0}
                shape = tuple(0 if i in free else size for i, size in enumerate(after.shape))
                self.edits.append(FreeShape(node.name, shape, "height and width follow the input"))
            self._emit(replace(node, inputs=site.inputs, touch=Layout()), after)
        elif len(node.outputs) != 1 or after.axes[0] != before.axes[0]:
            raise AxesError(f"it moves the batch into other axes ({after})")
        else:
            value = node.outputs[0]
            self.alias[value] = site.inputs[0]
            reason = f"it lays out one crop's map as {after}; a larger map stays a map"
            self.edits.append(RemoveLayout(node.name, value, site.inputs[0], reason))

    def _stay(self, site: _Site) -> None:
        node, touch = site.node, site.node.touch
        if isinstance(touch, Pointwise):
            self._check_sides(site)
        if isinstance(touch, Pointwise) and site.became_map:
            touch = replace(touch, axis=self._channel_axis(site, touch), flat=False)
            height, width = site.new[0].map_size
            cells = ((whole("h", height),), (whole("w", width),))
            for value in node.outputs:
                # What was a vector gets its input's cells: the channels stay.
                channels = tuple(a for axis in self.graph.values[value].axes[1:] for a in axis if not a.is_space)
                self.new[value] = Axes((site.new[0].axes[0], channels, *cells))
            self.nodes.append(replace(node, inputs=site.inputs, touch=touch))
        else:
            self._emit(replace(node, inputs=site.inputs), *(self.graph.values[v] for v in node.outputs))

    def _check_sides(self, site: _Site) -> None:
        """Inputs of one cell each must still be maps of one size, whatever the image's."""
        maps = {v: axes.map_size for v, axes in zip(site.inputs, site.new, strict=True) if axes.is_map}
        if len(set(maps.values())) > 1:
            told = " and ".join(f"{v} ({h}×{w})" for v, (h, w) in maps.items())
            raise AxesError(
                f"{told} meet here: a statistic pooled over the whole map acts on the map, which no window gives"
            )
        fixed = [v for v in maps if v not in self.follow]
        if fixed and len(fixed) < len(maps):
            raise AxesError(f"{fixed[0]} has a fixed size, which a larger map does not")
        for value, old, new in zip(site.inputs, site.old, site.new, strict=True):
            if old.rank == site.old[0].rank and new.is_map != site.new[0].is_map:
                raise AxesError(f"{value} stays {new} where {site.inputs[0]} is {site.new[0]}")

    def _channel_axis(self, site: _Site, touch: Pointwise) -> int | None:
        if not touch.flat and touch.axis in (None, CHANNELS):
            return touch.axis
        if touch.axis is not None and site.old[0].index(touch.axis) != CHANNELS:
            raise AxesError(f"it works along axis {touch.axis} of {site.old[0]}, which is not the channels")
        why = "it ran over everything behind the batch" if touch.flat else f"axis {touch.axis} counts from the end"
        self.edits.append(SetAxis(site.node.name, CHANNELS, f"{why}; a map has its channels on axis {CHANNELS}"))
        return CHANNELS

    def _emit(self, node: Node, *out: Axes) -> None:
        self.nodes.append(node)
        self.new.update(zip(node.outputs, out, strict=True))

    def _fresh(self, old: str) -> str:
        """The node's new name, renamed again while another node has it."""
        taken = {node.name for node in self.graph.nodes if node.name != old} | {node.name for node in self.nodes}
        name = self.rename(old)
        while name in taken:
            name = self.rename(name)
        return name

    def result(self) -> Graph:
        outputs = tuple(dict.fromkeys(self.alias.get(v, v) for v in self.graph.outputs))
        return Graph(self.graph.inputs, outputs, tuple(self.nodes), self.new)


_ONE_CELL = ((whole("h", 1),), (whole("w", 1),))


def _window(kernel: tuple[int, int]) -> Window:
    return Window(Span(kernel[0]), Span(kernel[1]))
