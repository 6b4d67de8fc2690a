"""Map sizes of every value for an image of any size, by the windows alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fullconv.geometry.axis import output_length
from fullconv.graph.nodes import Graph, Node, Pointwise, Whole, Window

Size = tuple[int, int]  # height, width


def map_sizes(graph: Graph, image: Size) -> Mapping[str, Size]:
    """(height, width) of every value that is a map, for an image of this size.

    A graph that was cast has windows only, so its maps follow from the image. Values that do not
    depend on the image keep the size that the graph states.
    """
    source = graph.image
    sizes: dict[str, Size] = {v: axes.map_size for v, axes in graph.values.items() if axes.is_map and v in graph.inputs}
    if source is not None:
        sizes[source] = image
    for node in graph.nodes:
        maps = [value for value in node.inputs if value in sizes]
        for value in node.outputs:
            if not graph.values[value].is_map:
                continue
            if not maps:
                sizes[value] = graph.values[value].map_size
            elif isinstance(node.touch, Window) and node.touch.like is None:
                height, width = sizes[node.inputs[0]]
                sizes[value] = output_length(node.touch.y, height), output_length(node.touch.x, width)
            elif isinstance(node.touch, Whole) and node.touch.how in ("mean", "max", "shift"):
                height, width = sizes[maps[0]]
                sizes[value] = 1 if "h" in node.touch.over else height, 1 if "w" in node.touch.over else width
            elif isinstance(node.touch, Window) and node.touch.like is not None:
                sizes[value] = sizes[node.inputs[node.touch.like]]
            else:
                sizes[value] = joined(sizes[v] for v in maps)
    return sizes


def joined(sizes: Iterable[Size]) -> Size:
    """The size of maps of these sizes laid over each other: what is one cell is spread over the others."""
    sides = tuple(zip(*sizes, strict=True))
    height, width = (next((length for length in side if length != 1), 1) for side in sides)
    return height, width


_FARTHEST = 1024  # pixels beyond an image that are tried
_LARGE = 1 << 24  # pixels a side, at which what is one cell is one always


def misfit(graph: Graph, image: Size) -> str | None:
    """Why an image of this size does not go through a cast graph, None where it does."""
    sizes = map_sizes(graph, image)
    for node in graph.nodes:
        touch = node.touch
        maps = [(value, sizes[value]) for value in node.inputs if value in sizes]
        if isinstance(touch, Window) and touch.divides:
            height, width = maps[0][1]
            if height % touch.y.stride or width % touch.x.stride:
                return f"{node.name} takes blocks of {touch.y.stride}×{touch.x.stride} cells, and its input has {height}×{width}"
        if isinstance(touch, Pointwise) and any(_apart(graph, node, sizes, i) for i in (0, 1)):
            told = " and ".join(f"{value} ({h}×{w})" for value, (h, w) in maps)
            return f"{told} meet at {node.name}"
    return None


def _apart(graph: Graph, node: Node, sizes: Mapping[str, Size], side: int) -> bool:
    """Whether maps that meet have other lengths; one cell is spread over the others where it is one for an image of any size."""
    lengths = {value: sizes[value][side] for value in node.inputs if value in sizes}
    if 1 in lengths.values() and len(set(lengths.values())) > 1:
        large = map_sizes(graph, (_LARGE, _LARGE))
        lengths = {value: length for value, length in lengths.items() if large[value][side] != 1}
    return len(set(lengths.values())) > 1


def fitting(graph: Graph, image: Size, output: str, cells: Size) -> Size:
    """The size nearest to an image's own that goes through and gives at least these cells; its own where none is known.

    An image is cut at the bottom and on the right where it can be, so that no cell reads pixels that there are not: the size of
    the last crop's end always goes through. Only where cutting costs cells it is filled up. The two sides do not depend on each
    other, so each is searched for itself.
    """

    def fits(size: Size, side: int) -> bool:
        found = map_sizes(graph, size).get(output)
        return misfit(graph, size) is None and (found is None or found[side] >= cells[side])

    if fits(image, 0) and fits(image, 1):
        return image
    trained = graph.values[graph.image].map_size if graph.image is not None else image
    sides = []
    for side in (0, 1):
        less = range(image[side], max(0, image[side] - _FARTHEST), -1)
        more = range(image[side] + 1, image[side] + _FARTHEST)
        lengths = (n for n in (*less, *more) if fits((n, trained[1]) if side == 0 else (trained[0], n), side))
        sides.append(next(lengths, image[side]))
    return sides[0], sides[1]
