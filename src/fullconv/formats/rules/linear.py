"""Operators with a weight matrix: Gemm and MatMul."""

from __future__ import annotations

from fullconv.axes import Axes, size_of, whole
from fullconv.formats.rules.site import Site, Told, opaque
from fullconv.graph import Linear, Pointwise, Whole


def linear(site: Site) -> Told:
    """Gemm or MatMul of the data with a constant matrix on the right."""
    axes, matrix = site.axes[0], site.constant(1)
    if axes is None or matrix is None or matrix.ndim != 2:
        return opaque(site, "a product of two activations, as attention has it")
    outputs = site.shape()[-1]
    out = Axes((*axes.axes[:-1], (whole("c", outputs),)))
    if site.op == "Gemm":
        bias = site.constant(2)
        if site.attribute("transA", 0) or (site.input(2) is not None and bias is None):
            return opaque(site, "a Gemm with its data transposed, or with a bias that is no constant")
    if axes.is_map or axes.rank != 2:
        last = axes.axes[-1]
        if size_of(a for a in last if a.is_space) > 1:
            return Told(Whole("other", f"a matrix over the last axis of {axes}"), (out,))
        return Told(Pointwise(axis=-1), (out,))
    over = axes.axes[1]
    space = any(atom.is_space for atom in over)
    return Told(Whole("linear") if space else Pointwise(flat=True), (out,), Linear(outputs, over))
