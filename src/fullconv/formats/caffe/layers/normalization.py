"""Layers that normalise or rescale: LRN, BatchNorm, MVN, Scale, Bias."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fullconv.formats.caffe.layers.base import (
    NO_IMAGE,
    Layer,
    LayerError,
    Learned,
    canonical,
    channelwise,
    is_image,
)
from fullconv.graph.axes import Axes
from fullconv.graph.nodes import Opaque, Pointwise, Span, Touch, Whole, Window
from fullconv.runtimes.lowered import OnnxBuilder


class LRN(Layer):
    """Across channels: y = x / (k + alpha/n · Σ x²)^beta. Within a channel: y = x · (1 + alpha · mean x²)^-beta."""

    in_place = True

    def setup(self) -> None:
        p = self.message.lrn_param
        self.within = p.norm_region == p.WITHIN_CHANNEL
        if p.local_size % 2 == 0:
            raise LayerError(f"local_size {p.local_size} must be odd")

    def outputs(self, ins: Sequence[Axes]) -> tuple[Axes, ...]:
        if ins[0].rank != 4:
            raise LayerError(f"needs a bottom of (N, C, H, W), found {ins[0].shape}")
        return (ins[0],)

    def touch(self, ins: Sequence[Axes]) -> Touch:
        if not is_image(ins[0]):
            return Opaque(NO_IMAGE)
        if not self.within:
            return Pointwise(axis=1)
        size = self.message.lrn_param.local_size
        span = Span(size, pad_before=size // 2, pad_after=size // 2)
        return Window(span, span)

    def lower(self, b: OnnxBuilder, names: Sequence[str], ins: Sequence[Axes], blobs: Sequence[str]) -> tuple[str, ...]:
        return (self._within(b, names[0]) if self.within else self._across(b, names[0], ins[0].shape[1]),)

    def _across(self, b: OnnxBuilder, x: str, channels: int) -> str:
        """By what engines are quick at: a banded 1×1 convolution and, for the usual beta, two square roots.

        s^0.75 = √s · √√s, to the last bits of a power function; three times as fast as the engine's own LRN, which takes
        no alpha below 0 either.
        """
        p = self.message.lrn_param
        near = np.abs(np.subtract.outer(np.arange(channels), np.arange(channels))) <= p.local_size // 2
        band = (near * (p.alpha / p.local_size)).astype(np.float32)[:, :, None, None]
        scale = b.op("Conv", b.op("Mul", x, x), b.floats(band), b.floats(np.full(channels, p.k)), kernel_shape=[1, 1])
        if p.beta != 0.75:
            return b.op("Mul", x, b.op("Pow", scale, b.floats(-p.beta)))
        root = b.op("Sqrt", scale)
        return b.op("Div", x, b.op("Mul", root, b.op("Sqrt", root)))

    def _within(self, b: OnnxBuilder, x: str) -> str:
        p = self.message.lrn_param
        window = {"kernel_shape": [p.local_size] * 2, "pads": [p.local_size // 2] * 4}
        mean = b.op("AveragePool", b.op("Mul", x, x), count_include_pad=1, **window)
        return b.op("Mul", x, b.op("Pow", b.scaled(mean, p.alpha, 1.0), b.floats(-p.beta)))


class BatchNorm(Layer):
    """y = (x - mean) / sqrt(variance + eps) with stored sums, divided by their stored weight (0 counts as no sum)."""

    in_place = True

    def setup(self) -> None:
        p = self.message.batch_norm_param
        self.stored = p.use_global_stats if p.HasField("use_global_stats") else True

    def outputs(self, ins: Sequence[Axes]) -> tuple[Axes, ...]:
        if ins[0].rank < 2:
            raise LayerError(f"needs a channel axis, found {ins[0].shape}")
        return (ins[0],)

    def touch(self, ins: Sequence[Axes]) -> Touch:
        if not self.stored:
            return Whole("statistics")
        return channelwise(ins[0], 1, 1)

    def learned(self, ins: Sequence[Axes]) -> tuple[Learned, ...]:
        channels = ins[0].shape[1]
        return (Learned((channels,)), Learned((channels,)), Learned((1,)))

    trained_by_gradient = False

    def roles(self, count: int) -> tuple[str, ...]:
        return ("mean", "variance", "factor")

    def lower(self, b: OnnxBuilder, names: Sequence[str], ins: Sequence[Axes], blobs: Sequence[str]) -> tuple[str, ...]:
        rank, eps = ins[0].rank, b.floats(self.message.batch_norm_param.eps)
        if not self.stored:
            centred, variance = _moments(b, names[0], [0, *range(2, rank)])
            return (b.op("Div", centred, b.op("Sqrt", b.op("Add", variance, eps))),)
        mean, variance, weight = blobs
        if b.trains and not self.message.batch_norm_param.HasField("use_global_stats"):
            p = self.message.batch_norm_param
            return (b.summed_batch_norm(names[0], *blobs, kept=p.moving_average_fraction, epsilon=p.eps),)
        empty = b.op("Equal", weight, b.floats([0.0]))
        scale = b.op("Where", empty, b.floats([0.0]), b.op("Div", b.floats([1.0]), weight))
        deviation = b.op("Sqrt", b.op("Add", b.op("Mul", variance, scale), eps))
        shape = (ins[0].shape[1],)
        centred = b.op("Sub", names[0], b.along(b.op("Mul", mean, scale), shape, 1, rank))
        return (b.op("Div", centred, b.along(deviation, shape, 1, rank)),)


class MVN(Layer):
    """y = (x - mean) / (sqrt(variance) + eps) over each channel's map, or over all channels together.

    Fewer than four axes are filled up behind with axes of one cell, as Caffe does.
    """

    in_place = True

    def outputs(self, ins: Sequence[Axes]) -> tuple[Axes, ...]:
        if ins[0].rank > 4:
            raise LayerError(f"needs a bottom of up to four axes, found {ins[0].shape}")
        return (ins[0] if ins[0].rank == 4 else Axes.image(self._filled(ins)),)

    @staticmethod
    def _filled(ins: Sequence[Axes]) -> tuple[int, ...]:
        return (*ins[0].shape, *([1] * (4 - ins[0].rank)))

    def touch(self, ins: Sequence[Axes]) -> Touch:
        return Whole("statistics") if is_image(ins[0]) else Opaque(NO_IMAGE)

    def lower(self, b: OnnxBuilder, names: Sequence[str], ins: Sequence[Axes], blobs: Sequence[str]) -> tuple[str, ...]:
        p, x = self.message.mvn_param, names[0]
        if ins[0].rank < 4:
            b.size_bound()
            x = b.reshape(x, *self._filled(ins))
        axes = [1, 2, 3] if p.across_channels else [2, 3]
        centred, variance = _moments(b, x, axes)
        if not p.normalize_variance:
            return (centred,)
        return (b.op("Div", centred, b.op("Add", b.op("Sqrt", variance), b.floats(p.eps))),)


def _moments(b: OnnxBuilder, x: str, axes: list[int]) -> tuple[str, str]:
    """x less its mean, and its variance, over axes that stay with size 1."""
    centred = b.op("Sub", x, b.op("ReduceMean", x, axes=axes, keepdims=1))
    return centred, b.op("ReduceMean", b.op("Mul", centred, centred), axes=axes, keepdims=1)


class Broadcast(Layer):
    """What Scale and Bias share: a second operand, learned or a bottom, laid along axes of the first."""

    bottoms = (1, 2)
    in_place = True
    field = ""
    operator = ""

    @property
    def param(self):  # type: ignore[no-untyped-def]  # a protobuf message
        return getattr(self.message, self.field)

    def _place(self, ins: Sequence[Axes]) -> tuple[int, tuple[int, ...]]:
        """(first axis, shape) of the second operand."""
        axis = canonical(ins[0], self.param.axis) if not (len(ins) > 1 and ins[1].rank == 0) else 0
        if len(ins) > 1:
            shape = ins[1].shape
        else:
            count = self.param.num_axes
            if count < -1 or axis + max(count, 0) > ins[0].rank:
                raise LayerError(f"num_axes {count} from axis {axis} does not fit {ins[0].shape}")
            shape = ins[0].shape[axis:] if count == -1 else ins[0].shape[axis : axis + count]
        if ins[0].shape[axis : axis + len(shape)] != tuple(shape):
            raise LayerError(f"{tuple(shape)} does not fit {ins[0].shape} from axis {axis}")
        return axis, tuple(shape)

    def outputs(self, ins: Sequence[Axes]) -> tuple[Axes, ...]:
        self._place(ins)
        return (ins[0],)

    def touch(self, ins: Sequence[Axes]) -> Touch:
        axis, shape = self._place(ins)
        if axis == 0 and shape and self.learned(ins):
            return Opaque(f"its parameters {shape} lie along the batch")
        if len(ins) == 1:
            # Parameters over all that is behind an axis are so many axes, however many a map has.
            return channelwise(ins[0], axis, len(shape), self.param.axis < 0 or self.param.num_axes == -1)
        space = ins[0].spans_space(range(axis, axis + len(shape)))
        if space and self.learned(ins):
            return channelwise(ins[0], axis, len(shape))
        if len(shape) == ins[0].rank or not shape:
            return Pointwise()
        if space:
            return Whole("other", f"its second bottom {shape} has a value for each position of the map ({ins[0]})")
        return Pointwise(axis=axis, from_end=self.param.axis < 0) if axis else Pointwise()

    def lower(self, b: OnnxBuilder, names: Sequence[str], ins: Sequence[Axes], blobs: Sequence[str]) -> tuple[str, ...]:
        axis, shape = self._place(ins)
        operand, *rest = [*names[1:], *blobs]
        behind = [1] * (ins[0].rank - axis - len(shape))
        # A bottom is laid along by the sizes that it has when it runs.
        laid = b.reshape(operand, *([0] * len(shape)), *behind) if names[1:] and shape and behind else None
        y = b.op(self.operator, names[0], laid or b.along(operand, shape, axis, ins[0].rank))
        for bias in rest:
            y = b.op("Add", y, b.along(bias, shape, axis, ins[0].rank))
        return (y,)


class Scale(Broadcast):
    """y = x · scale (+ bias)."""

    field = "scale_param"
    operator = "Mul"

    def roles(self, count: int) -> tuple[str, ...]:
        return ("bias",) if count == 1 and self.param.bias_term else ("weight", "bias")[:count]

    def learned(self, ins: Sequence[Axes]) -> tuple[Learned, ...]:
        shape = self._place(ins)[1]
        blobs = [] if len(ins) > 1 else [Learned(shape, self.param.filler if self.param.HasField("filler") else 1.0)]
        if self.param.bias_term:
            blobs.append(Learned(shape, self.param.bias_filler))
        return tuple(blobs)


class Bias(Broadcast):
    """y = x + bias."""

    field = "bias_param"
    operator = "Add"

    def roles(self, count: int) -> tuple[str, ...]:
        return ("bias",)[:count]

    def learned(self, ins: Sequence[Axes]) -> tuple[Learned, ...]:
        return () if len(ins) > 1 else (Learned(self._place(ins)[1], self.param.filler),)
