"""Operators that read a window: Conv, ConvTranspose, the pools."""

from __future__ import annotations

from fractions import Fraction

from fullconv.geometry.axis import output_length
from fullconv.graph.axes import AxesError, whole
from fullconv.graph.nodes import Pointwise, Span, Whole, Window
from fullconv.operators.operation import Array, Effect, Operation, opaque, text
from fullconv.operators.record import Operator, words
from fullconv.operators.space import channels_first


def convolution(op: Operation) -> Effect:
    """Conv and ConvTranspose over (n, c, h, w)."""
    kernel = op.attribute("kernel_shape") or list(_shape_of(op.constant(1))[2:])
    if op.kind == "Conv" and _along_channels(op, kernel):
        return Effect(Pointwise(axis=2), (op.first.with_axis(2, (whole("c", op.shape()[2]),)),))
    if not channels_first(op.first):
        return opaque(op, f"a convolution over {op.first}, which is no map of (n, c, h, w)")
    return _window(op, kernel, transposed=op.kind == "ConvTranspose")


def pool(op: Operation) -> Effect:
    """MaxPool, AveragePool, LpPool."""
    if _along_channels(op, op.attribute("kernel_shape")):
        return Effect(Pointwise(axis=2), (op.first.with_axis(2, (whole("c", op.shape()[2]),)),))
    if not channels_first(op.first):
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
    auto = text(op.attribute("auto_pad", "NOTSET"))
    pads = list(op.attribute("pads") or [0, 0, 0, 0])
    size, out = op.first.map_size, op.shape()[2:]
    same = auto in ("SAME_UPPER", "SAME_LOWER")
    if same and op.attribute("ceil_mode", 0):
        return opaque(op, "its padding follows the input's size, and so do its last windows")
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
            overhang = max(0, min(strides[i] - 1, field - 1 - after))
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
    if not channels_first(op.first):
        return opaque(op, f"a pool over {op.first}, which is no map of (n, c, h, w)")
    if op.kind == "GlobalLpPool":
        return opaque(op, "a norm over the whole map, which has no sliding form here")
    return Effect(Whole("mean" if "Average" in op.kind else "max"), (op.first.with_size(1, 1),))


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


def _shape_of(weights: Array | None) -> tuple[int, ...]:
    if weights is None:
        raise AxesError("its weights should be constant and follow from the image")
    return weights.shape


_WINDOW = words("auto auto_pad dilations kernel_shape pads strides")

OPERATORS = (
    Operator(
        "Conv", convolution, ("data", "read", "read"), read=_WINDOW, harmless=words("group"), memory="blocks", dilates=True, cuttable=True
    ),
    Operator(
        "ConvTranspose", convolution, ("data", "read", "read"), read=_WINDOW | {"output_padding"}, harmless=words("group"),
        refused={"output_shape": ()}, cuttable=True,
    ),
    Operator(
        "MaxPool", pool, read=_WINDOW | {"ceil_mode"}, harmless=words("storage_order"), memory="blocks", dilates=True, cuttable=True
    ),
    Operator(
        "AveragePool", pool, read=_WINDOW | words("ceil_mode count_include_pad"), memory="blocks", dilates=True, cuttable=True
    ),
    Operator("LpPool", pool, read=_WINDOW | {"ceil_mode"}, harmless=words("p")),
    Operator("GlobalAveragePool", global_pool, memory="blocks"),
    Operator("GlobalMaxPool", global_pool, memory="blocks"),
    Operator("GlobalLpPool", global_pool, harmless=words("p")),
)  # fmt: skip
