"""A finer map from the same weights: strides set to one and dilation in the windows behind them.

With O the pixels from cell to cell of a value before and N those after, N = gcd(O, stride wanted). A window whose input has O and N
then has

    dilation' = dilation · O / N,   stride' = N of its output / N of its input,   padding' = padding · O / N

so that each new cell reads the pixels that the window reads where a crop starts there. Every stride that divides the network's own
can be had, over branches too, since N follows from O alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from math import gcd

from fullconv.errors import Refusal
from fullconv.geometry.exactness import read_past
from fullconv.geometry.lengths import map_sizes, misfit
from fullconv.graph import spec
from fullconv.graph.axes import CHANNEL, whole
from fullconv.graph.nodes import Graph, Node, Pointwise, Span, Touch, Whole, Window
from fullconv.surgery.edit import SetWindow

Pair = tuple[Fraction, Fraction]  # y, x
_OTHER_CELLS = "it goes by all cells of the map, and a finer map has others"


@dataclass(frozen=True, slots=True)
class Refinement:
    """Edits that make a cast network's map finer, the graph that comes out, or why it cannot be had."""

    edits: tuple[SetWindow, ...]
    refusals: tuple[Refusal, ...]
    predicted: Graph | None


def strides(own: int) -> list[int]:
    """Steps that a network of this stride can take."""
    return [n for n in range(1, own + 1) if own % n == 0]


def refine(
    graph: Graph,
    stride: tuple[int, int],
    means: Mapping[str, bool],
    maxima: frozenset[str],
    sums: frozenset[str] = frozenset(),
) -> Refinement:
    """Plan a finer map.

    Args:
        graph: of a cast network, at training size.
        stride: (y, x) pixels from cell to cell wanted; divisors of the network's own.
        means: nodes that pool a mean, and whether it is of what lies inside the input alone; they become a sum over a count.
        maxima: nodes that pool the largest, whose padding cannot be as wide as their kernel.
        sums: nodes that weigh a window and pad with zeros, of which a branch may be given cells behind its last.
    """
    steps: dict[str, Pair] = {}
    edits: list[SetWindow] = []
    nodes: list[Node] = []
    refusals: list[Refusal] = []
    if graph.image is not None:
        steps[graph.image] = (Fraction(1), Fraction(1))
    for node in graph.nodes:
        known = [steps[value] for value in node.inputs if value in steps]
        if not known:
            nodes.append(node)
            continue
        if isinstance(node.touch, Window):
            sizes = graph.values[node.inputs[0]].map_size
            made, out = _window(node, node.touch, known[0], stride, sizes, refusals)
            if made != node.touch:
                edits.append(
                    SetWindow(node.name, made.y, made.x, "a finer step needs its windows to reach as far as before")
                )
            if made != node.touch and node.name in maxima and _pads_wide(made):
                nodes.extend(_apart(node, made))
            else:
                nodes.extend(_nodes(node, made, means.get(node.name) if made != node.touch else None))
        else:
            out = known[0]
            nodes.append(node)
            if isinstance(node.touch, Whole) and node.touch.how != "shift" and _is_finer(out, stride):
                refusals.append(Refusal(node.name, _OTHER_CELLS))
        steps.update(dict.fromkeys(node.outputs, out))
    if refusals:
        return Refinement(tuple(edits), tuple(refusals), None)
    predicted, longer = _met(spec.check(_sized(graph, tuple(nodes))), sums)
    edits = _with(edits, longer)
    apart = None if graph.image is None else misfit(predicted, graph.values[graph.image].map_size)
    if apart is not None:
        return Refinement(tuple(edits), (Refusal(graph.outputs[-1], apart),), None)
    return Refinement(tuple(edits), (), predicted)


def _is_finer(old: Pair, wanted: tuple[int, int]) -> bool:
    """Whether cells so many pixels apart are nearer to each other in the finer network."""
    return any(step.denominator == 1 and gcd(int(step), n) < step for step, n in zip(old, wanted, strict=True))


def _met(graph: Graph, sums: frozenset[str]) -> tuple[Graph, dict[str, Window]]:
    """The graph with branches made as long as those that they meet, and the windows that were changed.

    At the crop's size a finer branch has cells behind the crop's last where it pads, and none where it does not. No cell of a whole crop reads
    those, so the shorter branch gets as many, over zeros.
    """
    changed: dict[str, Window] = {}
    for _ in graph:
        made = next((found for node in graph if (found := _longer_there(graph, node, sums))), None)
        if made is None:
            break
        nodes = tuple(replace(n, touch=made.get(n.name, n.touch)) for n in graph)
        graph, changed = _sized(replace(graph, nodes=nodes), nodes), changed | made
    return graph, changed


def _longer_there(graph: Graph, node: Node, sums: frozenset[str]) -> dict[str, Window]:
    """Windows that make the shorter of what meets at a node as long as the longest, by their nodes' names."""
    maps = [value for value in node.inputs if graph.values[value].is_map] if isinstance(node.touch, Pointwise) else []
    made: dict[str, Window] = {}
    for side in (0, 1) if len(maps) > 1 else ():
        lengths = {value: graph.values[value].map_size[side] for value in maps}
        for value, length in lengths.items():
            if not made and length < max(lengths.values()):
                made = _longer(graph, value, side, max(lengths.values()) - length, sums)
    return made


def _longer(graph: Graph, value: str, side: int, cells: int, sums: frozenset[str]) -> dict[str, Window]:
    """Windows that give a value so many more cells at its end, by their nodes' names; none where that cannot be.

    What reads single cells is left as it is where what it reads can be longer, since that may meet others too.
    """
    node = graph.producer(value)
    if node is None:
        return {}
    found: dict[str, Window] = {}
    if isinstance(node.touch, Pointwise):
        for each in node.inputs:
            if graph.values[each].is_map:
                found.update(_longer(graph, each, side, cells, sums))
        return found
    if not isinstance(node.touch, Window) or node.name not in sums or node.touch.like is not None or node.touch.auto:
        return {}
    if (node.touch.y, node.touch.x) == (Span(), Span()):
        found = _longer(graph, node.inputs[0], side, cells, sums)
    spans = [node.touch.y, node.touch.x]
    if found or spans[side].stride < 1:
        return found
    spans[side] = replace(spans[side], pad_after=spans[side].pad_after + cells * int(spans[side].stride))
    return {node.name: replace(node.touch, y=spans[0], x=spans[1])}


def _with(edits: list[SetWindow], longer: Mapping[str, Window]) -> list[SetWindow]:
    """Edits with windows that were changed once more."""
    known = {edit.node: edit for edit in edits}
    for name, touch in longer.items():
        told = known[name].reason if name in known else "it meets a branch that has cells behind the crop's last"
        known[name] = SetWindow(name, touch.y, touch.x, told)
    return list(known.values())


def _window(
    node: Node, touch: Window, at: Pair, want: tuple[int, int], sizes: tuple[int, int], refusals: list[Refusal]
) -> tuple[Window, Pair]:
    spans, out = [], []
    for span, old, step, length in zip((touch.y, touch.x), at, want, sizes, strict=True):
        new, reached = finer_span(span, old, step, length)
        spans.append(new)
        out.append(reached)
        if (
            new != span
            and not any(r.node == node.name for r in refusals)
            and (span.stride < 1 or touch.divides or touch.like is not None)
        ):
            what = (
                "takes another value's size"
                if touch.like is not None
                else "makes blocks of cells"
                if touch.divides
                else "makes a map larger"
            )
            refusals.append(Refusal(node.name, f"it {what} behind a stride that would be finer"))
    return replace(touch, y=spans[0], x=spans[1]), (out[0], out[1])


def _touch(node: Node, touch: Window) -> Touch:
    """A cut that cuts nothing any more moves nothing."""
    plain = node.op in ("Slice", "Pad") and (touch.y, touch.x) == (Span(), Span())
    return Pointwise() if plain else touch


def finer_span(span: Span, old: Fraction, step: int, length: int) -> tuple[Span, Fraction]:
    """A span over cells ``old`` pixels apart as one of a network of this step, and the pixels between its own cells as they were."""
    reached = old * span.stride
    if old.denominator != 1 or reached.denominator != 1:
        return span, reached
    now, then = gcd(int(old), step), gcd(int(reached), step)
    wide = int(old) // now
    if wide == 1 and Fraction(then, now) == span.stride:
        return span, reached
    # An overhang that the crop's last window does not reach is read by no cell whose crop lies in the image.
    *_, overhang = read_past(span, length)
    behind = span.pad_after + overhang
    dilation = span.dilation * wide if span.kernel > 1 else 1
    return Span(span.kernel, Fraction(then, now), dilation, span.pad_before * wide, behind * wide), reached


def _pads_wide(touch: Window) -> bool:
    return any(max(s.pad_before, s.pad_after) >= s.kernel for s in (touch.y, touch.x))


def _apart(node: Node, touch: Window) -> list[Node]:
    """The padding as a node of its own, then the window."""
    padded = f"{node.inputs[0]}/padded/{node.name}"
    edges = [Span(1, pad_before=s.pad_before, pad_after=s.pad_after) for s in (touch.y, touch.x)]
    bare = [replace(s, pad_before=0, pad_after=0) for s in (touch.y, touch.x)]
    pad = Node(f"{node.name}/pad", "Pad", (node.inputs[0],), (padded,), Window(edges[0], edges[1]))
    return [pad, replace(node, inputs=(padded, *node.inputs[1:]), touch=replace(touch, y=bare[0], x=bare[1]))]


def counted(value: str) -> tuple[str, str, str]:
    """Names of what a mean over the cells inside is made of, for its output: ones of one channel, their count, and the sum."""
    return f"{value}/ones", f"{value}/count", f"{value}/sum"


def is_sum(touch: Window) -> bool:
    """Whether a mean of this window is written as a sum over a count: an average has no dilation, and no padding behind as wide as its own."""
    return (touch.y.dilation, touch.x.dilation) != (1, 1) or bool(touch.y.pad_after or touch.x.pad_after)


def counts_inside(touch: Window, inside: bool) -> bool:
    """Whether the count of a sum is another one at the border."""
    return inside and any(s.pad_before or s.pad_after for s in (touch.y, touch.x))


def _nodes(node: Node, touch: Window, inside: bool | None) -> list[Node]:
    """The node with its new window; a mean (``inside`` tells of what) as a sum over a count."""
    if inside is None or not is_sum(touch):
        return [replace(node, touch=_touch(node, touch))]
    ones, count, total = counted(node.outputs[0])
    if not counts_inside(touch, inside):
        mean = Node(f"{node.name}/mean", "Div", (total,), node.outputs, Pointwise())
        return [replace(node, touch=touch, outputs=(total,)), mean]
    channel = f"{ones}/channel"
    return [
        Node(channel, "Slice", node.inputs[:1], (channel,), Pointwise(axis=1)),
        Node(ones, "Pow", (channel,), (ones,), Pointwise()),
        Node(count, "Conv", (ones,), (count,), touch),
        replace(node, touch=touch, outputs=(total,)),
        Node(f"{node.name}/mean", "Div", (total, count), node.outputs, Pointwise()),
    ]


def _sized(graph: Graph, nodes: tuple[Node, ...]) -> Graph:
    """The graph with every map of the size that its windows give."""
    values = dict(graph.values)
    for node in nodes:
        before = values[node.inputs[0]] if node.inputs else None
        for value in node.outputs:
            if before is not None and value not in values:
                one = before.with_axis(1, (whole(CHANNEL, 1),))
                values[value] = one if value.endswith(("/channel", "/count")) else before
    rough = Graph(graph.inputs, graph.outputs, nodes, values)
    sizes: Mapping[str, tuple[int, int]] = {}
    if graph.image is not None:
        sizes = map_sizes(rough, graph.values[graph.image].map_size)
    sized = {v: axes.with_size(*sizes[v]) if v in sizes and axes.is_map else axes for v, axes in values.items()}
    return Graph(graph.inputs, graph.outputs, nodes, sized)
