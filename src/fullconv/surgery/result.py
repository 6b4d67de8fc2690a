"""What a walk comes to: the graph that must be read back, and outputs that have no one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from fullconv.errors import Refusal
from fullconv.graph.nodes import Graph, Layout
from fullconv.surgery.draft import Draft
from fullconv.surgery.edit import AlignConstants, RemoveLayout, RenameValue, SetAxis
from fullconv.surgery.walk import Walk


def unanswered(walk: Walk) -> list[Refusal]:
    """Outputs that the cast network would not give: in an order that no map has, or a whole map where one answer was."""
    refused = []
    for value in walk.draft.graph.outputs:
        old, new = walk.draft.graph.values[value], walk.draft.axes.get(walk.draft.now(value))
        one = not old.is_map or old.map_size == (1, 1)
        now = walk.draft.now(value)
        if now != value and now in walk.draft.graph.inputs:
            refused.append(Refusal(value, f"it is the input {now} itself, laid out anew: nothing is left to run"))
        elif value in walk.unordered:
            refused.append(Refusal(value, f"the output is {old}, in an order that no map has"))
        elif one and new is not None and new.is_map and new.map_size != (1, 1):
            reason = f"the pooled statistic that {value} comes from gates the map too, so that it has no one place"
            if old.spans_space(range(1, old.rank)):
                reason = f"the output is {old}, the cells of a crop's map in a row; cells of a larger map overlap"
            refused.append(Refusal(value, reason))
        elif walk.draft.dialect.ends_unread and _is_read(walk.draft, value):
            refused.append(Refusal(value, f"it would be {now}, which is read within the network and so no output"))
    last = walk.draft.graph.outputs[-1]
    old, new = walk.draft.graph.values[last], walk.draft.axes.get(walk.draft.now(last))
    if new is not None and new.is_map and not old.is_map and new.rank > 4:
        refused.append(Refusal(last, f"the output is {old}, of several axes of classes; a map has one"))
    return refused


def _is_read(draft: Draft, output: str) -> bool:
    """Whether an output that went away would be a value that nodes read."""
    now = draft.now(output)
    return now != output and any(now in node.inputs for node in draft.nodes)


def unwritable(draft: Draft) -> list[Refusal]:
    """Nodes whose edits the format cannot make."""
    kinds = {node.name: node.op for node in draft.graph}
    refused = []
    for edit in draft.edits:
        kind = kinds.get(edit.node, "")
        why = draft.dialect.unwritable(edit)
        if why is not None:
            refused.append(Refusal(edit.node, why))
        elif isinstance(edit, SetAxis) and not draft.dialect.can_set_axis(kind):
            refused.append(
                Refusal(edit.node, f"{kind} states its axis in a way that does not move to axis {edit.axis}")
            )
        elif isinstance(edit, AlignConstants) and not draft.dialect.can_align(kind):
            refused.append(Refusal(edit.node, f"{kind} does not lay its constants along the channels of a map"))
    return refused


def result(walk: Walk) -> tuple[Graph, Mapping[str, str]]:
    """The graph that must come out, and the name there of each output of the untouched network."""
    draft = walk.draft
    _prune(draft)
    now = {value: draft.now(value) for value in draft.graph.outputs}
    if not draft.dialect.keeps_outputs:
        outputs = tuple(dict.fromkeys(now.values()))
        if draft.dialect.ends_unread:  # they stand in the order in which they are written
            written = [*draft.graph.inputs, *(value for node in draft.nodes for value in node.outputs)]
            outputs = tuple(sorted(outputs, key=written.index))
        return Graph(draft.graph.inputs, outputs, tuple(draft.nodes), draft.axes), now
    kept = {value: old for old, value in now.items() if value != old}
    kept = {value: old for value, old in kept.items() if value not in (*draft.graph.inputs, *draft.graph.outputs)}
    draft.edits += [RenameValue(value, old, "an output keeps its name") for value, old in kept.items()]
    nodes = tuple(
        replace(
            node,
            inputs=tuple(kept.get(v, v) for v in node.inputs),
            outputs=tuple(kept.get(v, v) for v in node.outputs),
        )
        for node in draft.nodes
    )
    names = {old: kept.get(value, value) for old, value in now.items()}
    values = {kept.get(v, v): axes for v, axes in draft.axes.items()}
    return Graph(draft.graph.inputs, tuple(dict.fromkeys(names.values())), nodes, values), names


def _prune(draft: Draft) -> None:
    """Leave out nodes that nothing reads, and what was to be done to them; of Caffe only layouts, since any end is an output."""
    read = {draft.now(v) for v in draft.graph.outputs}
    kept, gone = [], set[str]()
    for node in reversed(draft.nodes):
        may_go = isinstance(node.touch, Layout) or not draft.dialect.ends_unread
        if may_go and not read.intersection(node.outputs):
            gone.add(node.name)
            for value in node.outputs:
                del draft.axes[value]
            continue
        read.update(node.inputs)
        kept.append(node)
    draft.nodes = kept[::-1]
    draft.edits = [e for e in draft.edits if e.node not in gone or isinstance(e, RemoveLayout)]
