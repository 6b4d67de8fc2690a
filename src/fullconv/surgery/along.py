"""Operators along an axis: what ran along a vector's runs along the channels of the map that it became."""

from __future__ import annotations

from dataclasses import replace

from fullconv.graph.axes import SPACE, Axes, AxesError, fuse
from fullconv.graph.nodes import Layout, Node, Pointwise
from fullconv.surgery.became import channels_of
from fullconv.surgery.draft import Draft
from fullconv.surgery.edit import AlignConstants, ChannelsLast, SetAxis
from fullconv.surgery.step import Step


def needs_edit(step: Step, touch: Pointwise) -> bool:
    """Whether an operator on cells must be told which axis the channels are."""
    if not step.new or not step.new[0].is_map:
        return False
    return step.became_map or touch.flat or (touch.trailing and touch.axis != step.new[0].rank - 1)


def along(draft: Draft, step: Step, touch: Pointwise) -> None:
    """Plan an operator on cells whose input became a map, or that counts height and width among its axes."""
    node = step.node
    if touch.trailing:
        axis = _trailing_axis(step, touch)
        if axis != step.new[0].rank - 1:
            _over_last_axis(draft, step, touch, axis)
            return
        new = replace(touch, axis=axis, from_end=False)
        if axis != touch.axis or touch.from_end:
            draft.edits.append(SetAxis(node.name, axis, "it ran over its axis and all behind it"))
    else:
        new = replace(touch, axis=_axis(draft, step, touch), flat=False)
        new = replace(new, from_end=touch.from_end and not _is_set(draft, node))
    if node.aligned:
        _align(draft, step)
    outs = (_out(step, touch, new.axis, draft.graph.values[v]) for v in node.outputs)
    draft.emit(replace(node, inputs=step.inputs, touch=new, aligned=()), *outs)


def _is_set(draft: Draft, node: Node) -> bool:
    last = draft.edits[-1] if draft.edits else None
    return isinstance(last, SetAxis) and last.node == node.name


def _align(draft: Draft, step: Step) -> None:
    """Constants that ran along the vector's axes run along the map's channels."""
    after = step.new[0]
    spaces = sorted(after.space_axis(root) or 0 for root in SPACE)
    if spaces == [after.rank - 2, after.rank - 1]:
        reason = "a vector's last axis is a map's channels"
        held = [bool(axis) and all(atom.is_space for atom in axis) for axis in step.old[0].axes]
        behind = next((i for i, positions in enumerate(reversed(held)) if not positions), 0)
        draft.edits.append(AlignConstants(step.node.name, step.node.aligned, reason, behind))
    elif after.rank - 1 in spaces:
        raise AxesError(f"its constants run along a vector's axes, which lie apart in {after}")


def _axis(draft: Draft, step: Step, touch: Pointwise) -> int | None:
    """The axis of the map along which runs what ran along an axis of the vector; the edit that says so."""
    old, new = step.old[0], step.new[0]
    if touch.flat:
        axis, why = new.channel_axis, "it ran over everything behind the batch"
    elif touch.axis is None:
        return None
    else:
        mine = channels_of(old.axes[old.index(touch.axis)])
        fits = [i for i in range(1, new.rank) if new.axes[i] == mine]
        if len(fits) != 1:
            raise AxesError(f"it works along axis {touch.axis} of {old}, which is no axis of the map {new}")
        axis, why = fits[0], f"it worked along axis {touch.axis} of a vector"
        if axis == touch.axis and not touch.from_end:
            return axis
        # Counted from the end it is still the same axis; only a format that can writes it anew.
        if touch.from_end and axis - new.rank == touch.axis - old.rank and not draft.dialect.can_set_axis(step.node.op):
            return axis
    draft.edits.append(SetAxis(step.node.name, axis, f"{why}; the map has its channels on axis {axis}"))
    return axis


def _trailing_axis(step: Step, touch: Pointwise) -> int:
    """The one axis of the map that holds channels among those that the operator runs over."""
    old, new = step.old[0], step.new[0]
    assert touch.axis is not None
    held = [channels_of(axis) for axis in old.axes[touch.axis :]]
    kept = [atoms for atoms in held if any(atom.size > 1 for atom in atoms)] or held[:1]
    fits = [i for i in range(1, new.rank) if fuse(new.axes[i]) == kept[0]]
    if len(kept) != 1 or len(fits) != 1:
        raise AxesError(
            f"it runs over axis {touch.axis} of {old} and all behind it, which are several of the map {new}"
        )
    return fits[0]


def _over_last_axis(draft: Draft, step: Step, touch: Pointwise, axis: int) -> None:
    """Between transposes, so that channels are all that lies behind its axis."""
    node, axes = step.node, step.new[0]
    if len(node.outputs) != 1 or draft.graph.values[node.outputs[0]] != step.old[0]:
        raise AxesError("it runs over the last axes and changes their shape")
    last = axes.rank - 1
    there = (*(i for i in range(axes.rank) if i != axis), axis)
    back = tuple(there.index(i) for i in range(axes.rank))
    moved, made, out = f"{node.name}/channels_last", f"{node.name}/over_channels", node.outputs[0]
    draft.edits.append(ChannelsLast(node.name, there, back, "it runs over its axis and all behind it"))
    draft.emit(Node(moved, "Transpose", (step.inputs[0],), (moved,), Layout()), axes.permute(there))
    runs = replace(touch, axis=last, from_end=False)
    draft.emit(replace(node, inputs=(moved, *step.inputs[1:]), outputs=(made,), touch=runs), axes.permute(there))
    draft.emit(Node(f"{node.name}/channels_first", "Transpose", (made,), (out,), Layout()), axes)


def _out(step: Step, touch: Pointwise, axis: int | None, out: Axes) -> Axes:
    """What was a vector gets its input's cells; its channels are those that it had."""
    old, new = step.old[0], step.new[0]
    if out.rank == old.rank or touch.flat:
        if axis is None or touch.axis is None or touch.flat:
            channels = tuple(a for each in out.axes[1:] for a in channels_of(each))
            return new if out == old else new.with_axis(new.channel_axis, channels)
        return new.with_axis(axis, channels_of(out.axes[old.index(touch.axis)]))
    if axis is None or abs(out.rank - old.rank) != 1:
        raise AxesError(f"it makes {out} of {old}, which is a map {new} now")
    if out.rank < old.rank:
        return Axes((*new.axes[:axis], *new.axes[axis + 1 :]))
    return Axes((*new.axes[:axis], channels_of(out.axes[axis]), *new.axes[axis:]))
