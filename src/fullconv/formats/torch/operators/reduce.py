"""Operators that reduce axes."""

from __future__ import annotations

import math
from typing import Any

from fullconv.formats.torch.module import about_mean, below_peak
from fullconv.formats.torch.operators.call import Call, Emitter, Spelling, own, spells
from fullconv.runtimes.lowered import SHIFT

_REDUCTIONS = {
    "mean.dim": "ReduceMean",
    "mean.default": "ReduceMean",
    "amax.default": "ReduceMax",
    "amin.default": "ReduceMin",
    "sum.dim_IntList": "ReduceSum",
    "prod.dim_int": "ReduceProd",
}


def _axes(call: Call) -> list[int]:
    rank, given = call.rank(call["self"]), call.get("dim")
    axes: list[Any] = (
        list(range(rank)) if given in (None, []) else list(given) if isinstance(given, list | tuple) else [given]
    )
    return [int(i) for i in axes]  # as declared


def _reduction(name: str, op: str) -> None:
    kinds = "float int" if op in ("ReduceSum", "ReduceMax", "ReduceMin") else "float"

    @spells(name, reads="self dim keepdim", harmless="dtype", kinds=kinds)  # its input is made what it answers with
    def spell(call: Call) -> Spelling:
        axes, keep = _axes(call), int(bool(call.get("keepdim", False)))

        def emit(b: Emitter, x: str) -> str:
            if op == "ReduceSum":
                return b.op(op, x, b.ints(*axes), keepdims=keep)
            return b.op(op, x, axes=axes, keepdims=keep)

        return Spelling(op, (call["self"],), {"axes": axes, "keepdims": keep}, emit)


for _name, _op in _REDUCTIONS.items():
    _reduction(_name, _op)


@spells("max.dim", "min.dim", reads="self dim keepdim", kinds="float int")
def with_place(call: Call) -> Spelling:
    """The largest or least along an axis, and where it lies."""
    axis, keep = int(call["dim"]), int(bool(call["keepdim"]))
    how = "Max" if "max" in str(call.node.target) else "Min"

    def emit(b: Emitter, x: str) -> list[str]:
        return [b.op(f"Reduce{how}", x, axes=[axis], keepdims=keep), b.op(f"Arg{how}", x, axis=axis, keepdims=keep)]

    return Spelling(f"{how}WithPlace", (call["self"],), emit=emit)


@spells("cumsum", reads="self dim", harmless="dtype", kinds="float int")  # its input is made what it answers with
def cumsum(call: Call) -> Spelling:
    """Sums of all positions up to each."""
    axis = int(call["dim"]) % call.rank(call["self"])
    return Spelling("CumSum", (call["self"],), emit=lambda b, x: b.op("CumSum", x, b.value(axis, "int")))


@spells("linalg_vector_norm", reads="self dim keepdim ord", harmless="dtype")
def vector_norm(call: Call) -> Spelling:
    """The length of a vector along axes."""
    axes, keep, order = _axes(call), int(bool(call["keepdim"])), float(call["ord"])
    op = {1.0: "ReduceL1", 2.0: "ReduceL2"}.get(order, "ReduceOther")

    def emit(b: Emitter, x: str) -> str:
        if op != "ReduceOther":
            return b.op(op, x, axes=axes, keepdims=keep)
        if math.isinf(order):
            return b.op("ReduceMax" if order > 0 else "ReduceMin", b.op("Abs", x), axes=axes, keepdims=keep)
        if order == 0:  # how many are not zero
            return b.op("ReduceSum", b.op("Abs", b.op("Sign", x)), b.ints(*axes), keepdims=keep)
        powers = b.op("Pow", b.op("Abs", x), b.floats(order))
        return b.op("Pow", b.op("ReduceSum", powers, b.ints(*axes), keepdims=keep), b.floats(1 / order))

    return Spelling(op, (call["self"],), {"axes": axes, "keepdims": keep}, emit)


@spells("var.correction", "std.correction", "var.dim", "std.dim", reads="self dim keepdim correction unbiased")
def variance(call: Call) -> Spelling:
    """The variance or deviation along axes."""
    axes, keep, x = _axes(call), int(bool(call["keepdim"])), call["self"]
    count = 1
    for i in axes:
        count *= call.shape(x)[i]
    given = call.get("correction")
    less = float(1 if given is None else given) if "correction" in call else float(bool(call["unbiased"]))
    root = "std" in str(call.node.target)

    def emit(b: Emitter, x: str) -> str:
        apart = b.op("Sub", x, b.op("ReduceMean", x, axes=axes, keepdims=1))
        mean = b.op("ReduceMean", b.op("Mul", apart, apart), axes=axes, keepdims=keep)
        var = b.scaled(mean, count / (count - less) if count > less else math.nan)
        return b.op("Sqrt", var) if root else var

    return Spelling("ReduceVariance", (x,), {"axes": axes, "keepdims": keep}, emit)


def peaks_off(call: Call) -> Spelling:
    """Scores less their largest: on a map of any size it moves what a softmax makes of them by nothing."""
    return Spelling(
        "Relu", (call["x"],), emit=lambda b, x: b.op("Sub", x, b.op("ReduceMax", x, axes=[2, 3], keepdims=1))
    )


own(below_peak, peaks_off)


def about(call: Call) -> Spelling:
    """Numbers less their mean over the map: on a map of any size it moves what a variance makes of them by nothing."""
    axes = [int(call["rows"]), int(call["cols"])]

    def emit(b: Emitter, x: str) -> str:
        mean = b.op("ReduceMean", x, axes=axes, keepdims=1)
        b.nodes[-1].metadata_props.add(key=SHIFT, value="mean")  # so that a written file is read as what it is
        return b.op("Sub", x, mean)

    return Spelling("Relu", (call["x"],), emit=emit)


own(about_mean, about)
