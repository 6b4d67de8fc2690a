"""Operators that act on each cell, or along one axis of it."""

from __future__ import annotations

import numpy as np

from fullconv.formats.rules.operation import Effect, Operation, opaque
from fullconv.formats.rules.window import moved_window
from fullconv.graph.axes import Axes, AxesError, size_of, whole
from fullconv.graph.nodes import Pointwise, Touch, Whole

END = 2**31 - 1


def elementwise(op: Operation) -> Effect:
    """Unary operators, and those of several inputs that broadcast."""
    shape = op.shape()
    out = next((axes for axes in op.axes if axes is not None and axes.shape == shape), None)
    if out is None:
        out = _broadcast([axes for axes in op.axes if axes is not None], shape)
        if out is None:
            return opaque(op, f"it broadcasts {' and '.join(str(a) for a in op.axes if a)} to {shape}")
    aligned = []
    for i, axes in enumerate(op.axes):
        value = op.constant(i)
        if axes is not None or value is None or value.size == 1 or op.is_sized(i):
            continue  # what follows from the image's size grows with it
        padded = (1,) * (out.rank - value.ndim) + value.shape
        for size, atoms in zip(padded, out.axes, strict=False):
            if size > 1 and size_of(atom for atom in atoms if atom.is_space) > 1:
                return Effect(Whole("other", f"{op.input(i)} has a number for each position of the map"), (out,))
        if not out.is_map and max(padded) > 1:
            aligned.append(str(op.input(i)))
    return Effect(Pointwise(), (out,) * len(op.shapes), aligned=tuple(aligned))


def _broadcast(inputs: list[Axes], shape: tuple[int, ...]) -> Axes | None:
    if any(axes.rank > len(shape) for axes in inputs):
        return None
    out = []
    for i in range(len(shape)):
        choices = [a.axes[i - len(shape) + a.rank] for a in inputs if i - len(shape) + a.rank >= 0]
        choices = [atoms for atoms in choices if size_of(atoms) == shape[i]]
        if not choices:
            return None
        out.append(choices[0])
    return Axes(tuple(out))


def attention(op: Operation) -> Effect:
    """Attention: every position reads every other."""
    return opaque(op, "attention: every position reads all others, which no window of a fixed size does")


def expand(op: Operation) -> Effect:
    """Axes of size 1 repeated."""
    axes, shape = op.first, op.shape()
    lead = ((),) * (len(shape) - axes.rank)
    out = []
    for i, (atoms, size) in enumerate(zip((*lead, *axes.axes), shape, strict=True)):
        same = size_of(atoms) == size
        if not same and any(atom.is_space for atom in atoms):
            return opaque(op, f"it spreads one cell of {axes} over {'×'.join(map(str, shape))}")
        out.append(atoms if same else (whole(f"e{i}", size),))
    return Effect(Pointwise(), (Axes(tuple(out)),))


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


def cut(op: Operation) -> Effect:
    """Slice: of channels pointwise, of height and width a window of one cell with a step."""
    axes = op.first
    starts, ends = op.ints("starts", 1), op.ints("ends", 2)
    if starts is None or ends is None:
        return opaque(op, "where it cuts is not constant")
    which, steps = op.ints("axes", 3), op.ints("steps", 4)
    which = which if which is not None else list(range(len(starts)))
    steps = steps if steps is not None else [1] * len(starts)
    moves = [(0, 0, 1)] * axes.rank
    for start, end, axis, step in zip(starts, ends, which, steps, strict=True):
        i = axes.index(axis)
        length = axes.shape[i]
        if step < 1:
            return opaque(op, "it runs backwards")
        start = min(max(start + length if start < 0 else start, 0), length)
        to_end = end >= END  # a number that happens to be today's length is a fixed place
        from_end = end < 0
        space = any(a.is_space and a.size > 1 for a in axes.axes[i])
        if space and (op.is_sized(2) or not (to_end or from_end)):
            return opaque(op, f"it cuts height or width at a fixed place (axis {axis} from {start} to {end})")
        moves[i] = (-start, end if from_end and not to_end else 0, step)
    return moved_window(op, moves)


def gather(op: Operation) -> Effect:
    """Gather of channels by constant indices."""
    axes, index = op.first, op.constant(1)
    axis = axes.index(int(op.attribute("axis", 0)))
    if op.axes[0] is None or index is None or index.ndim != 1 or axis == 0:
        return opaque(op, "it picks single positions")
    if size_of(a for a in axes.axes[axis] if a.is_space) > 1:
        return opaque(op, f"it picks positions along height or width (axis {axis} of {axes})")
    return Effect(Pointwise(axis=axis), (axes.with_axis(axis, (whole("c", int(np.size(index))),)),))


def reduce(op: Operation) -> Effect:
    """ReduceMean, ReduceMax over the map, or any reduction over channels that keeps them as one."""
    axes = op.first
    over = op.ints("axes", 1)
    which = sorted(axes.index(i) for i in over) if over else list(range(axes.rank))
    if 0 in which:
        return opaque(op, "it reduces the batch")
    keep = bool(op.attribute("keepdims", 1))
    pooled = axes.mixed(which)
    if size_of(pooled) > 1 and all(atom.is_space and atom.is_whole for atom in pooled):
        how = {"ReduceMean": "mean", "ReduceMax": "max"}.get(op.kind)
        sides = tuple(dict.fromkeys(atom.root for atom in pooled if atom.size > 1))
        out = axes
        for i in reversed(which):
            out = out.with_axis(i, tuple(whole(atom.root, 1) for atom in axes.axes[i]))
            out = out if keep else _without(out, i)
        if how is None:
            return Effect(Whole("other", f"{op.kind} over the map has no sliding form here"), (out,))
        return Effect(Whole("mean" if how == "mean" else "max", over=sides), (out,))
    if size_of(a for a in axes.mixed(which) if a.is_space) > 1:
        return opaque(
            op, f"it reduces {', '.join(str(axes.axes[i][0]) for i in which if axes.axes[i])} of {axes} together"
        )
    if len(which) == 1:
        out = axes.with_axis(which[0], ())
        return Effect(
            Pointwise(axis=which[0]), (out if keep else Axes((*out.axes[: which[0]], *out.axes[which[0] + 1 :])),)
        )
    return opaque(op, f"it reduces axes {which} of {axes} together")


def _without(axes: Axes, i: int) -> Axes:
    try:
        return axes.squeeze(i)
    except AxesError:
        return Axes((*axes.axes[:i], *axes.axes[i + 1 :]))
