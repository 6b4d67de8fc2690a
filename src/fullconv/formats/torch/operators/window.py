"""Operators that read a window: convolutions, pools, padding, slices, resampling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import fx

from fullconv.formats.torch.operators.call import Call, Emitter, Spelling, Unspelt, spells, unwritten

aten = torch.ops.aten
END = 2**63 - 1


def _twice(pads: Sequence[int]) -> list[int]:
    """(y, x) of both sides as ONNX has them: y, x before, y, x behind."""
    return [*pads, *pads]


@spells("conv2d", "conv2d.padding", reads="input weight bias stride padding dilation groups")
def conv2d(call: Call) -> Spelling:
    """A convolution over (n, c, h, w)."""
    kernel = list(call.shape(call["weight"])[2:])
    dilation = call.pair(call["dilation"])
    padding = call["padding"]
    if padding == "valid":
        pads = [0, 0, 0, 0]
    elif padding == "same":  # PyTorch allows it at stride 1 only, where it is the same for every size
        total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        pads = [*(t // 2 for t in total), *(t - t // 2 for t in total)]
    else:
        pads = _twice(call.pair(padding))
    attributes = {
        "kernel_shape": kernel,
        "strides": call.pair(call["stride"]),
        "pads": pads,
        "dilations": dilation,
        "group": int(call["groups"]),
    }
    return Spelling("Conv", (call["input"], call["weight"], call["bias"]), attributes)


@spells("conv_transpose2d.input", reads="input weight bias stride padding output_padding groups dilation")
def conv_transpose2d(call: Call) -> Spelling:
    """A transposed convolution."""
    attributes = {
        "kernel_shape": list(call.shape(call["weight"])[2:]),
        "strides": call.pair(call["stride"]),
        "pads": _twice(call.pair(call["padding"])),
        "output_padding": call.pair(call["output_padding"]),
        "dilations": call.pair(call["dilation"]),
        "group": int(call["groups"]),
    }
    return Spelling("ConvTranspose", (call["input"], call["weight"], call["bias"]), attributes)


def _pool(call: Call, kind: str, **more: Any) -> Spelling:
    kernel = call.pair(call["kernel_size"])
    attributes = {
        "kernel_shape": kernel,
        "strides": call.pair(call["stride"] or kernel),
        "pads": _twice(call.pair(call["padding"])),
        "ceil_mode": int(bool(call["ceil_mode"])),
        **more,
    }
    return Spelling(kind, (call["self"],), attributes)


@spells("max_pool2d", reads="self kernel_size stride padding dilation ceil_mode")
def max_pool2d(call: Call) -> Spelling:
    """The largest of a window."""
    return _pool(call, "MaxPool", dilations=call.pair(call["dilation"]))


@spells("avg_pool2d", reads="self kernel_size stride padding ceil_mode count_include_pad divisor_override")
def avg_pool2d(call: Call) -> Spelling:
    """The mean of a window, padding counted or not, or its sum over a given divisor."""
    divisor, counted = call["divisor_override"], bool(call["count_include_pad"])
    found = _pool(call, "AveragePool", count_include_pad=int(counted or divisor is not None))
    attributes, (height, width) = dict(found.attributes), found.attributes["kernel_shape"]
    if attributes["ceil_mode"] and not any(attributes["pads"]) and divisor is None:
        # Without padding the two counts agree: cells of the window that lie in the input.
        return Spelling(found.op, found.inputs, attributes | {"count_include_pad": 0})
    if attributes["ceil_mode"] and (divisor is not None or counted):
        return Spelling(found.op, found.inputs, attributes, unwritten)
    if divisor is None:
        return found

    def emit(b: Emitter, x: str) -> str:
        return b.scaled(b.op("AveragePool", x, **attributes), height * width / float(divisor))

    return Spelling(found.op, found.inputs, attributes, emit)


@spells("avg_pool1d", reads="self kernel_size stride padding ceil_mode count_include_pad")
def avg_pool1d(call: Call) -> Spelling:
    """The mean of a window along the last axis."""
    kernel = [int(v) for v in call["kernel_size"]]
    attributes = {
        "kernel_shape": kernel,
        "strides": [int(v) for v in call["stride"] or kernel],
        "pads": [int(v) for v in call["padding"]] * 2,
        "count_include_pad": int(bool(call["count_include_pad"])),
    }
    return Spelling("AveragePool", (call["self"],), attributes, unwritten if call["ceil_mode"] else None)


@spells("adaptive_avg_pool2d", "adaptive_max_pool2d", reads="self output_size")
def adaptive_pool(call: Call) -> Spelling:
    """A pool to a size, whatever the input's: of 1×1 a global pool, of the input's own size nothing at all."""
    kind = "Average" if "avg" in str(call.node.target) else "Max"
    size = list(call.shape(call["self"])[-2:])
    out = [
        have if want is None else call.fixed(want, "output size")
        for want, have in zip(call["output_size"], size, strict=True)
    ]
    x = call["self"]
    if out == [1, 1]:
        return Spelling(f"Global{kind}Pool", (x,))
    if out == size:
        return Spelling("Reshape", (x,), {"shape": list(call.shape(x))}, emit=lambda b, x: x)
    if any(have % want for have, want in zip(size, out, strict=True)):
        return Spelling("AdaptivePool", (x,), {"from": size, "to": out}, emit=unwritten)
    kernel = [have // want for have, want in zip(size, out, strict=True)]
    attributes = {"kernel_shape": kernel, "strides": kernel}

    def emit(b: Emitter, x: str) -> str:
        return b.op(f"{kind}Pool", x, **attributes)

    return Spelling(f"{kind}Pool", (x,), attributes | {"auto": True}, emit)


@spells(
    "pad.default", "constant_pad_nd", "reflection_pad2d", "replication_pad2d", "reflection_pad1d", "replication_pad1d",
    reads="self pad padding mode value",
)  # fmt: skip
def pad(call: Call) -> Spelling:
    """Cells of a constant, of the reflection or of the edge around a map, or channels of zeros behind its own."""
    x, rank = call["self"], call.rank(call["self"])
    amounts = [call.fixed(v, "padding") for v in call.get("pad", call.get("padding"))]
    before, after = [0] * rank, [0] * rank
    for i in range(len(amounts) // 2):  # PyTorch counts axes from the last
        before[rank - 1 - i], after[rank - 1 - i] = amounts[2 * i], amounts[2 * i + 1]
    name = str(call.node.target)
    mode = call.get("mode") or (
        "reflect" if "reflection" in name else "replicate" if "replication" in name else "constant"
    )
    mode = {"replicate": "edge", "circular": "wrap"}.get(mode, mode)
    fill = float(call.get("value") or 0)

    def emit(b: Emitter, x: str) -> str:
        more = () if mode != "constant" or fill == 0 else (b.floats(fill),)
        return b.op("Pad", x, b.ints(*before, *after), *more, mode=mode)

    pads = {"pads": [*before, *after], "mode": mode}
    return Spelling("Pad", (x,), pads, emit if mode != "wrap" else unwritten)


@spells("slice.Tensor", reads="self dim start end step", kinds="any")
def slice_(call: Call) -> Spelling:
    """A part of an axis, with a step."""
    x, axis = call["self"], int(call["dim"]) % call.rank(call["self"])
    length, end = call.shape(x)[axis], call["end"]
    first = call.fixed(call["start"] or 0, "start")
    if isinstance(end, fx.Node) and end.target is aten.sym_size.int and end.args == (x, axis):
        end = None
    last = END if end is None else call.fixed(end, "end")
    if last >= length:
        last = END  # to the end, as it was written for this size
    step = call.fixed(call["step"], "step")
    attributes = {"starts": [first], "ends": [last], "axes": [axis], "steps": [step]}

    def emit(b: Emitter, x: str) -> str:
        return b.op("Slice", x, b.ints(first), b.ints(last), b.ints(axis), b.ints(step))

    return Spelling("Slice", (x,), attributes, emit)


@spells(
    "upsample_nearest2d.vec", "upsample_bilinear2d.vec", "upsample_nearest2d.default", "upsample_bilinear2d.default",
    reads="self input align_corners scale_factors scales_h scales_w output_size",
)  # fmt: skip
def upsample(call: Call) -> Spelling:
    """A map made larger by whole factors."""
    x = call["input"] if "input" in call else call["self"]
    size, out = call.shape(x)[-2:], call.out[0][-2:]
    factors = [have / was for have, was in zip(out, size, strict=True)]
    linear = "bilinear" in str(call.node.target)
    corners = bool(call.get("align_corners"))
    stated = call.get("scale_factors") or [call.get("scales_h"), call.get("scales_w")]
    if None not in stated and [float(v) for v in stated] != factors and call.get("output_size") is None:
        raise Unspelt(f"it resizes by {stated}, which are no whole factors of {size}")
    given = call.get("scale_factors") is not None

    def emit(b: Emitter, x: str) -> str:
        place = "align_corners" if corners else "half_pixel" if linear else "asymmetric"
        if not given:  # to a size, which holds for the training size alone
            lead = b.op("Slice", b.op("Shape", x), b.ints(0), b.ints(2))
            to = ["", "", b.op("Concat", lead, b.ints(*out), axis=0)]
        else:
            to = ["", b.floats([1, 1, *factors])]
        how = {"nearest_mode": "floor"} if not linear else {}
        return b.op(
            "Resize", x, *to, mode="linear" if linear else "nearest", coordinate_transformation_mode=place, **how
        )

    attributes = {
        "scales": [1.0, 1.0, *factors],
        "mode": "linear" if linear else "nearest",
        "corners": corners,
        "fixed": not given,
    }
    return Spelling("Resize", (x,), attributes, emit)


@spells("pixel_unshuffle", reads="self downscale_factor")
def pixel_unshuffle(call: Call) -> Spelling:
    """Blocks of cells become channels: c, y, x within the block."""
    factor = int(call["downscale_factor"])

    def emit(b: Emitter, x: str) -> str:
        # ONNX lays a block out as y, x, c. Its channels are put into PyTorch's order by a 1×1 convolution with a one a row: OpenVINO
        # 2026.4 computes a Gather of channels before a convolution wrongly.
        channels, block = call.shape(call["self"])[1], factor * factor
        order = np.zeros((channels * block, channels * block, 1, 1), np.float32)
        for c in range(channels):
            for place in range(block):
                order[c * block + place, place * channels + c] = 1
        return b.op("Conv", b.op("SpaceToDepth", x, blocksize=factor), b.floats(order), kernel_shape=[1, 1])

    return Spelling("SpaceToDepth", (call["self"],), {"blocksize": factor}, emit)


@spells("pixel_shuffle", reads="self upscale_factor")
def pixel_shuffle(call: Call) -> Spelling:
    """Channels become blocks of cells."""
    factor = int(call["upscale_factor"])
    return Spelling(
        "DepthToSpace", (call["self"],), {"blocksize": factor},
        emit=lambda b, x: b.op("DepthToSpace", x, blocksize=factor, mode="CRD"),
    )  # fmt: skip


@spells(
    "avg_pool3d",
    reads="self kernel_size stride padding",
    refuses="ceil_mode divisor_override",
    harmless="count_include_pad",
)
def avg_pool3d(call: Call) -> Spelling:
    """The mean of neighbouring channels of (n, 1, c, h, w), as local response normalisation has it; without padding."""
    kernel, stride = [int(v) for v in call["kernel_size"]], [int(v) for v in call["stride"] or call["kernel_size"]]
    if kernel[1:] != [1, 1] or stride != [1, 1, 1] or any(call["padding"]):
        raise Unspelt(f"a mean of {kernel} with stride {stride} is not over neighbouring channels alone")
    return Spelling(
        "ReduceOver", (call["self"],), {"axis": 2}, lambda b, x: b.op("AveragePool", x, kernel_shape=kernel)
    )
