"""A head that is added to a cast network: features of several levels, averaged around each cell, move the logits of that cell.

A padded network's crop sees zeros around itself where the map sees the surroundings. What that does to a cell's logits can be told from the
same features by their place in the crop, so a level's window is parted into regions, of which the head takes the means:

    level ──AveragePool(block)──Conv(window, step)──┐
    logits ──Conv(1×1, mixing)──────────────────────Add──Add──> logits, moved

Where there are many classes, all of it goes through a few numbers, which one more 1×1 convolution spreads over the classes: a window's weights
for each class would cost many times the network.

Here is how it lies, and the graph that comes out; its weights are in ``formats.head``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal

from fullconv.errors import BadInput, Refused
from fullconv.geometry.axis import ceil_overhang, output_length
from fullconv.geometry.field import Field, receptive_fields
from fullconv.graph import spec
from fullconv.graph.axes import CHANNEL, SPACE, Axes, require, whole
from fullconv.graph.nodes import Graph, Layout, Node, Pointwise, Span, Touch, Window

STEM = "fullconv_head"  # with which the names of a head's nodes begin, and then its number


@dataclass(frozen=True, slots=True)
class Level:
    """A value of the cast network of which the head takes means; sides are (y, x).

    Attributes:
        value: its name, a map (n, c, h, w).
        channels: its channels.
        block: cells of the value that are averaged into one block; the blocks do not overlap.
        step: blocks from one cell of the map to the next.
        rows, cols: blocks of each region of a crop's window, from its top and from its left.
    """

    value: str
    channels: int
    block: tuple[int, int]
    step: tuple[int, int]
    rows: tuple[int, ...]
    cols: tuple[int, ...]

    def __post_init__(self) -> None:
        whole = (*self.block, *self.step, *self.rows, *self.cols, self.channels)
        require(bool(self.rows) and bool(self.cols) and min(whole) >= 1, f"{self.value}: a level of {self}")

    @property
    def window(self) -> tuple[int, int]:
        """Blocks of a crop's window, (rows, cols)."""
        return sum(self.rows), sum(self.cols)

    def to_json(self) -> dict[str, Any]:
        return {
            "value": self.value, "channels": self.channels, "block": list(self.block), "step": list(self.step),
            "rows": list(self.rows), "cols": list(self.cols),
        }  # fmt: skip

    @property
    def regions(self) -> int:
        return len(self.rows) * len(self.cols)


@dataclass(frozen=True, slots=True)
class Head:
    """Where a head is put.

    Attributes:
        output: the output of the cast network whose scores it moves.
        logits: the value that it adds to: the output itself, or what its softmax or sigmoid reads.
        classes: channels of ``logits``.
        levels: from the first to the last.
        rank: through how many numbers it goes, before they are spread over the classes; None for no such step.
    """

    output: str
    logits: str
    classes: int
    levels: tuple[Level, ...] = ()
    rank: int | None = None

    def __post_init__(self) -> None:
        require(self.classes >= 1, f"{self.output}: a head of {self.classes} classes")
        require(self.rank is None or self.rank >= 1, f"{self.output}: a head of rank {self.rank}")
        names = [level.value for level in self.levels]
        require(len(set(names)) == len(names), f"{self.output}: a head that takes a level twice")

    @property
    def width(self) -> int:
        """Numbers that each of its convolutions over levels and logits gives."""
        return self.classes if self.rank is None else self.rank


Kind = Literal["wide", "order", "mean", "weigh", "add", "narrow"]


@dataclass(frozen=True, slots=True)
class Part:
    """One operator of a head, as every format writes it.

    Attributes:
        name: of the node.
        kind: ``wide`` and ``narrow`` change the type of numbers, to the head's and back; ``order`` lays axes anew; ``mean`` is an average of
            blocks; ``weigh`` a convolution; ``add`` a sum of two.
        inputs, output: its values.
        touch: how it touches space.
        axes: of its output.
        level: whose blocks a convolution weighs; None for the mixing of logits, and for what spreads.
        spreads: it spreads a few numbers over the classes.
        order: the axes' new order.
    """

    name: str
    kind: Kind
    inputs: tuple[str, ...]
    output: str
    touch: Touch
    axes: Axes
    level: int | None = None
    order: tuple[int, ...] = ()
    spreads: bool = False


@dataclass(frozen=True, slots=True)
class Parts:
    """A head in its place.

    Attributes:
        logits: the value that is moved; who reads it reads it moved.
        bare: what the unmoved one is called from then on.
        parts: the operators, in the order in which they stand behind what makes the logits.
    """

    logits: str
    bare: str
    parts: tuple[Part, ...]

    def within(self, graph: Graph) -> Graph:
        """The graph with the head in it."""
        made = [Node(p.name, p.kind, p.inputs, (p.output,), p.touch) for p in self.parts]
        nodes: list[Node] = []
        for node in graph:
            if self.logits in node.outputs:
                outputs = tuple(self.bare if value == self.logits else value for value in node.outputs)
                nodes += [replace(node, outputs=outputs), *made]
            else:
                nodes.append(node)
        values = {**graph.values, self.bare: graph.values[self.logits], **{p.output: p.axes for p in self.parts}}
        return spec.check(Graph(graph.inputs, graph.outputs, tuple(nodes), values))


def put_behind(
    graph: Graph,
    head: Head,
    stem: str,
    *,
    mixes: bool,
    narrow: frozenset[str] = frozenset(),
    ceils: frozenset[int] = frozenset(),
    again: bool = False,
) -> Parts:
    """A head over a cast network.

    Args:
        graph: of the cast network.
        stem: with which every name of it begins.
        mixes: whether it mixes the logits.
        narrow: values whose numbers are of another type than the head's.
        ceils: levels whose averages take a last block that is cut off, as Caffe's pools do.
        again: it was there before, whatever has become of the network since: whether its windows fit is not asked.

    Raises:
        BadInput: the head does not fit this network, with the reason.
    """
    why = _unmade(graph, head) if again else misplaced(graph, head)
    if why is not None:
        raise BadInput(f"a head that does not fit the network: {why}")
    work = _Writing(graph, stem, narrow, ceils)
    bare = work.name("bare")
    work.axes[bare] = graph.values[head.logits]
    wide = work.widened(bare, head.logits, "logits")
    terms = []
    if mixes or not head.levels:
        first = work.ordered(wide, "logits")
        terms.append(
            work.add(
                ("mixing",),
                "weigh",
                (first,),
                Window(Span(), Span()),
                work.weighed(first, Span(), Span(), head.width),
            )
        )
    for i, level in enumerate(head.levels):
        source = bare if level.value == head.logits else level.value
        value = wide if source == bare else work.widened(source, source, f"level{i}")
        terms.append(work.level(work.ordered(value, f"level{i}"), i, level, head.width))
    total = terms[0]
    for i, term in enumerate(terms[1:]):
        total = work.add(("sum", str(i)), "add", (total, term), Pointwise(), work.axes[total])
    if head.rank is not None:
        axes = work.weighed(total, Span(), Span(), head.classes)
        total = work.add(("spread",), "weigh", (total,), Window(Span(), Span()), axes, spreads=True)
    total = work.as_laid(total, work.axes[wide])
    moved = work.add(("moved",), "add", (wide, total), Pointwise(), work.axes[wide])
    if wide != bare:
        work.add(("narrow",), "narrow", (moved,), Pointwise(), work.axes[bare])
    last = replace(work.parts[-1], output=head.logits)
    return Parts(head.logits, bare, (*work.parts[:-1], last))


class _Writing:
    """Parts in the making."""

    def __init__(self, graph: Graph, stem: str, narrow: frozenset[str], ceils: frozenset[int]) -> None:
        self.parts: list[Part] = []
        self.axes = dict(graph.values)
        self._stem, self._narrow, self._ceils = stem, narrow, ceils

    def name(self, *words: str) -> str:
        return "_".join((self._stem, *words))

    def add(
        self,
        words: Sequence[str],
        kind: Kind,
        inputs: tuple[str, ...],
        touch: Touch,
        axes: Axes,
        level: int | None = None,
        order: tuple[int, ...] = (),
        spreads: bool = False,
    ) -> str:
        name = self.name(*words)
        self.parts.append(Part(name, kind, inputs, name, touch, axes, level, order, spreads))
        self.axes[name] = axes
        return name

    def widened(self, value: str, known: str, word: str) -> str:
        """The value in the head's numbers."""
        return (
            self.add((word, "wide"), "wide", (value,), Pointwise(), self.axes[value])
            if known in self._narrow
            else value
        )

    def ordered(self, value: str, word: str) -> str:
        """The value as (n, c, h, w)."""
        axes = self.axes[value]
        order = _channels_first(axes)
        if order == (0, 1, 2, 3):
            return value
        return self.add((word, "order"), "order", (value,), Layout(), axes.permute(order), order=order)

    def as_laid(self, value: str, like: Axes) -> str:
        """An (n, c, h, w) as another value lies."""
        order = _channels_first(like)
        if order == (0, 1, 2, 3):
            return value
        back = tuple(order.index(i) for i in range(4))
        return self.add(("back",), "order", (value,), Layout(), self.axes[value].permute(back), order=back)

    def level(self, value: str, i: int, level: Level, classes: int) -> str:
        blocks, steps = level.block, level.step
        if blocks != (1, 1):
            # An average with a stride over the whole map would be read as a global one.
            covers = self.axes[value].map_size == blocks
            over = i in self._ceils and not covers
            pool = [
                Span(b, Fraction(1 if covers else b), overhang=ceil_overhang(b, b, 0) if over else 0) for b in blocks
            ]
            steps = (steps[0] * blocks[0], steps[1] * blocks[1]) if covers else steps
            sizes = [output_length(span, length) for span, length in zip(pool, self.axes[value].map_size, strict=True)]
            axes = self.axes[value].with_size(sizes[0], sizes[1])
            value = self.add((f"level{i}", "mean"), "mean", (value,), Window(pool[0], pool[1]), axes)
        y, x = (Span(kernel, Fraction(step)) for kernel, step in zip(level.window, steps, strict=True))
        return self.add((f"level{i}", "weigh"), "weigh", (value,), Window(y, x), self.weighed(value, y, x, classes), i)

    def weighed(self, value: str, y: Span, x: Span, classes: int) -> Axes:
        height, width = self.axes[value].map_size
        size = output_length(y, height), output_length(x, width)
        return self.axes[value].with_size(*size).with_axis(1, (whole(CHANNEL, classes),))


def _channels_first(axes: Axes) -> tuple[int, ...]:
    """The axes of a map in the order n, c, h, w."""
    return 0, axes.channel_axis, *(axes.space_axis(root) or 0 for root in SPACE)


def even(graph: Graph, head: Head) -> frozenset[int]:
    """Levels whose cells are whole blocks at the graph's own size."""
    sizes = [(graph.values[level.value].map_size, level.block) for level in head.levels]
    return frozenset(i for i, ((h, w), (y, x)) in enumerate(sizes) if h % y == w % x == 0)


def misplaced(graph: Graph, head: Head) -> str | None:
    """Why a head does not fit a cast network, None where it does."""
    why = _unmade(graph, head)
    if why is not None:
        return why
    why = _no_map(graph, head.logits, head.classes)
    try:
        fields = receptive_fields(graph)
    except Refused as error:
        return str(error)
    for level in head.levels:
        why = why or _no_map(graph, level.value, level.channels) or _out_of_step(graph, fields, level, head.logits)
    return why


def _unmade(graph: Graph, head: Head) -> str | None:
    """Which value a head names that is not where a head has it."""
    if head.output not in graph.outputs:
        return f"no output is named {head.output!r}; the network's outputs are {', '.join(graph.outputs)}"
    made = {value: i for i, node in enumerate(graph) for value in node.outputs}
    if head.logits not in made:
        return f"its logits {head.logits!r} are made by no node of the network"
    if not _leads(graph, head.logits, head.output):
        return f"the output {head.output!r} does not come from its logits {head.logits!r}"
    late = (level.value for level in head.levels if made.get(level.value, len(made)) > made[head.logits])
    value = next(late, None)
    return None if value is None else f"level {value!r} is made by no node before the logits"


def _leads(graph: Graph, value: str, output: str) -> bool:
    """Whether an output is made from a value."""
    reached = {value}
    for node in graph:
        if reached & set(node.inputs):
            reached |= set(node.outputs)
    return output in reached


def _no_map(graph: Graph, value: str, channels: int) -> str | None:
    axes = graph.values[value]
    if not axes.is_map or axes.rank != 4:
        return f"{value!r} is {axes.shape}, no map"
    have = axes.shape[axes.channel_axis]
    return None if have == channels else f"{value!r} has {have} channels, and the head is of {channels}"


def _out_of_step(graph: Graph, fields: Mapping[str, Field], level: Level, logits: str) -> str | None:
    """Whether a level's windows give other cells than the logits'."""
    if level.value not in fields or logits not in fields:
        return f"level {level.value!r} does not depend on the image"
    own, want = fields[level.value].stride, fields[logits].stride
    steps = [each * block * step for each, block, step in zip(own, level.block, level.step, strict=True)]
    if steps != list(want):
        return (
            f"level {level.value!r} would step by {steps[0]}×{steps[1]} px where the logits step by {want[0]}×{want[1]}"
        )
    sizes, cells = graph.values[level.value].map_size, graph.values[logits].map_size
    for length, count, block, step, window in zip(sizes, cells, level.block, level.step, level.window, strict=True):
        if output_length(Span(window, Fraction(step)), length // block) != count:
            return f"level {level.value!r} has {sizes[0]}×{sizes[1]} cells, of which its window does not give the logits' {cells[0]}×{cells[1]}"
    return None
