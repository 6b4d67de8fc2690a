"""Map sizes of every value for an image of any size, by the windows alone."""

from __future__ import annotations

from collections.abc import Mapping

from fullconv.geometry.axis import output_length
from fullconv.graph import Graph, Window

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
            elif isinstance(node.touch, Window) and node.touch.like is not None:
                sizes[value] = sizes[node.inputs[node.touch.like]]
            else:
                sizes[value] = sizes[maps[0]]
    return sizes
