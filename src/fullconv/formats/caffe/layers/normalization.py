"""Layers that normalise or rescale: LRN, BatchNorm, MVN, Scale, Bias."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fullconv.formats.caffe.layers.base import Elementwise, Layer, LayerError, Learned, canonical, channelwise
from fullconv.graph.axes import Axes
from fullconv.graph.nodes import Pointwise, Span, Touch, Whole, Window
from fullconv.runtimes.lowered import OnnxBuilder


class LRN(Layer):
    """Across channels: y = x / (k + alpha/n · Σ x²)^beta. Within a channel: y = x · (1 + alpha · mean x²)^-beta."""

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
        if not self.within:
            return Pointwise(axis=1)
        size = self.message.lrn_param.local_size
        span = Span(size, pad_before=size // 2, pad_after=size // 2)
        return Window(span, span)

    def lower(self, b: OnnxBuilder, names: Sequence[str], ins: Sequence[Axes], blobs: Sequence[str]) -> tuple[str, ...]:
        p, x = self.message.lrn_param, names[0]
        if self.within:
            return (self._within(b, x),)
        if p.beta == 0.75 and p.k > 0 and p.alpha >= 0:
            return (self._across(b, x, ins[0].shape[1]),)
        return (b.op("LRN", x, size=p.local_size, alpha=p.alpha, beta=p.beta, bias=p.k),)

    def _across(self, b: OnnxBuilder, x: str, channels: int) -> str:
        """The usual beta by what engines are quick at: a banded 1×1 convolution and two square roots.

        s^0.75 = √s · √√s, to the last bits of a power function; three times as fast as the engine's own LRN.
        """
        p = self.message.lrn_param
        near = np.abs(np.subtract.outer(np.arange(channels), np.arange(channels))) <= p.local_size // 2
        band = (near * (p.alpha / p.local_size)).astype(np.float32)[:, :, None, None]
        scale = b.op("Conv", b.op("Mul", x, x), b.floats(band), b.floats(np.full(channels, p.k)), kernel_shape=[1, 1])
        root = b.op("Sqrt", scale)
        return b.op("Div", x, b.op("Mul", root, b.op("Sqrt", root)))

    def _within(self, b: OnnxBuilder, x: str) -> str:
        p = self.message.lrn_param
        window = {"kernel_shape": [p.local_size] * 2, "pads": [p.local_size // 2] * 4}
        mean = b.op("AveragePool", b.op("Mul", x, x), count_include_pad=1, **window)
        return b.op("Mul", x, b.op("Pow", b.scaled(mean, p.alpha, 1.0), b.floats(-p.beta)))


class BatchNorm(Layer):
    """y = (x - mean) / sqrt(variance + eps) with stored sums, divided by their stored weight (0 counts as no sum)."""

    def setup(self) -> None:
        p = self.message.batch_norm_param
        self.stored = p.use_global_stats if p.HasField("use_global_stats") else True

    def outputs(self, ins: Sequence[Axes]) -> tuple[Axes, ...]:
        return (ins[0],)

    def _channels(self, ins: Sequence[Axes]) -> int:
        return 1 if ins[0].rank == 1 else ins[0].shape[1]

    def touch(self, ins: Sequence[Axes]) -> Touch:
        if not self.stored:
            return Whole("statistics")
        return Pointwise() if ins[0].rank == 1 else channelwise(ins[0], 1, 1, 1)

    def learned(self, ins: Sequence[Axes]) -> tuple[Learned, ...]:
        channels = self._channels(ins)
        return (Learned((channels,)), Learned((channels,)), Learned((1,)))

    def lower(self, b: OnnxBuilder, names: Sequence[str], ins: Sequence[Axes], blobs: Sequence[str]) -> tuple[str, ...]:
        rank, eps = ins[0].rank, b.floats(self.message.batch_norm_param.eps)
        if not self.stored:
            centred, variance = _moments(b, names[0], [0, *range(2, rank)])
            return (b.op("Div", centred, b.op("Sqrt", b.op("Add", variance, eps))),)
        mean, variance, weight = blobs
        empty = b.op("Equal", weight, b.floats([0.0]))
        scale = b.op("Where", empty, b.floats([0.0]), b.op("Div", b.floats([1.0]), weight))
        deviation = b.op("Sqrt", b.op("Add", b.op("Mul", variance, scale), eps))
        shape, axis = (self._channels(ins),), min(1, rank - 1)
        centred = b.op("Sub", names[0], b.along(b.op("Mul", mean, scale), shape, axis, rank))
        return (b.op("Div", centred, b.along(deviation, shape, axis, rank)),)


class MVN(Elementwise):
    """y = (x - mean) / (sqrt(variance) + eps) over each channel's map, or over all channels together."""

    def outputs(self, ins: Sequence[Axes]) -> tuple[Axes, ...]:
        if ins[0].rank != 4:
            raise LayerError(f"needs a bottom of (N, C, H, W), found {ins[0].shape}")
        return (ins[0],)

    def touch(self, ins: Sequence[Axes]) -> Touch:
        return Whole("statistics")

    def emit(self, b: OnnxBuilder, x: str) -> str:
        p = self.message.mvn_param
        axes = [1, 2, 3] if p.across_channels else [2, 3]
        centred, variance = _moments(b, x, axes)
        if not p.normalize_variance:
            return centred
        return b.op("Div", centred, b.op("Add", b.op("Sqrt", variance), b.floats(p.eps)))


def _moments(b: OnnxBuilder, x: str, axes: list[int]) -> tuple[str, str]:
    """x less its mean, and its variance, over axes that stay with size 1."""
    centred = b.op("Sub", x, b.op("ReduceMean", x, axes=axes, keepdims=1))
    return centred, b.op("ReduceMean", b.op("Mul", centred, centred), axes=axes, keepdims=1)


class Broadcast(Layer):
    """What Scale and Bias share: a second operand, learned or a bottom, laid along axes of the first."""

    bottoms = (1, 2)
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
        return Pointwise() if len(ins) > 1 else channelwise(ins[0], axis, len(shape), self.param.axis)

    def lower(self, b: OnnxBuilder, names: Sequence[str], ins: Sequence[Axes], blobs: Sequence[str]) -> tuple[str, ...]:
        axis, shape = self._place(ins)
        operand, *rest = [*names[1:], *blobs]
        if len(ins) > 1 and shape and axis + len(shape) < ins[0].rank:
            b.size_bound()  # a bottom is laid along by its present sizes, the batch among them
        y = b.op(self.operator, names[0], b.along(operand, shape, axis, ins[0].rank))
        for bias in rest:
            y = b.op("Add", y, b.along(bias, shape, axis, ins[0].rank))
        return (y,)


class Scale(Broadcast):
    """y = x · scale (+ bias)."""

    field = "scale_param"
    operator = "Mul"

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

    def learned(self, ins: Sequence[Axes]) -> tuple[Learned, ...]:
        return () if len(ins) > 1 else (Learned(self._place(ins)[1], self.param.filler),)
