"""Operators that reduce axes to one number each."""

from __future__ import annotations

from fullconv.graph.axes import Axes, AxesError, size_of, whole
from fullconv.graph.nodes import Pointwise, Whole
from fullconv.operators.operation import Effect, Operation, opaque
from fullconv.operators.record import Operator, words


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


OPERATORS = tuple(
    Operator(kind, reduce, ("data", "read"), read=words("axes keepdims noop_with_empty_axes"))
    for kind in (
        "ReduceL1", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum",
        "ReduceVariance", "ReduceOther",  # words of our own
    )
)  # fmt: skip
