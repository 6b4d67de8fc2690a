"""Operators that reduce axes to one number each."""

from __future__ import annotations

from fullconv.graph.axes import Axes, AxesError, whole
from fullconv.graph.nodes import Pointwise, Whole
from fullconv.operators.channels import without
from fullconv.operators.operation import Effect, Operation, opaque
from fullconv.operators.record import Operator, words
from fullconv.operators.space import touches_space

_POOLS = {"ReduceMean": "mean", "ReduceMax": "max"}  # what a window does in the same way


def reduce(op: Operation) -> Effect:
    """ReduceMean and ReduceMax over the map, or any reduction along one axis of channels."""
    axes, declared = op.first, op.ints("axes", 1)
    if not declared and op.attribute("noop_with_empty_axes", 0):
        return Effect(Pointwise(), (axes,))
    declared = declared or list(range(axes.rank))
    which = sorted({axes.index(i) for i in declared})
    if 0 in which:
        return opaque(op, "it reduces the batch")
    keep, pooled = bool(op.attribute("keepdims", 1)), axes.mixed(which)
    if pooled and all(atom.is_space and atom.is_whole for atom in pooled):
        return _over_map(op, which, keep)
    if touches_space(axes, which):
        return opaque(op, f"it reduces axes {which} of {axes} together")
    if len(which) > 1:
        return opaque(op, f"it reduces axes {which} of {axes} together")
    (axis,) = which
    out = axes.with_axis(axis, ()) if keep else without(axes, axis)
    return Effect(Pointwise(axis=axis, from_end=min(declared) < 0), (out,))


def _over_map(op: Operation, which: list[int], keep: bool) -> Effect:
    axes = out = op.first
    for i in which:
        out = out.with_axis(i, tuple(whole(atom.root, 1) for atom in axes.axes[i]))
    for i in () if keep else reversed(which):  # all are one cell by now, so that none is lost with its neighbour
        out = _without(out, i)
    if op.kind not in _POOLS:
        return Effect(Whole("other", f"{op.kind} over the map has no sliding form here"), (out,))
    sides = tuple(dict.fromkeys(atom.root for atom in axes.mixed(which)))
    return Effect(Whole("mean" if op.kind == "ReduceMean" else "max", over=sides), (out,))


def _without(axes: Axes, i: int) -> Axes:
    try:
        return axes.squeeze(i)
    except AxesError:
        return without(axes, i)


OPERATORS = tuple(
    Operator(kind, reduce, ("data", "read"), read=words("axes keepdims noop_with_empty_axes"))
    for kind in (
        "ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum",
        "ReduceSumSquare",
        "ReduceVariance", "ReduceOther",  # words of our own
    )
)  # fmt: skip
