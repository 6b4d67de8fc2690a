"""Layers that change each value on its own, and those that compare along one axis: Softmax, ArgMax."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log

from fullconv.formats.caffe.layers.base import (
    Elementwise,
    Layer,
    LayerError,
    Learned,
    along_axis,
    canonical,
    channelwise,
)
from fullconv.graph.axes import Axes, whole
from fullconv.graph.nodes import Pointwise, Touch, Whole
from fullconv.runtimes.lowered import OnnxBuilder


class ReLU(Elementwise):
    """max(x, 0) + slope · min(x, 0)."""

    def emit(self, b: OnnxBuilder, x: str) -> str:
        slope = self.message.relu_param.negative_slope
        return b.op("LeakyRelu", x, alpha=slope) if slope else b.op("Relu", x)


class PReLU(Layer):
    """max(x, 0) + slope · min(x, 0) with a learned slope a channel, or one for all."""

    in_place = True

    def outputs(self, ins: Sequence[Axes]) -> tuple[Axes, ...]:
        if not 2 <= ins[0].rank <= 4:
            raise LayerError(f"needs two to four axes, found {ins[0].shape}")
        return (ins[0],)

    def touch(self, ins: Sequence[Axes]) -> Touch:
        return Pointwise() if self.message.prelu_param.channel_shared else channelwise(ins[0], 1, 1)

    def learned(self, ins: Sequence[Axes]) -> tuple[Learned, ...]:
        p = self.message.prelu_param
        filler = p.filler if p.HasField("filler") else 0.25
        return (Learned(() if p.channel_shared else (ins[0].shape[1],), filler),)

    def lower(self, b: OnnxBuilder, names: Sequence[str], ins: Sequence[Axes], blobs: Sequence[str]) -> tuple[str, ...]:
        shared = self.message.prelu_param.channel_shared
        slope = b.reshape(blobs[0], 1) if shared else b.along(blobs[0], (ins[0].shape[1],), 1, ins[0].rank)
        return (b.op("PRelu", names[0], slope),)


class ELU(Elementwise):
    """x above 0, alpha · (exp(x) - 1) below."""

    def emit(self, b: OnnxBuilder, x: str) -> str:
        return b.op("Elu", x, alpha=self.message.elu_param.alpha)


class Sigmoid(Elementwise):
    def emit(self, b: OnnxBuilder, x: str) -> str:
        return b.op("Sigmoid", x)


class TanH(Elementwise):
    def emit(self, b: OnnxBuilder, x: str) -> str:
        return b.op("Tanh", x)


class AbsVal(Elementwise):
    in_place = False

    def emit(self, b: OnnxBuilder, x: str) -> str:
        return b.op("Abs", x)


class BNLL(Elementwise):
    """log(1 + exp(x)), computed from max(x, 0) so that it does not overflow."""

    def emit(self, b: OnnxBuilder, x: str) -> str:
        small = b.op("Exp", b.op("Neg", b.op("Abs", x)))
        return b.op("Add", b.op("Relu", x), b.op("Log", b.op("Add", small, b.floats(1.0))))


class Swish(Elementwise):
    """x · sigmoid(beta · x)."""

    def emit(self, b: OnnxBuilder, x: str) -> str:
        return b.op("Mul", x, b.op("Sigmoid", b.scaled(x, self.message.swish_param.beta)))


class Clip(Elementwise):
    """x between min and max."""

    def emit(self, b: OnnxBuilder, x: str) -> str:
        p = self.message.clip_param
        return b.op("Clip", x, b.floats(p.min), b.floats(p.max))


class Power(Elementwise):
    """(shift + scale · x) ^ power."""

    def emit(self, b: OnnxBuilder, x: str) -> str:
        p = self.message.power_param
        if p.power * p.scale == 0:  # Caffe's constant, of x's shape
            value = 1.0 if p.power == 0 else float(p.shift) ** p.power
            return b.op("Add", b.op("Mul", x, b.floats(0.0)), b.floats(value))
        x = b.scaled(x, p.scale, p.shift)
        return x if p.power == 1 else b.op("Pow", x, b.floats(p.power))


class Exp(Elementwise):
    """base ^ (shift + scale · x); base -1 is e."""

    def emit(self, b: OnnxBuilder, x: str) -> str:
        p = self.message.exp_param
        if p.base <= 0 and p.base != -1:
            raise LayerError(f"base {p.base} must be positive, or -1 for e")
        rate = 1.0 if p.base == -1 else log(p.base)
        factor = exp(rate * p.shift)
        return b.scaled(b.op("Exp", b.scaled(x, rate * p.scale)), factor)


class Log(Elementwise):
    """log_base(shift + scale · x); base -1 is e."""

    def emit(self, b: OnnxBuilder, x: str) -> str:
        p = self.message.log_param
        if p.base != -1 and (p.base <= 0 or p.base == 1):
            raise LayerError(f"base {p.base} must be positive and not 1, or -1 for e")
        rate = 1.0 if p.base == -1 else 1 / log(p.base)
        return b.scaled(b.op("Log", b.scaled(x, p.scale, p.shift)), rate)


class Threshold(Elementwise):
    """1 where x > threshold, else 0."""

    def emit(self, b: OnnxBuilder, x: str) -> str:
        return b.op("Cast", b.op("Greater", x, b.floats(self.message.threshold_param.threshold)), to=1)


class Dropout(Elementwise):
    """The identity in the test phase (Caffe scales in training)."""

    def emit(self, b: OnnxBuilder, x: str) -> str:
        return (
            b.op("Dropout", x, b.floats(self.message.dropout_param.dropout_ratio)) if b.trains else b.op("Identity", x)
        )


class Softmax(Elementwise):
    """exp(x) / Σ exp(x) along ``axis``."""

    def touch(self, ins: Sequence[Axes]) -> Touch:
        return along_axis(ins[0], self.message.softmax_param.axis)

    def emit(self, b: OnnxBuilder, x: str) -> str:
        return b.op("Softmax", x, axis=self.message.softmax_param.axis)


class ArgMax(Layer):
    """Indices (or values) of the top_k largest along ``axis``; without one, over everything behind the batch.

    Of equal values the later index comes first, as in Caffe's sort of (value, index) pairs.
    """

    def setup(self) -> None:
        p = self.message.argmax_param
        self.axis = p.axis if p.HasField("axis") else None
        if p.top_k < 1:
            raise LayerError(f"top_k {p.top_k} must be at least 1")

    def _length(self, ins: Sequence[Axes]) -> int:
        if self.axis is not None:
            return ins[0].shape[canonical(ins[0], self.axis)]
        size = 1
        for length in ins[0].shape[1:]:
            size *= length
        return size

    def outputs(self, ins: Sequence[Axes]) -> tuple[Axes, ...]:
        p = self.message.argmax_param
        if p.top_k > self._length(ins):
            raise LayerError(f"top_k {p.top_k} is more than the {self._length(ins)} values it chooses from")
        found = (whole("c", p.top_k),)
        if self.axis is not None:
            return (ins[0].with_axis(self.axis, found),)
        # Caffe's blob has at least three axes: (N, 1 or 2, top_k, 1, ...).
        both = (whole("kind", 2),) if p.out_max_val else ()
        return (Axes((ins[0].axes[0], both, found, *(() for _ in range(ins[0].rank - 3)))),)

    def touch(self, ins: Sequence[Axes]) -> Touch:
        p = self.message.argmax_param
        if self.axis is not None:
            return along_axis(ins[0], self.axis)
        if any(atom.is_space and atom.size > 1 for atom in ins[0].atoms):
            return Whole("other", "it compares positions of the map")
        if p.out_max_val:
            return Whole("other", "along an axis Caffe's ArgMax gives indices or values, not both; drop out_max_val")
        return Pointwise(flat=True)

    def lower(self, b: OnnxBuilder, names: Sequence[str], ins: Sequence[Axes], blobs: Sequence[str]) -> tuple[str, ...]:
        p, length = self.message.argmax_param, self._length(ins)
        x, axis = names[0], self.axis
        if axis is None:
            x, axis = b.op("Flatten", x, axis=1), 1
        else:
            axis = canonical(ins[0], axis)
        # The runtime puts the earlier of equal values first: choose on the reversed axis.
        end = -(2**31)
        reverse = b.op("Slice", x, b.ints(-1), b.ints(end), b.ints(axis), b.ints(-1))
        values, index = b.ops("TopK", reverse, b.ints(p.top_k), count=2, axis=axis, largest=1, sorted=1)
        index = b.op("Sub", b.floats(length - 1), b.op("Cast", index, to=1))
        if self.axis is not None:
            return (values if p.out_max_val else index,)
        tail = [1] * max(0, ins[0].rank - 3)
        found = [b.reshape(part, 0, 1, p.top_k, *tail) for part in ([index, values] if p.out_max_val else [index])]
        return (b.op("Concat", *found, axis=1) if len(found) > 1 else found[0],)
