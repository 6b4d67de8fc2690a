"""Which values of a cast network a head takes means of, and how a crop's window of each is parted.

A level is the last value of a resolution: behind its activation, before the next step of the network. A crop's window of it is what the
network had there at training size; in the map it starts at every cell's own step, so that the two lie alike. Regions are a rim, as wide as
the zeros around a crop reach, and what is inside.
"""

from __future__ import annotations

from fractions import Fraction

from fullconv.geometry.field import receptive_fields
from fullconv.graph.axes import Axes
from fullconv.graph.nodes import Graph, Node, Window
from fullconv.surgery.head import Level

_RIM = Fraction(1, 4)  # of a window's side
_REGIONS = 3  # a side
_LOST = Fraction(1, 8)  # of a window's side that whole blocks may leave out at its end


def levels_of(graph: Graph, logits: str) -> tuple[Level, ...]:
    """The levels of a cast graph at training size, from the first to the last; those that no step of whole cells leads to are left out."""
    fields = receptive_fields(graph)
    step = fields[logits].stride
    leading = _leading_to(graph, logits)
    without = _of_classes(graph, leading, logits)
    last: dict[tuple[Fraction, Fraction], str] = {}
    for node in leading:
        for value in node.outputs:
            if value not in fields or value in without or _is_moved(node) or not _is_plain(graph.values[value]):
                continue
            stride, sees = fields[value].stride, fields[value].size
            if max(sees) > 1 and all((whole / own).denominator == 1 for whole, own in zip(step, stride, strict=True)):
                last[stride] = value
    found = []
    for (down, right), value in last.items():
        height, width = graph.values[value].map_size
        y, x = _side(int(step[0] / down), height), _side(int(step[1] / right), width)
        found.append(Level(value, graph.values[value].shape[1], (y[0], x[0]), (y[1], x[1]), y[2], x[2]))
    return tuple(found)


def _is_plain(axes: Axes) -> bool:
    """Whether a value is a map (n, c, h, w) with more than one cell at training size."""
    return (
        axes.is_map
        and axes.rank == 4
        and (axes.space_axis("h"), axes.space_axis("w")) == (2, 3)
        and max(axes.map_size) > 1
    )


def _is_moved(node: Node) -> bool:
    """Whether a node reads one cell for each of its own: it lays zeros around a map, takes its rim off or picks cells; or its activation follows."""
    return isinstance(node.touch, Window) and node.touch.y.kernel == node.touch.x.kernel == 1


def _leading_to(graph: Graph, value: str) -> list[Node]:
    """The nodes that a value depends on, in their order."""
    need, found = {value}, []
    for node in reversed(graph.nodes):
        if need & set(node.outputs):
            need |= set(node.inputs)
            found.append(node)
    return found[::-1]


def _of_classes(graph: Graph, leading: list[Node], logits: str) -> set[str]:
    """The logits, and maps of as many channels that they are made of alone: a map of classes before its mean tells no more than they do."""
    classes = _channels(graph.values[logits])
    found = {logits}
    for node in reversed(leading):
        if found & set(node.outputs):
            found |= {v for v in node.inputs if _channels(graph.values[v]) == classes}
    return found


def _channels(axes: Axes) -> int | None:
    """Of a map of any layout."""
    return axes.shape[axes.channel_axis] if axes.is_map and axes.rank == 4 else None


def _side(step: int, length: int) -> tuple[int, int, tuple[int, ...]]:
    """Cells of a block, blocks from cell to cell of the map, and the blocks of each region, along one side.

    The largest block is taken of which three regions can be made and that leaves hardly anything of the window out.
    """
    blocks = [b for b in range(1, step + 1) if step % b == 0 and length // b >= 1]
    good = [b for b in blocks if length // b >= min(length, _REGIONS) and length % b <= _LOST * length]
    block = max(good)
    return block, step // block, regions(length // block)


def regions(blocks: int) -> tuple[int, ...]:
    """A side of so many blocks as rim, inside and rim."""
    if blocks < _REGIONS:
        return (1,) * blocks
    rim = max(1, round(blocks * _RIM))
    return rim, blocks - 2 * rim, rim
