"""Operators that read a window: Conv, ConvTranspose, the pools, Pad, a strided Slice."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from fullconv.formats.rules.operation import Array, Effect, Operation, opaque
from fullconv.geometry.axis import output_length
from fullconv.graph.axes import Axes, AxesError, whole
from fullconv.graph.nodes import Pointwise, Span, Whole, Window


def convolution(op: Operation) -> Effect:
    """Conv and ConvTranspose over (n, c, h, w)."""
    kernel = op.attribute("kernel_shape") or list(_shape_of(op.constant(1))[2:])
    if op.kind == "Conv" and _along_channels(op, kernel):
        return Effect(Pointwise(axis=2), (op.first.with_axis(2, (whole("c", op.shape()[2]),)),))
    if not _channels_first(op.first):
        return opaque(op, f"a convolution over {op.first}, which is no map of (n, c, h, w)")
    return _window(op, kernel, transposed=op.kind == "ConvTranspose")


def pool(op: Operation) -> Effect:
    """MaxPool, AveragePool, LpPool."""
    if _along_channels(op, op.attribute("kernel_shape")):
        return Effect(Pointwise(axis=2), (op.first.with_axis(2, (whole("c", op.shape()[2]),)),))
    if not _channels_first(op.first):
        return opaque(op, f"a pool over {op.first}, which is no map of (n, c, h, w)")
    if len(op.shapes) > 1:
        return opaque(op, "it also answers with the places of its maxima")
    size, strides = list(op.first.map_size), op.attribute("strides") or [1, 1]
    pads = any(op.attribute("pads") or [0]) or str(op.attribute("auto_pad", "")).startswith("SAME")
    covers = op.attribute("kernel_shape") == size and not pads and max(strides) > 1
    if covers and op.kind != "LpPool":  # a window that is the whole map is a global pool, whatever its stride
        return Effect(Whole("max" if "Max" in op.kind else "mean"), (op.first.with_size(1, 1),))
    return _window(op, op.attribute("kernel_shape"), transposed=False)


def _window(op: Operation, kernel: list[int], transposed: bool) -> Effect:
    strides, dilations = op.attribute("strides") or [1, 1], op.attribute("dilations") or [1, 1]
    auto = _text(op.attribute("auto_pad", "NOTSET"))
    pads = list(op.attribute("pads") or [0, 0, 0, 0])
    size, out = op.first.map_size, op.shape()[2:]
    same = auto in ("SAME_UPPER", "SAME_LOWER")
    if same:
        for i in (0, 1):
            field = (kernel[i] - 1) * dilations[i] + 1
            total = (
                max(0, (out[i] - 1) * strides[i] + field - size[i])
                if not transposed
                else max(0, (size[i] - 1) * strides[i] + field - out[i])
            )
            small, large = total // 2, total - total // 2
            pads[i], pads[i + 2] = (small, large) if auto == "SAME_UPPER" else (large, small)
    extra = op.attribute("output_padding") or [0, 0]
    spans = []
    for i in (0, 1):
        before, after, overhang = pads[i], pads[i + 2], 0
        field = (kernel[i] - 1) * dilations[i] + 1
        if transposed and strides[i] == 1:
            before, after = field - 1 - before, field - 1 - after + extra[i]
        elif transposed:
            after -= extra[i]
        elif op.attribute("ceil_mode", 0):
            # windows that start past the input and its left padding are left out
            reach = after + strides[i] - 1
            overhang = max(0, min(reach, field - 1) - after) if before or after else reach
        step = Fraction(1, strides[i]) if transposed and strides[i] > 1 else Fraction(strides[i])
        spans.append(Span(kernel[i], step, dilations[i], before, after, overhang))
    lengths = tuple(output_length(span, length) for span, length in zip(spans, size, strict=True))
    if lengths != tuple(out):
        return opaque(op, f"its output of {tuple(out)} is not the {lengths} that its window gives")
    channels = (whole("c", op.shape()[1]),) if op.kind.startswith("Conv") else op.first.axes[1]
    axes = op.first.with_size(*out).with_axis(1, channels)
    return Effect(Window(spans[0], spans[1], auto=same or bool(op.attribute("auto", False))), (axes,))


def global_pool(op: Operation) -> Effect:
    """GlobalAveragePool, GlobalMaxPool."""
    if op.kind == "GlobalLpPool" or not _channels_first(op.first):
        return opaque(op, f"{op.kind} has no rule here")
    return Effect(Whole("mean" if "Average" in op.kind else "max"), (op.first.with_size(1, 1),))


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
    if not _channels_first(axes) or shape[:2] != axes.shape[:2]:
        return opaque(op, f"it resizes more than height and width of {axes}")
    mode = _text(op.attribute("mode", "nearest"))
    place = _text(op.attribute("coordinate_transformation_mode", "half_pixel"))
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


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def blocks(op: Operation) -> Effect:
    """SpaceToDepth and DepthToSpace: a block of cells as channels, and back."""
    if not _channels_first(op.first):
        return opaque(op, f"it blocks {op.first}, which is no map of (n, c, h, w)")
    factor, shape = int(op.attribute("blocksize", 1)), op.shape()
    down = op.kind == "SpaceToDepth"
    span = Span(factor, Fraction(factor) if down else Fraction(1, factor)) if factor > 1 else Span()
    return Effect(
        Window(span, span, divides=down), (op.first.with_size(*shape[2:]).with_axis(1, (whole("c", shape[1]),)),)
    )


def pad(op: Operation) -> Effect:
    """Pad with a constant: of channels pointwise, of height and width a window of one cell."""
    amounts = op.ints("pads", 1)
    axes = op.first
    if amounts is None or op.is_sized(1) or len(amounts) != 2 * axes.rank:
        return opaque(op, "its amounts are not constant")
    return moved_window(op, [(amounts[i], amounts[i + axes.rank], 1) for i in range(axes.rank)])


def moved_window(op: Operation, moves: list[tuple[int, int, int]]) -> Effect:
    """A window of one cell an axis, from (before, after, step): padding adds cells, cutting takes them, a step skips."""
    axes, shape = op.first, op.shape()
    spans, out = {}, axes
    for i, (before, after, step) in enumerate(moves):
        if (before, after, step) == (0, 0, 1):
            continue
        atoms = axes.axes[i]
        if i == 0 or len(atoms) != 1:
            if any(atom.is_space and atom.size > 1 for atom in atoms) or i == 0:
                return opaque(op, f"it cuts or pads axis {i} of {axes}")
            out = out.with_axis(i, (whole("c", shape[i]),))
            continue
        root = atoms[0].root
        out = out.with_axis(i, (whole(root, shape[i]),))
        if root in ("h", "w"):
            spans[root] = Span(1, Fraction(step), 1, before, after)
    if not spans:
        return Effect(Pointwise(), (out,))
    if not axes.is_map:
        return opaque(op, f"it cuts or pads positions of {axes}, which is no map")
    return Effect(Window(spans.get("h", Span()), spans.get("w", Span())), (out,))


def _along_channels(op: Operation, kernel: list[int]) -> bool:
    """Whether a window over (n, 1, c, h, w) moves along channels alone, as local response normalisation has it."""
    axes = op.first
    if (
        axes.rank != 5
        or not axes.is_map
        or (axes.space_axis("h"), axes.space_axis("w")) != (3, 4)
        or axes.shape[1] != 1
    ):
        return False
    pads = op.attribute("pads") or [0] * 6
    beside = [*pads[1:3], *pads[4:6]]
    return kernel[1:] == [1, 1] and not any(beside) and set(op.attribute("strides") or [1]) == {1}


def _channels_first(axes: Axes) -> bool:
    return axes.rank == 4 and axes.is_map and axes.channel_axis == 1


def _shape_of(weights: Array | None) -> tuple[int, ...]:
    if weights is None:
        raise AxesError("its weights should be constant and follow from the image")
    return weights.shape
