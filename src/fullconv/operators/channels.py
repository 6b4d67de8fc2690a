"""Operators that work along one axis, or along the channels of each cell."""

from __future__ import annotations

import numpy as np

from fullconv.graph.axes import Axes, size_of, whole
from fullconv.graph.nodes import Pointwise, Touch, Whole
from fullconv.operators.operation import Effect, Operation, opaque
from fullconv.operators.record import Operator, words


def within(op: Operation) -> Effect:
    """What works along one axis and may change its length."""
    axes, axis = op.first, op.first.index(int(op.attribute("axis", 1)))
    return Effect(_touch_of(axes.mixed([axis]), axis, axes), (_with(op, axes, axis, 0),))


def by_channel(op: Operation) -> Effect:
    """BatchNormalization and LRN: a parameter a channel, or neighbours among channels."""
    atoms = op.first.axes[1] if op.first.rank > 1 else ()
    if size_of(atom for atom in atoms if atom.is_space) > 1:
        return Effect(Whole("other", f"it has a parameter for each position of the map ({op.first})"), (op.first,))
    return Effect(Pointwise(), (op.first,))


def statistics(op: Operation) -> Effect:
    """InstanceNormalization, GroupNormalization, MeanVarianceNormalization: moments over the whole map."""
    return Effect(Whole("statistics") if op.first.is_map else Pointwise(axis=1), (op.first,))


def layer_normalization(op: Operation) -> Effect:
    """LayerNormalization: over channels pointwise, over the map statistics."""
    axes = op.first
    start = axes.index(op.attribute("axis", -1))
    mixed = axes.mixed(range(start, axes.rank))
    if size_of(atom for atom in mixed if atom.is_space) > 1:
        return Effect(Whole("statistics"), (axes,))
    return Effect(Pointwise(axis=op.attribute("axis", -1), trailing=True), (axes,))


def along(op: Operation) -> Effect:
    """Softmax, LogSoftmax, Hardmax, LpNormalization."""
    old = op.opset < 13 and op.kind in ("Softmax", "LogSoftmax", "Hardmax")
    declared = int(op.attribute("axis", 1 if old else -1))
    axes = op.first
    axis = axes.index(declared)
    if axis == 0:
        return opaque(op, "it runs along the batch")
    mixed = axes.mixed(range(axis, axes.rank) if old else [axis])
    return Effect(_touch_of(mixed, declared, axes, trailing=old), (axes,))


def _touch_of(mixed: tuple, declared: int, axes: Axes, trailing: bool = False) -> Touch:  # type: ignore[type-arg]
    if size_of(atom for atom in mixed if atom.is_space) > 1:
        return Whole("other", f"it runs along height or width ({axes})")
    return Pointwise(axis=declared, trailing=trailing)


def choose(op: Operation) -> Effect:
    """ArgMax, ArgMin, TopK along one axis that stays."""
    axes = op.first
    declared = int(op.attribute("axis", -1 if op.kind == "TopK" else 0))
    axis = axes.index(declared)
    if op.kind != "TopK" and not op.attribute("keepdims", 1):
        return opaque(op, "it drops the axis that it runs along (keepdims=0)")
    if axis == 0:
        return opaque(op, "it runs along the batch")
    touch = _touch_of(axes.mixed([axis]), declared, axes)
    return Effect(touch, tuple(axes.with_axis(axis, (whole("c", op.shape(i)[axis]),)) for i in range(len(op.shapes))))


def join(op: Operation) -> Effect:
    """Concat along channels."""
    if any(axes is None for axes in op.axes):
        return opaque(op, "it joins the map with a constant, as a class token is")
    declared = int(op.attribute("axis", 1))
    axes = op.first
    axis = axes.index(declared)
    if axis == 0 or size_of(a for each in op.axes if each for a in each.axes[axis] if a.is_space) > 1:
        return Effect(
            Whole("other", f"it joins along axis {declared} of {axes}, which is not the channels"),
            (_with(op, axes, axis, 0),),
        )
    return Effect(Pointwise(axis=declared), (_with(op, axes, axis, 0),))


def split(op: Operation) -> Effect:
    """Split along channels."""
    declared = int(op.attribute("axis", 0))
    axes = op.first
    axis = axes.index(declared)
    outs = tuple(_with(op, axes, axis, i) for i in range(len(op.shapes)))
    if axis == 0 or size_of(a for a in axes.axes[axis] if a.is_space) > 1:
        return Effect(Whole("other", f"it cuts axis {declared} of {axes}, which is not the channels"), outs)
    return Effect(Pointwise(axis=declared), outs)


def _with(op: Operation, axes: Axes, axis: int, i: int) -> Axes:
    roots = [atom.root for atom in axes.axes[axis]]
    return axes.with_axis(axis, (whole(roots[0] if len(roots) == 1 and axis else "c", op.shape(i)[axis]),))


def gather(op: Operation) -> Effect:
    """Gather of channels by constant indices."""
    axes, index = op.first, op.constant(1)
    axis = axes.index(int(op.attribute("axis", 0)))
    if op.axes[0] is None or index is None or index.ndim != 1 or axis == 0:
        return opaque(op, "it picks single positions")
    if size_of(a for a in axes.axes[axis] if a.is_space) > 1:
        return opaque(op, f"it picks positions along height or width (axis {axis} of {axes})")
    return Effect(Pointwise(axis=axis), (axes.with_axis(axis, (whole("c", int(np.size(index))),)),))


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
