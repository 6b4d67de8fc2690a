"""Operators that change a map's size otherwise than by a window over its cells: Resize, blocks of cells, adaptive pools."""

from __future__ import annotations

from fractions import Fraction

from fullconv.graph.axes import whole
from fullconv.graph.nodes import Span, Window
from fullconv.operators.operation import Effect, Operation, opaque, text
from fullconv.operators.record import Operator, words
from fullconv.operators.space import channels_first


def adaptive(op: Operation) -> Effect:
    """A pool to a size that does not divide its input's."""
    (height, width), (rows, cols) = op.attribute("from"), op.attribute("to")
    return opaque(
        op,
        f"an adaptive pool from {height}×{width} to {rows}×{cols} has windows of uneven size at training size {height}×{width}",
    )


def resize(op: Operation) -> Effect:
    """Resize and Upsample by whole factors: a window of a stride below one."""
    axes, shape = op.first, op.shape()
    if not channels_first(axes) or shape[:2] != axes.shape[:2]:
        return opaque(op, f"it resizes more than height and width of {axes}")
    mode = text(op.attribute("mode", "nearest"))
    place = text(op.attribute("coordinate_transformation_mode", "half_pixel"))
    corners = place in ("align_corners", "tf_crop_and_resize") or op.attribute("corners", False)
    if mode not in ("nearest", "linear") or (corners and mode == "linear"):
        return opaque(
            op, f"it resamples by {mode}{' with corners aligned' if corners else ''}, which follows the input's size"
        )
    spans = []
    for have, want in zip(axes.map_size, shape[2:], strict=True):
        factor, rest = divmod(want, have)
        if rest or not factor:
            return opaque(op, f"it resizes {axes.map_size} to {tuple(shape[2:])}, no whole factor")
        kernel = factor if mode == "nearest" or factor == 1 else 2 * factor - factor % 2
        edge = (kernel - factor) // 2
        stride = Fraction(1, factor)
        spans.append(Span(kernel, stride, 1, edge, kernel - factor - edge) if factor > 1 else Span())
    return Effect(Window(spans[0], spans[1], auto=_resizes_to(op)), (axes.with_size(*shape[2:]),))


def _resizes_to(op: Operation) -> bool:
    """Whether it states a size instead of a factor."""
    given = op.attribute("fixed")
    if given is not None:
        return bool(given)
    return op.kind == "Resize" and op.input(3) not in (None, "") and not op.is_sized(3)


def blocks(op: Operation) -> Effect:
    """SpaceToDepth and DepthToSpace: a block of cells as channels, and back."""
    if not channels_first(op.first):
        return opaque(op, f"it blocks {op.first}, which is no map of (n, c, h, w)")
    factor, shape = int(op.attribute("blocksize", 1)), op.shape()
    down = op.kind == "SpaceToDepth"
    span = Span(factor, Fraction(factor) if down else Fraction(1, factor)) if factor > 1 else Span()
    return Effect(
        Window(span, span, divides=down), (op.first.with_size(*shape[2:]).with_axis(1, (whole("c", shape[1]),)),)
    )


OPERATORS = (
    Operator(
        "Resize", resize, ("data", "read", "read", "size"),
        read=words("mode coordinate_transformation_mode nearest_mode corners fixed scales"),
        harmless=words("cubic_coeff_a extrapolation_value"),
        refused={"antialias": (0,), "exclude_outside": (0,), "keep_aspect_ratio_policy": ("stretch",), "axes": ()},
    ),
    Operator("Upsample", resize, ("data", "read"), read=words("mode scales height_scale width_scale")),
    Operator("SpaceToDepth", blocks, read=words("blocksize"), harmless=words("mode")),
    Operator("DepthToSpace", blocks, read=words("blocksize"), harmless=words("mode")),
    Operator("AdaptivePool", adaptive, read=words("from to")),  # a word of our own
)  # fmt: skip
