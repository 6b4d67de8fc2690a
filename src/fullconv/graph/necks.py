"""Values through which everything goes: where a network can be cut into a chain of networks, each of which reads the one before alone."""

from __future__ import annotations

from collections.abc import Sequence

from fullconv.graph.nodes import Graph, Node


def leading_to(graph: Graph, output: str, first: str | None = None) -> tuple[Node, ...]:
    """The nodes behind a value, in order; those behind ``first`` are left out."""
    need, nodes = {output}, []
    for node in reversed(graph.nodes):
        if need.intersection(node.outputs):
            nodes.append(node)
            need.update(value for value in node.inputs if value != first)
    return tuple(nodes[::-1])


def necks(graph: Graph, output: str) -> Sequence[str]:
    """The values between the image and an output through which every path goes, in order; without these two."""
    nodes = leading_to(graph, output)
    last = {value: i for i, node in enumerate(nodes) for value in node.inputs} | {output: len(nodes)}
    if graph.image is None:
        return []
    seen = {graph.image}  # what depends on the image
    live = {graph.image}  # what of it is still read
    found: list[str] = []
    for i, node in enumerate(nodes):
        if seen.intersection(node.inputs):
            seen.update(node.outputs)
            live.update(value for value in node.outputs if value in last)
        live = {value for value in live if last.get(value, -1) > i}
        if len(live) == 1:
            found.extend(value for value in live if value not in (graph.image, output, *found[-1:]))
    return found


def between(graph: Graph, first: str, last: str) -> Graph:
    """The network that makes one neck of another; a neck may be the image, or the output."""
    nodes = leading_to(graph, last, first)
    names = {first, last, *(value for node in nodes for value in (*node.inputs, *node.outputs))}
    inputs = (first, *(value for value in graph.inputs if value in names and value != first))
    return Graph(inputs, (last,), nodes, {value: axes for value, axes in graph.values.items() if value in names})
