"""Operators that work along one axis, or along the channels of each cell."""

from __future__ import annotations

import numpy as np

from fullconv.graph.axes import Axes, size_of, whole
from fullconv.graph.nodes import Pointwise, Touch, Whole
from fullconv.operators.operation import Effect, Operation, opaque
from fullconv.operators.record import Operator, words
from fullconv.operators.space import positions, touches_space


def within(op: Operation) -> Effect:
    """What works along one axis and may change its length."""
    declared, axis = _axis(op, 1)
    return Effect(_touch_of(op.first, declared), (_with(op, axis, 0),))


def by_channel(op: Operation) -> Effect:
    """BatchNormalization and LRN: a parameter a channel, or neighbours among channels, which are axis 1 whatever the rank."""
    axes = op.first
    if len(op.shapes) > 1:
        return opaque(op, "it answers with the statistics of its batch")
    if axes.rank < 2:
        return Effect(Pointwise(), (axes,))
    if touches_space(axes, [1]):
        return Effect(Whole("other", f"it has a parameter for each position of the map ({axes})"), (axes,))
    return Effect(Pointwise(axis=1), (axes,))


def statistics(op: Operation) -> Effect:
    """InstanceNormalization, GroupNormalization, MeanVarianceNormalization: moments over the whole map."""
    axes = op.first
    over = list(range(1 if op.kind == "GroupNormalization" else 2, axes.rank))
    if op.kind == "MeanVarianceNormalization":
        over = sorted(axes.index(int(i)) for i in op.attribute("axes", [0, 2, 3]))
    if 0 in over:
        return opaque(op, "it normalises over the batch")
    sides = {axes.space_axis(root) for root in ("h", "w")}
    if axes.is_map and sides <= set(over):
        return Effect(Whole("statistics"), (axes,))
    return opaque(op, f"it takes moments over axes {over} of {axes}, which are not the whole map")


def layer_normalization(op: Operation) -> Effect:
    """LayerNormalization over channels; over the map it has parameters for each position."""
    axes, declared = op.first, int(op.attribute("axis", -1))
    start = axes.index(declared)
    if len(op.shapes) > 1:
        return opaque(op, "it answers with its moments too")
    if start != axes.rank - 1 or touches_space(axes, [start]):
        reason = f"it has a parameter for each position of axes {start} to {axes.rank - 1} of {axes}"
        return Effect(Whole("other", reason), (axes,))
    return Effect(Pointwise(axis=start, trailing=True, from_end=declared < 0), (axes,))


def along(op: Operation) -> Effect:
    """Softmax, LogSoftmax, Hardmax, LpNormalization; the first three run over all axes behind theirs before operator set 13."""
    trailing = op.opset < 13 and op.kind in ("Softmax", "LogSoftmax", "Hardmax")
    declared, axis = _axis(op, 1 if trailing else -1)
    if axis == 0:
        return opaque(op, "it runs along the batch")
    return Effect(_touch_of(op.first, declared, trailing), (op.first,))


def _axis(op: Operation, default: int) -> tuple[int, int]:
    """The axis as it is declared, and counted from the first."""
    declared = int(op.attribute("axis", default))
    return declared, op.first.index(declared)


def _touch_of(axes: Axes, declared: int, trailing: bool = False) -> Touch:
    axis = axes.index(declared)
    behind = range(axis, axes.rank) if trailing else [axis]
    # All axes behind the channels of a 1×1 map are one cell: there it runs over channels, and on a larger map it is told to.
    larger = any(atom.is_space and atom.size > 1 for atom in axes.mixed(behind))
    if larger or touches_space(axes, [axis]):
        return Whole("other", f"it runs along height or width ({axes})")
    return Pointwise(axis=axis, trailing=trailing, from_end=declared < 0)


def choose(op: Operation) -> Effect:
    """ArgMax, ArgMin, TopK along one axis."""
    declared, axis = _axis(op, -1 if op.kind == "TopK" else 0)
    if axis == 0:
        return opaque(op, "it runs along the batch")
    if op.kind != "TopK" and not op.attribute("keepdims", 1):
        if touches_space(op.first, [axis]):
            return opaque(op, f"it runs along height or width ({op.first})")
        return Effect(_touch_of(op.first, declared), (without(op.first, axis),))
    return Effect(_touch_of(op.first, declared), tuple(_with(op, axis, i) for i in range(len(op.shapes))))


def join(op: Operation) -> Effect:
    """Concat along channels."""
    data = [axes for axes in op.axes if axes is not None]
    if len(data) < len(op.axes):
        return opaque(op, "it joins the map with a constant, as a class token is")
    declared, axis = _axis(op, 1)
    axes = max(data, key=lambda each: sum(a.is_space for i in range(each.rank) if i != axis for a in each.axes[i]))
    out = axes.with_axis(axis, _with(op, axis, 0).axes[axis])
    if axis == 0 or any(touches_space(each, [axis]) for each in data):
        return Effect(Whole("other", f"it joins along axis {axis} of {axes}, which is not the channels"), (out,))
    beside = [i for i in range(axes.rank) if i != axis]
    if any(positions(each.axes[i]) != positions(axes.axes[i]) for each in data for i in beside):
        return opaque(op, f"it joins {' and '.join(map(str, data))}, whose positions are others")
    return Effect(Pointwise(axis=axis, from_end=declared < 0), (out,))


def split(op: Operation) -> Effect:
    """Split along channels."""
    declared, axis = _axis(op, 0)
    outs = tuple(_with(op, axis, i) for i in range(len(op.shapes)))
    if axis == 0 or touches_space(op.first, [axis]):
        return Effect(Whole("other", f"it cuts axis {axis} of {op.first}, which is not the channels"), outs)
    return Effect(Pointwise(axis=axis, from_end=declared < 0), outs)


def _with(op: Operation, axis: int, i: int) -> Axes:
    """The first input's axes with one axis as long as the output's."""
    return resized(op.first, axis, op.shape(i)[axis])


def resized(axes: Axes, axis: int, size: int) -> Axes:
    """The axes with one of another length, under its own root where it has one."""
    if size_of(axes.axes[axis]) == size and not any(atom.is_space for atom in axes.axes[axis]):
        return axes
    roots = [atom.root for atom in axes.axes[axis]]
    return axes.with_axis(axis, (whole(roots[0] if len(roots) == 1 and axis else "c", size),))


def without(axes: Axes, axis: int) -> Axes:
    """The axes less one."""
    return Axes((*axes.axes[:axis], *axes.axes[axis + 1 :]))


def gather(op: Operation) -> Effect:
    """Gather of channels by constant indices; by one number it picks a channel and drops their axis."""
    index = op.constant(1)
    if op.axes[0] is None or index is None or index.ndim > 1:
        return opaque(op, "it picks positions by a tensor, not by a list that is a constant")
    declared, axis = _axis(op, 0)
    if axis == 0 or touches_space(op.first, [axis]):
        return opaque(op, f"it picks positions along the batch, height or width (axis {axis} of {op.first})")
    picked = (whole("c", int(np.size(index))),)
    out = op.first.with_axis(axis, picked) if index.ndim else without(op.first, axis)
    return Effect(Pointwise(axis=axis, from_end=declared < 0), (out,))


_AXIS = words("axis")

OPERATORS = (
    *(Operator(kind, along, read=_AXIS) for kind in ("Hardmax", "LogSoftmax", "Softmax")),
    Operator("LpNormalization", along, read=_AXIS, harmless=words("p")),
    *(
        Operator(kind, choose, read=words("axis keepdims"), harmless=words("select_last_index"))
        for kind in ("ArgMax", "ArgMin")
    ),
    Operator("TopK", choose, ("data", "read"), read=words("axis k"), harmless=words("largest sorted")),
    Operator("Concat", join, variadic=True, read=_AXIS, memory="blocks"),
    Operator("Gather", gather, ("data", "data"), read=_AXIS),
    Operator("Split", split, ("data", "read"), read=words("axis split num_outputs")),
    Operator(
        "BatchNormalization", by_channel, ("data", "read", "read", "read", "read"), harmless=words("epsilon momentum is_test consumed_inputs"),
        refused={"training_mode": (0,), "spatial": (1,)}, memory="cellwise",
    ),
    Operator("LRN", by_channel, harmless=words("alpha beta bias size")),
    Operator(
        "LayerNormalization", layer_normalization, ("data", "read", "read"), read=_AXIS, harmless=words("epsilon stash_type")
    ),
    Operator("InstanceNormalization", statistics, ("data", "read", "read"), harmless=words("epsilon consumed_inputs")),
    Operator(
        "GroupNormalization", statistics, ("data", "read", "read"), read=words("num_groups"), harmless=words("epsilon stash_type")
    ),
    Operator("MeanVarianceNormalization", statistics, read=words("axes")),
    # A word of our own: what works along one axis and may change its length.
    Operator("ReduceOver", within, ("data", "read", "read"), read=_AXIS),
)  # fmt: skip
