"""Operators with a weight matrix: Gemm and MatMul."""

from __future__ import annotations

from fullconv.graph.axes import whole
from fullconv.graph.nodes import Linear, Pointwise, Whole
from fullconv.operators.operation import Effect, Operation, opaque
from fullconv.operators.record import Operator, words
from fullconv.operators.space import touches_space


def linear(op: Operation) -> Effect:
    """Gemm or MatMul of the data with a constant matrix on the right: over the last axis."""
    axes, matrix = op.axes[0], op.constant(1)
    if axes is None or matrix is None or matrix.ndim != 2:
        return opaque(op, "a product of two activations, as attention has it")
    outputs, last = op.shape()[-1], axes.rank - 1
    if op.kind == "Gemm":
        bias = op.constant(2)
        if op.attribute("transA", 0) or (op.input(2) is not None and bias is None):
            return opaque(op, "a Gemm with its data transposed, or with a bias that is no constant")
        if bias is not None and bias.size not in (1, outputs):
            return opaque(op, f"a Gemm with a bias of {bias.shape}, which has a number for each row of its batch")
    out = axes.with_axis(last, (whole("c", outputs),))
    over = axes.axes[last]
    space = any(atom.is_space for atom in over)
    beside = [atom for axis in axes.axes[1:last] for atom in axis if atom.size > 1]
    if axes.is_map or axes.rank < 2 or any(not atom.is_space for atom in beside) or (space and beside):
        if touches_space(axes, [last]) or axes.rank < 2:
            return Effect(Whole("other", f"a matrix over the last axis of {axes}"), (out,))
        return Effect(Pointwise(axis=last, from_end=True), (out,))
    # A vector, or one vector for each position: a convolution once there is a map of them.
    touch = Whole("linear") if space else Pointwise(flat=True) if last == 1 else Pointwise(axis=last, from_end=True)
    return Effect(touch, (out,), Linear(outputs, over))


OPERATORS = (
    Operator("Gemm", linear, ("data", "data", "data"), read=words("alpha beta transA transB"), refused={"broadcast": (0, 1)}),
    Operator("MatMul", linear, ("data", "data", "data")),
)  # fmt: skip
