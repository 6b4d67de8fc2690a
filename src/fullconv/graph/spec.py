"""What a valid Graph is, checked in one place for every format."""

from __future__ import annotations

from fullconv.errors import BrokenPromise
from fullconv.graph.nodes import Graph, Pointwise, Whole, Window


def check(graph: Graph) -> Graph:
    """Return the graph unchanged, or raise BrokenPromise naming the first rule that it breaks.

    1. Node names are unique, every value is written once and before it is read.
    2. Every value has axes; inputs and outputs exist.
    3. A window reads a map and writes a map.
    4. A linear node's matrix covers exactly the atoms that it contracts.
    5. An axis that a node works along is one of its first input's (or one behind them, where it makes a new one), never the batch.
    """
    names: set[str] = set()
    known = set(graph.inputs)
    for node in graph.nodes:
        _require(node.name not in names, f"two nodes are named {node.name!r}")
        names.add(node.name)
        for value in node.inputs:
            _require(value in known, f"{node.name} reads {value!r} before it is written")
        for value in node.outputs:
            _require(value not in known, f"{node.name} writes {value!r}, which exists already")
            known.add(value)
        if isinstance(node.touch, Window):
            for value in (node.inputs[0], node.outputs[0]):
                _require(graph.values[value].is_map, f"{node.name}: a window over {graph.values[value]}, no map")
        if isinstance(node.touch, Pointwise) and node.touch.axis is not None:
            _require(bool(node.inputs), f"{node.name} works along an axis of nothing")
            ranks = [graph.values[value].rank for value in (node.inputs[0], *node.outputs)]
            known_axis = 0 < node.touch.axis < max(ranks)
            _require(known_axis, f"{node.name} works along axis {node.touch.axis} of {graph.values[node.inputs[0]]}")
        if node.linear is not None:
            _require(
                isinstance(node.touch, Whole | Pointwise)
                and set(node.linear.over) <= set(graph.values[node.inputs[0]].atoms),
                f"{node.name}: its matrix is not over its input's axes",
            )
    for value in (*known, *graph.outputs):
        _require(value in graph.values, f"{value!r} has no axes")
    for value in graph.outputs:
        _require(value in known, f"output {value!r} is written by no node")
    return graph


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise BrokenPromise(f"not a valid graph: {message}")
