"""What a walk comes to: the graph that must be read back, and outputs that have no one place."""

from __future__ import annotations

from dataclasses import replace

from fullconv.errors import Refusal
from fullconv.graph.nodes import Graph, Layout
from fullconv.surgery.edit import RemoveLayout, RenameValue
from fullconv.surgery.walk import Walk


def spread_answers(walk: Walk) -> list[Refusal]:
    """Outputs that were one answer a crop and would be a whole map of one: behind a pool that also gates."""
    found = []
    for value in walk.graph.outputs:
        old, new = walk.graph.values[value], walk.new.get(walk.alias.get(value, value))
        one = not old.is_map or old.map_size == (1, 1)
        if one and new is not None and new.is_map and new.map_size != (1, 1):
            reason = f"the pooled statistic that {value} comes from gates the map too, so that it has no one place"
            found.append(Refusal(value, reason))
    return found


def result(walk: Walk) -> Graph:
    """The graph that must come out."""
    _prune(walk)
    outputs = tuple(dict.fromkeys(walk.alias.get(v, v) for v in walk.graph.outputs))
    if not walk.dialect.keeps_outputs:
        return Graph(walk.graph.inputs, outputs, tuple(walk.nodes), walk.new)
    kept = {walk.alias[v]: v for v in walk.graph.outputs if v in walk.alias}
    kept = {now: then for now, then in kept.items() if now not in (*walk.graph.inputs, *walk.graph.outputs)}
    walk.edits += [RenameValue(now, then, "an output keeps its name") for now, then in kept.items()]
    nodes = tuple(
        replace(
            node,
            inputs=tuple(kept.get(v, v) for v in node.inputs),
            outputs=tuple(kept.get(v, v) for v in node.outputs),
        )
        for node in walk.nodes
    )
    values = {kept.get(v, v): axes for v, axes in walk.new.items()}
    return Graph(walk.graph.inputs, tuple(kept.get(v, v) for v in outputs), nodes, values)


def _prune(walk: Walk) -> None:
    """Leave out layout nodes that nothing reads any more, and what was to be done to them."""
    read = {walk.alias.get(v, v) for v in walk.graph.outputs}
    kept, gone = [], set[str]()
    for node in reversed(walk.nodes):
        if isinstance(node.touch, Layout) and not read.intersection(node.outputs):
            gone.add(node.name)
            for value in node.outputs:
                del walk.new[value]
            continue
        read.update(node.inputs)
        kept.append(node)
    walk.nodes = kept[::-1]
    walk.edits = [e for e in walk.edits if e.node not in gone or isinstance(e, RemoveLayout)]
