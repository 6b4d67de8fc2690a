"""The walk that plans: one visit a node, in order.

At each node the inputs' axes are known twice: before the cast (``old``) and after it (``new``). Values that were
vectors are maps after it, of 1×1 cells at training size, so that the same net still answers once for one crop.

Cases at a node:
1. Whole, linear                                -> LinearToConv, kernel = the map at training size
2. Whole, mean or max                           -> GlobalToSliding; GlobalToLocal where it gates the map
3. Pointwise with a matrix, on a vector         -> LinearToConv, kernel 1×1
4. Pointwise over everything or a vector's axis -> SetAxis to channels, where its input became a map
5. Layout that hides height or width            -> RemoveLayout; who reads it reads the map
6. Layout that keeps them                       -> FreeShape, where it states them as numbers
7. Opaque, Whole of another kind, or inputs that no longer match -> refused
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from fullconv.errors import Refusal
from fullconv.geometry.axis import output_length
from fullconv.graph.axes import CHANNEL, SPACE, Axes, AxesError, flatten_order, fuse, size_of, whole
from fullconv.graph.nodes import Graph, Layout, Linear, Node, Opaque, Pointwise, Span, Touch, Whole, Window
from fullconv.surgery.became import as_map, channels_of, free_shape, pooled_size
from fullconv.surgery.dialect import Dialect
from fullconv.surgery.edit import (
    AlignConstants,
    ChannelsLast,
    Edit,
    FixWindow,
    FromChannelsFirst,
    GlobalToLocal,
    GlobalToSliding,
    LinearToConv,
    RemoveLayout,
    SetAxis,
    SetOrder,
    ToChannelsFirst,
)

CHANNELS = 1  # the channel axis of a map in (n, c, h, w)


def edges_of(gate: str) -> str:
    """Name of the node that gives a local pool the map's size."""
    return f"{gate}/edges"


@dataclass(frozen=True, slots=True)
class _Step:
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
class Walk:
    """The state of one walk; ``visit`` every node, then ask for the ``result``."""

    graph: Graph
    dialect: Dialect
    gates: frozenset[str]  # pools that gate the map
    keeps_gates: bool = False  # they pool the whole input still; else they slide locally
    edits: list[Edit] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    new: dict[str, Axes] = field(default_factory=dict)
    alias: dict[str, str] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    follow: set[str] = field(default_factory=set)  # values whose size follows an input's
    pooled: dict[str, frozenset[str]] = field(default_factory=dict)  # the pools that a value comes from
    found: set[str] = field(default_factory=set)  # pools that met the map again
    origin: dict[str, str] = field(default_factory=dict)  # the value behind a chain of layout nodes
    scrambled: set[str] = field(
        default_factory=set
    )  # values whose readers must know the order of their axes themselves
    single: set[str] = field(default_factory=set)  # values of one cell for the whole input, behind a gate that was kept

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
        pools = frozenset[str]().union(*(self.pooled.get(value, frozenset()) for value in inputs))
        if isinstance(node.touch, Whole) and node.touch.how in ("mean", "max"):
            pools |= {node.name}
        self.pooled.update(dict.fromkeys(node.outputs, pools))
        shifts = isinstance(node.touch, Whole) and node.touch.how == "shift"
        if shifts or (self.keeps_gates and node.name in self.gates) or (inputs and self.single.issuperset(inputs)):
            self.single.update(node.outputs)
        old = tuple(self.graph.values[value] for value in node.inputs)
        step = _Step(node, inputs, old, tuple(self.new[value] for value in inputs))
        try:
            self._place(step)
        except AxesError as error:
            self.refusals.append(Refusal(node.name, str(error)))
            self.lost.update(node.outputs)

    def _place(self, step: _Step) -> None:
        touch = step.node.touch
        if isinstance(touch, Opaque):
            raise AxesError(touch.reason)
        read = self.scrambled.intersection(step.node.inputs)
        if read and not isinstance(touch, Layout) and (step.node.linear is None or read != {step.node.inputs[0]}):
            value = min(read)
            raise AxesError(f"it reads {value} ({self.graph.values[value]}), in an order that no map has")
        if step.inputs and self.single.issuperset(step.inputs):  # behind a kept gate nothing changes
            self._emit(replace(step.node, inputs=step.inputs), *(self.graph.values[v] for v in step.node.outputs))
        elif isinstance(touch, Layout):
            self._layout(step, touch)
        elif step.node.linear is not None and step.new[0].is_map:
            self._linear(step, step.node.linear)
        elif isinstance(touch, Whole) and touch.how in ("mean", "max", "shift"):
            if touch.how == "shift" or (self.keeps_gates and step.node.name in self.gates):
                self._emit(replace(step.node, inputs=step.inputs), *(self.graph.values[v] for v in step.node.outputs))
            else:
                self._pool(step)
        elif isinstance(touch, Whole) and touch.how != "statistics":
            raise AxesError(touch.reason or "it mixes the whole map in a way that no window does")
        else:
            self._stay(step)

    def _linear(self, step: _Step, linear: Linear) -> None:
        source_name, source = self._channels_first(step)
        channels = source.axes[CHANNELS]
        order = flatten_order(linear.over, channels)
        height, width = (size_of(atom for atom in linear.over if atom.root == root) for root in SPACE)
        kernel = (height, width)
        cells = [have - size + 1 for have, size in zip(source.map_size, kernel, strict=True)]
        name = self._fresh(step.node.name)
        what = "over 1×1 cells" if kernel == (1, 1) else f"over the {kernel[0]}×{kernel[1]} map"
        reason = f"an inner product {what} is a {kernel[0]}×{kernel[1]} convolution"
        self.edits.append(
            LinearToConv(step.node.name, name, order, linear.outputs, size_of(channels), kernel, source_name, reason)
        )
        out = source.with_axis(CHANNELS, (whole(CHANNEL, linear.outputs),)).with_size(*cells)
        inputs = (source_name, *step.inputs[1:])
        self._emit(replace(step.node, name=name, inputs=inputs, linear=None, touch=_window(kernel)), out)

    def _pool(self, step: _Step) -> None:
        source_name, source = self._channels_first(step)
        kernel = pooled_size(step.node.touch, source)
        after = self.graph.values[step.node.outputs[0]]
        moved = source_name != step.inputs[0] and after.is_map
        out = f"{step.node.outputs[0]}/channels_first" if moved else step.node.outputs[0]
        node = replace(step.node, inputs=(source_name, *step.inputs[1:]), outputs=(out,))
        if node.name in self.gates:
            found = self._pool_locally(node, source, kernel, f"{step.node.outputs[0]}/window")
        else:
            reason = f"pooling the {kernel[0]}×{kernel[1]} map of one crop is pooling a window of that size"
            self.edits.append(GlobalToSliding(node.name, kernel, reason))
            height, width = source.map_size
            found = source.with_size(height - kernel[0] + 1, width - kernel[1] + 1)
            self._emit(replace(node, touch=_window(kernel)), found)
        if moved:  # as its readers expect it
            value, like = step.node.outputs[0], step.new[0]
            there = (0, like.channel_axis, *(like.space_axis(root) or 0 for root in SPACE))
            back = tuple(there.index(i) for i in range(len(there)))
            self.edits.append(FromChannelsFirst(node.name, value, back, f"{like} has its channels last"))
            self._emit(Node(f"{node.name}/back", "Transpose", (out,), (value,), Layout()), found.permute(back))

    def _pool_locally(self, node: Node, axes: Axes, kernel: tuple[int, int], inner: str) -> Axes:
        height, width = kernel
        top, left = (height - 1) // 2, (width - 1) // 2
        bottom, right = height - 1 - top, width - 1 - left
        reason = "it gates the map; the window around each cell stands in for the crop"
        self.edits.append(GlobalToLocal(node.name, (height, width), (top, left, bottom, right), reason))
        edges = Window(Span(1, pad_before=top, pad_after=bottom), Span(1, pad_before=left, pad_after=right))
        self._emit(
            replace(node, outputs=(inner,), touch=_window(kernel)),
            axes.with_size(*(s - k + 1 for s, k in zip(axes.map_size, kernel, strict=True))),
        )
        self._emit(Node(edges_of(node.name), "Pad", (inner,), node.outputs, edges), axes)
        return axes

    def _channels_first(self, step: _Step) -> tuple[str, Axes]:
        """The node's first input as (n, c, h, w), transposed by a node of its own where it is not."""
        value, axes = step.inputs[0], step.new[0]
        order = (0, axes.channel_axis, *(axes.space_axis(root) or 0 for root in SPACE))
        if order == tuple(range(axes.rank)):
            return value, axes
        moved, first = f"{value}/channels_first/{step.node.name}", axes.permute(order)
        reason = f"{axes} has its channels last; a window reads them first"
        self.edits.append(ToChannelsFirst(step.node.name, value, order, reason))
        self._emit(Node(moved, "Transpose", (value,), (moved,), Layout()), first)
        return moved, first

    def _layout(self, step: _Step, touch: Layout) -> None:
        node, before, after = step.node, step.new[0], self.graph.values[step.node.outputs[0]]
        if not before.is_map:
            self._emit(replace(node, inputs=step.inputs), after)
        elif after.is_map and step.old[0].is_map:
            self._layout_of_map(step, touch, self._grown(step, touch, after))
        elif len(node.outputs) != 1 or after.axes[0] != before.axes[0]:
            raise AxesError(f"it moves the batch into other axes ({after})")
        else:
            target = after.with_size(*before.map_size) if after.is_map else as_map(after, before)
            reason = f"it lays out one crop's map as {after}; a larger map stays a map"
            self._lay_out(step, target, reason)

    def _layout_of_map(self, step: _Step, touch: Layout, after: Axes) -> None:
        """A layout node between two maps: it may state height and width as numbers."""
        node, before = step.node, step.new[0]
        if touch.fixed and after == before:
            self._remove(step, "it changes nothing at training size, and would at others")
            return
        if touch.fixed:
            self.edits.append(free_shape(node, before, after, "height and width follow the input"))
        self._emit(replace(node, inputs=step.inputs, touch=Layout()), after)

    def _lay_out(self, step: _Step, target: Axes, reason: str) -> None:
        """A layout node of what became a map: it goes away, or does to the map's channels what it did to the vector."""
        node, before = step.node, step.new[0]
        if target == before:
            self._remove(step, reason)
            return
        if fuse(target.atoms) == fuse(before.atoms):
            self.edits.append(free_shape(node, before, target, reason))
        elif sorted(map(str, target.axes)) == sorted(map(str, before.axes)):
            order = tuple(before.axes.index(axis) for axis in target.axes)
            self.edits.append(SetOrder(node.name, order, reason))
        else:
            self._leave(step, reason)
            return
        self._emit(replace(node, inputs=step.inputs, touch=Layout()), target)

    def _leave(self, step: _Step, reason: str) -> None:
        """A layout of what became a map that no one node gives: its readers get the map that it comes from.

        Only a weight matrix can read such a value, since it brings the order along.
        """
        source = self.origin.get(step.inputs[0], step.inputs[0])
        value = step.node.outputs[0]
        self.alias[value] = source
        self.scrambled.add(value)
        self.edits.append(RemoveLayout(step.node.name, value, source, reason))

    def _remove(self, step: _Step, reason: str) -> None:
        value = step.node.outputs[0]
        self.alias[value] = step.inputs[0]
        self.edits.append(RemoveLayout(step.node.name, value, step.inputs[0], reason))

    def _stay(self, step: _Step) -> None:
        node, touch = step.node, step.node.touch
        if isinstance(touch, Pointwise):
            self._check_sides(step)
        if isinstance(touch, Pointwise) and touch.trailing and self._trails(step, touch):
            self._over_last_axis(step, touch)
            return
        if isinstance(touch, Pointwise) and (step.became_map or (touch.flat and step.new[0].is_map)):
            new = replace(touch, axis=self._new_axis(step, touch), flat=False, from_end=False)
            if node.aligned and step.new[0].space_axis("w") == step.new[0].rank - 1:
                reason = "a vector's last axis is a map's channels"
                self.edits.append(AlignConstants(node.name, node.aligned, reason))
            outs = (self._grown_vector(step, touch, new.axis, self.graph.values[v]) for v in node.outputs)
            self._emit(replace(node, inputs=step.inputs, touch=new, aligned=()), *outs)
            return
        if isinstance(touch, Window) and touch.auto:
            pads = (touch.y.pad_before, touch.x.pad_before, touch.y.pad_after, touch.x.pad_after)
            kernel, stride = (touch.y.kernel, touch.x.kernel), (touch.y.stride, touch.x.stride)
            reason = "a window that follows the input's size would move the cells of a map"
            self.edits.append(FixWindow(node.name, kernel, stride, pads, reason))
            touch = replace(touch, auto=False)
        outs = (self._grown(step, touch, self.graph.values[v]) for v in node.outputs)
        self._emit(replace(node, inputs=step.inputs, touch=touch), *outs)

    def _grown(self, step: _Step, touch: Touch, out: Axes) -> Axes:
        """An output's axes where its input is a map of another size than it was: behind a local pool."""
        if not step.new or not out.is_map or not step.new[0].is_map or step.new[0].map_size == step.old[0].map_size:
            return out
        height, width = step.new[0].map_size
        if isinstance(touch, Window):
            height, width = output_length(touch.y, height), output_length(touch.x, width)
        return out.with_size(height, width)

    def _over_last_axis(self, step: _Step, touch: Pointwise) -> None:
        """An operator that runs over its axis and all behind it: between transposes, so that channels are all there is."""
        node, axes = step.node, step.new[0]
        if len(node.outputs) != 1 or self.graph.values[node.outputs[0]] != step.old[0]:
            raise AxesError("it runs over the last axes and changes their shape")
        last = axes.rank - 1
        there = (*(i for i in range(axes.rank) if i != axes.channel_axis), axes.channel_axis)
        back = tuple(there.index(i) for i in range(axes.rank))
        moved, made, out = f"{node.name}/channels_last", f"{node.name}/over_channels", node.outputs[0]
        self.edits.append(ChannelsLast(node.name, there, back, "it runs over its axis and all behind it"))
        self._emit(Node(moved, "Transpose", (step.inputs[0],), (moved,), Layout()), axes.permute(there))
        inside = replace(
            node, inputs=(moved, *step.inputs[1:]), outputs=(made,), touch=replace(touch, axis=last, from_end=False)
        )
        self._emit(inside, axes.permute(there))
        self._emit(Node(f"{node.name}/channels_first", "Transpose", (made,), (out,), Layout()), axes)

    @staticmethod
    def _trails(step: _Step, touch: Pointwise) -> bool:
        """Whether height or width lie behind the axis on the map, or it was no map."""
        return step.became_map or (step.new[0].is_map and touch.axis != step.new[0].rank - 1)

    def _check_sides(self, step: _Step) -> None:
        """Inputs of one cell each must still be maps of one size, whatever the image's."""
        sides = zip(step.inputs, step.new, strict=True)
        maps = {v: axes.map_size for v, axes in sides if axes.is_map and v not in self.single}
        if len(set(maps.values())) > 1:
            largest = tuple(map(max, zip(*maps.values(), strict=True)))
            for value, size in maps.items():
                if size != largest:
                    self.found |= self.pooled.get(value, frozenset())
            told = " and ".join(f"{v} ({h}×{w})" for v, (h, w) in maps.items())
            raise AxesError(
                f"{told} meet here: a statistic pooled over the whole map acts on the map, which no window gives"
            )
        if len({(axes.rank, *map(axes.space_axis, SPACE)) for axes in step.new if axes.is_map}) > 1:
            raise AxesError(f"maps of different layouts meet here: {' and '.join(map(str, step.new))}")
        fixed = [v for v in maps if v not in self.follow]
        if fixed and len(fixed) < len(maps):
            raise AxesError(f"{fixed[0]} has a fixed size, which a larger map does not")
        for value, old, new in zip(step.inputs, step.old, step.new, strict=True):
            if old.rank == step.old[0].rank and new.is_map != step.new[0].is_map:
                raise AxesError(f"{value} stays {new} where {step.inputs[0]} is {step.new[0]}")

    def _new_axis(self, step: _Step, touch: Pointwise) -> int | None:
        """The axis of the map along which runs what ran along an axis of the vector."""
        old, new = step.old[0], step.new[0]
        if touch.flat:
            axis, why = new.channel_axis, "it ran over everything behind the batch"
        elif touch.axis is None:
            return None
        else:
            mine = channels_of(old.axes[old.index(touch.axis)])
            fits = [i for i in range(1, new.rank) if new.axes[i] == mine]
            if len(fits) != 1:
                raise AxesError(f"it works along axis {touch.axis} of {old}, which is no axis of the map {new}")
            axis, why = fits[0], f"it worked along axis {touch.axis} of a vector"
            if axis == touch.axis and not touch.from_end:
                return axis
        told = f"{why}; the map has its channels on axis {axis}"
        self.edits.append(SetAxis(step.node.name, axis, told))
        return axis

    def _grown_vector(self, step: _Step, touch: Pointwise, axis: int | None, out: Axes) -> Axes:
        """What was a vector gets its input's cells; its channels are those that it had."""
        old, new = step.old[0], step.new[0]
        if out.rank == old.rank or touch.flat:
            if axis is None or touch.axis is None or touch.flat:
                channels = tuple(a for each in out.axes[1:] for a in channels_of(each))
                return new if out == old else new.with_axis(new.channel_axis, channels)
            return new.with_axis(axis, channels_of(out.axes[old.index(touch.axis)]))
        if axis is None or abs(out.rank - old.rank) != 1:
            raise AxesError(f"it makes {out} of {old}, which is a map {new} now")
        if out.rank < old.rank:
            return Axes((*new.axes[:axis], *new.axes[axis + 1 :]))
        return Axes((*new.axes[:axis], channels_of(out.axes[axis]), *new.axes[axis:]))

    def _emit(self, node: Node, *out: Axes) -> None:
        if isinstance(node.touch, Layout):
            self.origin.update(dict.fromkeys(node.outputs, self.origin.get(node.inputs[0], node.inputs[0])))
        self.nodes.append(node)
        self.new.update(zip(node.outputs, out, strict=True))

    def _fresh(self, old: str) -> str:
        """The node's new name, renamed again while another node has it."""
        taken = {node.name for node in self.graph.nodes if node.name != old} | {node.name for node in self.nodes}
        name = self.dialect.rename(old)
        while name in taken:
            name = self.dialect.rename(name)
        return name


def _window(kernel: tuple[int, int]) -> Window:
    return Window(Span(kernel[0]), Span(kernel[1]))
