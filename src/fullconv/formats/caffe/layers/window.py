"""Layers that read a window: Convolution, Deconvolution, Pooling, Crop."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np

from fullconv.formats.caffe.layers.base import (
    NO_IMAGE,
    Layer,
    LayerError,
    LayerRefused,
    Learned,
    canonical,
    is_image,
)
from fullconv.geometry.axis import ceil_overhang, output_length
from fullconv.graph.axes import Axes, whole
from fullconv.graph.nodes import Opaque, Span, Touch, Whole, Window
from fullconv.runtimes.lowered import OnnxBuilder

LOWEST = float(np.finfo(np.float32).min)  # what Caffe's max pooling starts from


def _sized(axes: Axes, channels: int | None, spans: tuple[Span, ...]) -> Axes:
    """A bottom of (N, C, H, W) behind windows of these spans."""
    size = axes.shape[2:]
    out = tuple(output_length(span, length) for span, length in zip(spans, size, strict=True))
    if min(out) < 1:
        fields, have = (" × ".join(map(str, values)) for values in ([span.field for span in spans], size))
        raise LayerError(f"its window of {fields} does not fit a bottom of {have}; give a larger input")
    if not is_image(axes):
        return Axes.image((axes.shape[0], channels or axes.shape[1], *out))
    grown = axes.with_size(*out)
    return grown if channels is None else grown.with_axis(1, (whole("c", channels),))


def _four(axes: Axes) -> None:
    if axes.rank != 4:
        raise LayerError(f"needs a bottom of (N, C, H, W), found {axes.shape}")


def _values(param: Any, name: str, default: int | None, count: int) -> tuple[int, ...]:
    """``name`` for each of ``count`` axes: repeated (one value, or one an axis), or ``name_h`` with ``name_w``."""
    stem = name.removesuffix("_size")
    height, width, values = f"{stem}_h", f"{stem}_w", list(getattr(param, name))
    if stem != "dilation" and (param.HasField(height) or param.HasField(width)):
        if count != 2:
            raise LayerError(f"{height} and {width} are for two spatial axes, found {count}")
        if values:
            raise LayerError(f"{name} and {height}/{width} are both given; keep one")
        return getattr(param, height), getattr(param, width)
    if not values:
        if default is None:
            raise LayerError(f"has no {name}")
        values = [default]
    if len(values) not in (1, count):
        raise LayerError(f"{len(values)} values of {name} for {count} spatial axes; give one or {count}")
    return tuple(values * count if len(values) == 1 else values)


class Convolution(Layer):
    """y = W * x + b, W of (outputs, channels / group, *kernel): over height and width, or whatever axes follow ``axis``."""

    bottoms = (1, None)
    transposed = False

    def setup(self) -> None:
        p = self.message.convolution_param
        if not p.num_output:
            raise LayerError("has no num_output")
        if p.group < 1 or p.num_output % p.group:
            raise LayerError(f"num_output {p.num_output} is no multiple of group {p.group}")

    def _axis(self, ins: Sequence[Axes]) -> int:
        return canonical(ins[0], self.message.convolution_param.axis)

    def _is_plain(self, ins: Sequence[Axes]) -> bool:
        return ins[0].rank == 4 and self._axis(ins) == 1

    def _numbers(self, ins: Sequence[Axes]) -> dict[str, tuple[int, ...]]:
        p, count = self.message.convolution_param, ins[0].rank - self._axis(ins) - 1
        if count > 3:
            raise LayerRefused(f"a convolution over {count} axes; at most three run here")
        if any(axes.shape != ins[0].shape for axes in ins):
            raise LayerError(f"bottoms differ in shape: {' and '.join(str(axes.shape) for axes in ins)}")
        numbers = {
            "kernel_size": _values(p, "kernel_size", None, count),
            "stride": _values(p, "stride", 1, count),
            "dilation": _values(p, "dilation", 1, count),
            "pad": _values(p, "pad", 0, count),
        }
        for name in ("kernel_size", "stride", "dilation"):
            if min(numbers[name], default=1) < 1:
                raise LayerError(f"{name} {numbers[name]} must be positive")
        return numbers

    def _spans(self, ins: Sequence[Axes]) -> tuple[Span, ...]:
        numbers = self._numbers(ins)
        return tuple(self._span(*each) for each in zip(*numbers.values(), strict=True))

    def _span(self, kernel: int, stride: int, dilation: int, pad: int) -> Span:
        step = Fraction(1, stride) if self.transposed and stride > 1 else Fraction(stride)
        if self.transposed and stride == 1:  # a transposed convolution of stride 1 is one of mirrored pads
            pad = (kernel - 1) * dilation - pad
        return Span(kernel, step, dilation, pad, pad)

    def outputs(self, ins: Sequence[Axes]) -> tuple[Axes, ...]:
        outputs, spans = self.message.convolution_param.num_output, self._spans(ins)
        if self._is_plain(ins):
            return tuple(_sized(axes, outputs, spans) for axes in ins)
        return (Axes.image(self._shape(ins, spans)),) * len(ins)

    def _shape(self, ins: Sequence[Axes], spans: Sequence[Span]) -> tuple[int, ...]:
        axis, shape = self._axis(ins), ins[0].shape
        out = [output_length(span, length) for span, length in zip(spans, shape[axis + 1 :], strict=True)]
        if min(out, default=1) < 1:
            raise LayerError(f"its window does not fit a bottom of {shape}")
        return (*shape[:axis], self.message.convolution_param.num_output, *out)

    def touch(self, ins: Sequence[Axes]) -> Touch:
        if not self._is_plain(ins):
            return Opaque(
                f"a convolution over the axes behind axis {self._axis(ins)} of {ins[0].shape}; a map has (N, C, H, W)"
            )
        y, x = self._spans(ins)
        return Window(y, x) if is_image(ins[0]) else Opaque(NO_IMAGE)

    def learned(self, ins: Sequence[Axes]) -> tuple[Learned, ...]:
        p, channels = self.message.convolution_param, ins[0].shape[self._axis(ins)]
        if channels % p.group:
            raise LayerError(f"{channels} channels are no multiple of group {p.group}")
        first, second = (channels, p.num_output) if self.transposed else (p.num_output, channels)
        weights = Learned((first, second // p.group, *self._numbers(ins)["kernel_size"]), p.weight_filler)
        return (weights, Learned((p.num_output,), p.bias_filler)) if p.bias_term else (weights,)

    def lower(self, b: OnnxBuilder, names: Sequence[str], ins: Sequence[Axes], blobs: Sequence[str]) -> tuple[str, ...]:
        numbers, group = self._numbers(ins), self.message.convolution_param.group
        kind = "ConvTranspose" if self.transposed else "Conv"
        attributes = {
            "kernel_shape": numbers["kernel_size"] or (1,),
            "strides": numbers["stride"] or (1,),
            "dilations": numbers["dilation"] or (1,),
            "pads": (*numbers["pad"], *numbers["pad"]) or (0, 0),
            "group": group,
        }
        if self._is_plain(ins):
            return tuple(b.op(kind, name, *blobs, **attributes) for name in names)
        b.size_bound()  # the axes before the channels are a batch, those behind are its space
        axis, shape = self._axis(ins), ins[0].shape
        if not numbers["kernel_size"]:
            blobs = [b.reshape(blobs[0], 0, 0, 1), *blobs[1:]]
        batch = [b.reshape(name, prod(shape[:axis]), shape[axis], *(shape[axis + 1 :] or (1,))) for name in names]
        out = self._shape(ins, self._spans(ins))
        return tuple(b.reshape(b.op(kind, name, *blobs, **attributes), *out) for name in batch)


class Deconvolution(Convolution):
    """The transpose of a convolution, W of (channels, outputs / group, kernel_h, kernel_w)."""

    transposed = True


class Pooling(Layer):
    """MAX, or AVE divided by the window clipped to the padded input; output sizes round up."""

    def setup(self) -> None:
        p = self.message.pooling_param
        if p.pool == p.STOCHASTIC:
            raise LayerRefused("stochastic pooling draws at random and has no single answer; retrain with MAX or AVE")
        self.is_max = p.pool == p.MAX
        self.stride, self.pad = self._pair(p, "stride"), self._pair(p, "pad")
        sized = p.HasField("kernel_size") or p.HasField("kernel_h") or p.HasField("kernel_w")
        if p.global_pooling:
            if sized or self.stride != (1, 1) or self.pad != (0, 0):
                raise LayerError("global_pooling takes no kernel size, no padding and a stride of 1")
            return
        both = p.HasField("kernel_h") and p.HasField("kernel_w")
        if p.HasField("kernel_size") == both:
            raise LayerError("its kernel is kernel_size, or kernel_h with kernel_w; give one of the two")
        self.kernel = (p.kernel_h, p.kernel_w) if both else (p.kernel_size, p.kernel_size)
        if min(self.kernel) < 1 or min(self.stride) < 1:
            raise LayerError(f"kernel {self.kernel} and stride {self.stride} must be positive")
        if self.pad[0] >= self.kernel[0] or self.pad[1] >= self.kernel[1]:
            raise LayerError(f"pad {self.pad} must be smaller than the kernel {self.kernel}")
        self.spans = (self._span(0), self._span(1))

    @staticmethod
    def _pair(p: Any, name: str) -> tuple[int, int]:
        """``name``, or ``name_h`` with ``name_w``."""
        height, width = p.HasField(f"{name}_h"), p.HasField(f"{name}_w")
        if not height and not width:
            return getattr(p, name), getattr(p, name)
        if p.HasField(name) or not (height and width):
            raise LayerError(f"give {name}, or {name}_h with {name}_w")
        return getattr(p, f"{name}_h"), getattr(p, f"{name}_w")

    def _span(self, i: int) -> Span:
        kernel, stride, pad = self.kernel[i], self.stride[i], self.pad[i]
        floor = self.message.pooling_param.round_mode == self.message.pooling_param.FLOOR
        overhang = 0 if floor else ceil_overhang(kernel, stride, pad)
        if any(self.pad):  # padding of either side has Caffe drop a last window past the input on both
            overhang = min(overhang, kernel - 1 - pad)
        return Span(kernel, Fraction(stride), 1, pad, pad, max(0, overhang))

    @property
    def is_global(self) -> bool:
        return bool(self.message.pooling_param.global_pooling)

    def outputs(self, ins: Sequence[Axes]) -> tuple[Axes, ...]:
        _four(ins[0])
        if self.is_global:
            out = ins[0].with_size(1, 1) if is_image(ins[0]) else Axes.image((*ins[0].shape[:2], 1, 1))
        else:
            out = _sized(ins[0], None, self.spans)
        if len(self.message.top) > 1:
            raise LayerRefused("a second top (the mask of maxima) is not supported")
        return (out,)

    def touch(self, ins: Sequence[Axes]) -> Touch:
        if not is_image(ins[0]):
            return Opaque(NO_IMAGE)
        # A window that is the whole map is a global pool, whatever its stride says.
        covers = self.is_global or (ins[0].map_size == self.kernel and not any(self.pad) and max(self.stride) > 1)
        if covers:
            return Whole("max" if self.is_max else "mean")
        return Window(*self.spans)

    def lower(self, b: OnnxBuilder, names: Sequence[str], ins: Sequence[Axes], blobs: Sequence[str]) -> tuple[str, ...]:
        x = names[0]
        if self.is_global:
            return (b.op("GlobalMaxPool" if self.is_max else "GlobalAveragePool", x),)
        before = [s.pad_before for s in self.spans]
        after = [s.pad_after + s.overhang for s in self.spans]
        # Runtimes want pads smaller than the kernel; what is larger (kernel 1, stride 3) is padded apart.
        apart = any(a >= s.kernel for a, s in zip(after, self.spans, strict=True))
        if self.is_max:
            return (self._max(b, x, before, after, apart),)
        return (self._average(b, x, before, apart),)

    def _window(self) -> dict[str, list[int]]:
        return {"kernel_shape": list(self.kernel), "strides": list(self.stride)}

    def _max(self, b: OnnxBuilder, x: str, before: list[int], after: list[int], apart: bool) -> str:
        if not apart:
            return b.op("MaxPool", x, pads=[*before, *after], **self._window())
        padded = b.op("Pad", x, b.ints(0, 0, *before, 0, 0, *after), b.floats(LOWEST))
        return b.op("MaxPool", padded, **self._window())

    def _average(self, b: OnnxBuilder, x: str, pad: list[int], apart: bool) -> str:
        """Padding counts in the divisor, overhang does not: the first becomes real zeros, the second pads."""
        overhang = [s.overhang for s in self.spans]
        if not any(overhang):
            return b.op("AveragePool", x, pads=[*pad, *pad], count_include_pad=1, **self._window())
        if any(pad):
            x = b.op("Pad", x, b.ints(0, 0, *pad, 0, 0, *pad))
        if not apart:
            return b.op("AveragePool", x, pads=[0, 0, *overhang], count_include_pad=0, **self._window())
        # The overhang is wider than runtimes pad: average zeros in, and divide by the share that is no overhang.
        ones = b.op("Add", b.op("Mul", x, b.floats(0.0)), b.floats(1.0))
        mean, share = (
            b.op("AveragePool", b.op("Pad", value, b.ints(0, 0, 0, 0, 0, 0, *overhang)), **self._window())
            for value in (x, ones)
        )
        # A window that holds no cell at all (Caffe divides 0 by 0 there) gives 0.
        return b.op("Div", mean, b.op("Max", share, b.floats(float(np.finfo(np.float32).tiny))))


class Crop(Layer):
    """The first bottom cut to the second's size along ``axis`` and behind, from ``offset``."""

    bottoms = (2, 2)

    def _offsets(self, ins: Sequence[Axes]) -> dict[int, int]:
        p, rank = self.message.crop_param, ins[0].rank
        start = canonical(ins[0], p.axis)
        given = list(p.offset) or [0]
        count = rank - start
        if len(given) not in (1, count):
            raise LayerError(f"{len(given)} offsets for {count} cropped axes; give one or {count}")
        return dict(zip(range(start, rank), given * count if len(given) == 1 else given, strict=True))

    def outputs(self, ins: Sequence[Axes]) -> tuple[Axes, ...]:
        source, like = ins
        if source.rank != like.rank:
            raise LayerError(f"bottoms have {source.rank} and {like.rank} axes")
        out = source
        for axis, offset in self._offsets(ins).items():
            have, want = source.shape[axis], like.shape[axis]
            if offset + want > have:
                raise LayerError(f"axis {axis}: offset {offset} + {want} is more than {have}")
            if want != have:
                roots = [atom.root for atom in source.axes[axis]]
                out = out.with_axis(axis, (whole(roots[0] if len(roots) == 1 else "c", want),))
        return (out,)

    def touch(self, ins: Sequence[Axes]) -> Touch:
        offsets = self._offsets(ins)
        if not is_image(ins[0]) or not is_image(ins[1]):
            return Opaque(f"it crops {ins[0]} to {ins[1]}, and not a map to a map")
        if 2 not in offsets:
            return Opaque("it crops the width only; its height is its own, its width another's")
        y, x = offsets.get(2, 0), offsets.get(3, 0)
        return Window(Span(pad_before=-y), Span(pad_before=-x), like=1)

    def lower(self, b: OnnxBuilder, names: Sequence[str], ins: Sequence[Axes], blobs: Sequence[str]) -> tuple[str, ...]:
        offsets = self._offsets(ins)
        axes, starts = b.ints(*offsets), b.ints(*offsets.values())
        size = b.op("Gather", b.op("Shape", names[1]), axes)
        return (b.op("Slice", names[0], starts, b.op("Add", size, starts), axes),)
