"""Operators with a weight matrix: Gemm and MatMul."""

from __future__ import annotations

from fullconv.graph.axes import Axes, size_of, whole
from fullconv.graph.nodes import Linear, Pointwise, Whole
from fullconv.operators.operation import Effect, Operation, opaque
from fullconv.operators.record import Operator, words


def linear(op: Operation) -> Effect:
    """Gemm or MatMul of the data with a constant matrix on the right."""
    axes, matrix = op.axes[0], op.constant(1)
    if axes is None or matrix is None or matrix.ndim != 2:
        return opaque(op, "a product of two activations, as attention has it")
    outputs = op.shape()[-1]
    out = Axes((*axes.axes[:-1], (whole("c", outputs),)))
    if op.kind == "Gemm":
        bias = op.constant(2)
        if op.attribute("transA", 0) or (op.input(2) is not None and bias is None):
            return opaque(op, "a Gemm with its data transposed, or with a bias that is no constant")
    if axes.is_map or axes.rank != 2:
        last = axes.axes[-1]
        if size_of(a for a in last if a.is_space) > 1:
            return Effect(Whole("other", f"a matrix over the last axis of {axes}"), (out,))
        return Effect(Pointwise(axis=-1), (out,))
    over = axes.axes[1]
    space = any(atom.is_space for atom in over)
    return Effect(Whole("linear") if space else Pointwise(flat=True), (out,), Linear(outputs, over))


OPERATORS = (
    Operator("Gemm", linear, ("data", "data", "data"), read=words("alpha beta transA transB"), refused={"broadcast": (0, 1)}),
    Operator("MatMul", linear, ("data", "data", "data")),
)  # fmt: skip
