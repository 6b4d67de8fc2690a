"""Layout nodes of a cast network: they go away, order the map's axes instead of the vector's, or read its size."""

from __future__ import annotations

from dataclasses import replace

from fullconv.graph.axes import Axes, AxesError, fuse
from fullconv.graph.nodes import Layout
from fullconv.surgery.became import as_map, free_shape
from fullconv.surgery.draft import Draft
from fullconv.surgery.edit import SetOrder
from fullconv.surgery.step import Step, grown


def layout(draft: Draft, step: Step, touch: Layout) -> bool:
    """Plan a layout node.

    Returns:
        Whether its value is left in an order that no map has: its readers get the map that it comes from.
    """
    node, before, after = step.node, step.new[0], draft.graph.values[step.node.outputs[0]]
    if after.batch != before.batch:
        raise AxesError(f"it moves the batch into other axes ({after})")
    if not before.is_map:
        draft.emit(replace(node, inputs=step.inputs), after)
    elif after.is_map and step.old[0].is_map:
        _of_map(draft, step, touch, grown(step, touch, after))
    elif len(node.outputs) != 1:
        raise AxesError(f"it lays out a crop's map as several values ({after})")
    else:
        target = after.with_size(*before.map_size) if after.is_map else as_map(after, before)
        return _of_vector(draft, step, target, f"it lays out one crop's map as {after}; a larger map stays a map")
    return False


def _of_map(draft: Draft, step: Step, touch: Layout, after: Axes) -> None:
    """A layout node between two maps: it may state height and width as numbers."""
    node, before = step.node, step.new[0]
    if touch.fixed and after == before:
        draft.drop(node, step.inputs[0], "it changes nothing at training size, and would at others")
        return
    if touch.fixed:
        draft.edits.append(free_shape(node, before, after, "height and width follow the input"))
    draft.emit(replace(node, inputs=step.inputs, touch=Layout()), after)


def _of_vector(draft: Draft, step: Step, target: Axes, reason: str) -> bool:
    """A layout node of what became a map: it goes away, or does to the map's channels what it did to the vector."""
    node, before = step.node, step.new[0]
    if target == before:
        draft.drop(node, step.inputs[0], reason)
        return False
    if fuse(target.atoms) == fuse(before.atoms):
        draft.edits.append(free_shape(node, before, target, reason))
    elif sorted(map(str, target.axes)) == sorted(map(str, before.axes)):
        order = tuple(before.axes.index(axis) for axis in target.axes)
        draft.edits.append(SetOrder(node.name, order, reason))
    else:
        # No one node gives it. Only a weight matrix can read such a value, since it brings the order along.
        draft.drop(node, draft.source(step.inputs[0]), reason)
        return True
    draft.emit(replace(node, inputs=step.inputs, touch=Layout()), target)
    return False
