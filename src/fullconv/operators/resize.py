"""Operators that change a map's size otherwise than by a window over its cells: Resize, blocks of cells, adaptive pools."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from math import ceil, floor

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
    spans = []
    for have, want in zip(axes.map_size, shape[2:], strict=True):
        factor, rest = divmod(want, have)
        if rest or not factor:
            return opaque(op, f"it resizes {axes.map_size} to {tuple(shape[2:])}, no whole factor")
        span = Span() if factor == 1 else _window_of(factor, mode, _centre(op), _rounding(op))
        if span is None:
            how = f"{mode} ({_centre(op)}{f', {_rounding(op)}' if mode == 'nearest' else ''})"
            return opaque(
                op, f"it resamples by {how}, which follows the input's size or reads other cells than a window"
            )
        spans.append(span)
    return Effect(Window(spans[0], spans[1], auto=_resizes_to(op)), (axes.with_size(*shape[2:]),))


def _centre(op: Operation) -> str:
    """Where an output's cell lies in the input, by ONNX's name for it."""
    if op.kind == "Upsample" or op.opset < 11:
        return "asymmetric"
    return (
        "align_corners"
        if op.attribute("corners", False)
        else text(op.attribute("coordinate_transformation_mode", "half_pixel"))
    )


def _rounding(op: Operation) -> str:
    if op.kind == "Upsample" or op.opset < 11:
        return "floor"
    return text(op.attribute("nearest_mode", "round_prefer_floor"))


_ROUNDED: Mapping[str, Callable[[Fraction], int]] = {
    "floor": floor,
    "ceil": ceil,
    "round_prefer_floor": lambda x: ceil(x - Fraction(1, 2)),
    "round_prefer_ceil": lambda x: floor(x + Fraction(1, 2)),
}


def _window_of(factor: int, mode: str, centre: str, rounding: str) -> Span | None:
    """The outputs that read one cell, as a window of a stride below one; None where they are no run that steps with the cell."""
    if centre not in ("half_pixel", "pytorch_half_pixel", "asymmetric", "half_pixel_symmetric"):
        return None
    half = Fraction(0) if centre == "asymmetric" else Fraction(1, 2)
    reach = 2 * factor
    reads: list[int] = []  # outputs, counted from the first that belongs to the cell, that read it
    for out in range(-reach, reach + 1):
        at = (out + half) / factor - half
        if mode == "nearest":
            cells = {_ROUNDED[rounding](at)} if rounding in _ROUNDED else set()
        elif mode in ("linear", "bilinear"):
            cells = {floor(at), ceil(at)}
        else:
            return None
        if 0 in cells:
            reads.append(out)
    if not reads or reads != list(range(reads[0], reads[-1] + 1)) or len(reads) < factor:
        return None
    if mode == "nearest" and reads[0]:
        return None  # each cell of another window than that of its own outputs
    before = -reads[0]
    return Span(len(reads), Fraction(1, factor), 1, before, len(reads) - factor - before)


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
