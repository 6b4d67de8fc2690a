"""Layers that read a window: Convolution, Deconvolution, Pooling, Crop."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from fullconv.formats.caffe.layers.base import Layer, LayerError, LayerRefused, Learned, canonical
from fullconv.geometry.axis import ceil_overhang, output_length
from fullconv.graph.axes import Axes, whole
from fullconv.graph.nodes import Span, Touch, Whole, Window
from fullconv.runtimes.lowered import OnnxBuilder

LOWEST = float(np.finfo(np.float32).min)  # what Caffe's max pooling starts from


def _map(axes: Axes) -> tuple[int, int]:
    if axes.rank != 4 or not axes.is_map:
        raise LayerError(f"needs a bottom of (N, C, H, W), found {axes.shape}")
    return axes.map_size


def _resized(axes: Axes, channels: int | None, spans: tuple[Span, Span]) -> Axes:
    size = _map(axes)
    height, width = (output_length(span, length) for span, length in zip(spans, size, strict=True))
    if height < 1 or width < 1:
        fields = " × ".join(str(span.field) for span in spans)
        raise LayerError(f"its window of {fields} does not fit a bottom of {size[0]} × {size[1]}; give a larger input")
    out = axes.with_size(height, width)
    return out if channels is None else out.with_axis(1, (whole("c", channels),))


def _pair(param: Any, name: str, default: int | None) -> tuple[int, int]:
    """``name`` repeated (one value, or y and x), or ``name_h`` with ``name_w`` (kernel: kernel_h)."""
    stem = name.removesuffix("_size")
    height, width, values = f"{stem}_h", f"{stem}_w", list(getattr(param, name))
    if stem in ("kernel", "pad", "stride") and (param.HasField(height) or param.HasField(width)):
        if values:
            raise LayerError(f"{name} and {height}/{width} are both given; keep one")
        if stem == "kernel" and not (param.HasField(height) and param.HasField(width)):
            raise LayerError("kernel_h and kernel_w must both be given")
        return getattr(param, height), getattr(param, width)
    if len(values) > 2:
        raise LayerRefused(f"{len(values)} spatial axes; only two (height, width) are supported")
    if not values:
        if default is None:
            raise LayerError(f"has no {name}")
        return default, default
    return values[0], values[-1]


class Convolution(Layer):
    """y = W * x + b, W of (outputs, channels / group, kernel_h, kernel_w)."""

    transposed = False

    def setup(self) -> None:
        p = self.message.convolution_param
        if p.axis not in (1, -3):
            raise LayerRefused(f"axis {p.axis}: channels must be axis 1")
        kernel, pad = _pair(p, "kernel_size", None), _pair(p, "pad", 0)
        stride, dilation = _pair(p, "stride", 1), _pair(p, "dilation", 1)
        if not p.num_output:
            raise LayerError("has no num_output")
        for name, pair in (("kernel_size", kernel), ("stride", stride), ("dilation", dilation)):
            if min(pair) < 1:
                raise LayerError(f"{name} {pair} must be positive")
        if p.group < 1 or p.num_output % p.group:
            raise LayerError(f"num_output {p.num_output} is no multiple of group {p.group}")
        self.spans = (self._span(kernel, stride, dilation, pad, 0), self._span(kernel, stride, dilation, pad, 1))

    def _span(self, kernel: Any, stride: Any, dilation: Any, pad: Any, i: int) -> Span:
        step = Fraction(1, stride[i]) if self.transposed and stride[i] > 1 else Fraction(stride[i])
        before = pad[i]
        if self.transposed and stride[i] == 1:  # a transposed convolution of stride 1 is one of mirrored pads
            before = (kernel[i] - 1) * dilation[i] - pad[i]
        return Span(kernel[i], step, dilation[i], before, before)

    def outputs(self, ins: Sequence[Axes]) -> tuple[Axes, ...]:
        return tuple(_resized(axes, self.message.convolution_param.num_output, self.spans) for axes in ins)

    bottoms = (1, None)

    def touch(self, ins: Sequence[Axes]) -> Touch:
        return Window(*self.spans)

    def learned(self, ins: Sequence[Axes]) -> tuple[Learned, ...]:
        p, channels = self.message.convolution_param, ins[0].shape[1]
        if channels % p.group:
            raise LayerError(f"{channels} channels are no multiple of group {p.group}")
        kernel = (self.spans[0].kernel, self.spans[1].kernel)
        first, second = (channels, p.num_output) if self.transposed else (p.num_output, channels)
        weights = Learned((first, second // p.group, *kernel), p.weight_filler)
        return (weights, Learned((p.num_output,), p.bias_filler)) if p.bias_term else (weights,)

    def lower(self, b: OnnxBuilder, names: Sequence[str], ins: Sequence[Axes], blobs: Sequence[str]) -> tuple[str, ...]:
        p = self.message.convolution_param
        pads = _pair(p, "pad", 0)
        attributes = {
            "kernel_shape": [s.kernel for s in self.spans],
            "strides": list(_pair(p, "stride", 1)),
            "dilations": [s.dilation for s in self.spans],
            "pads": [*pads, *pads],
            "group": p.group,
        }
        kind = "ConvTranspose" if self.transposed else "Conv"
        return tuple(b.op(kind, name, *blobs, **attributes) for name in names)


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
        if p.global_pooling:
            if p.HasField("kernel_size") or p.HasField("kernel_h") or p.HasField("kernel_w"):
                raise LayerError("global_pooling takes no kernel size")
            return
        self.kernel = self._pair(p, "kernel", "kernel_size")
        self.stride = self._pair(p, "stride", "stride")
        self.pad = self._pair(p, "pad", "pad")
        if min(self.kernel) < 1 or min(self.stride) < 1:
            raise LayerError(f"kernel {self.kernel} and stride {self.stride} must be positive")
        if self.pad[0] >= self.kernel[0] or self.pad[1] >= self.kernel[1]:
            raise LayerError(f"pad {self.pad} must be smaller than the kernel {self.kernel}")
        self.spans = (self._span(0), self._span(1))

    @staticmethod
    def _pair(p: Any, stem: str, name: str) -> tuple[int, int]:
        if p.HasField(f"{stem}_h") or p.HasField(f"{stem}_w"):
            if p.HasField(name):
                raise LayerError(f"{name} and {stem}_h/{stem}_w are both given; keep one")
            if stem != "pad" and not (p.HasField(f"{stem}_h") and p.HasField(f"{stem}_w")):
                raise LayerError(f"{stem}_h and {stem}_w must both be given")
            return getattr(p, f"{stem}_h"), getattr(p, f"{stem}_w")
        if stem == "kernel" and not p.HasField(name):
            raise LayerError("has no kernel_size")
        return getattr(p, name), getattr(p, name)

    def _span(self, i: int) -> Span:
        kernel, stride, pad = self.kernel[i], self.stride[i], self.pad[i]
        floor = self.message.pooling_param.round_mode == self.message.pooling_param.FLOOR
        return Span(kernel, Fraction(stride), 1, pad, pad, 0 if floor else ceil_overhang(kernel, stride, pad))

    @property
    def is_global(self) -> bool:
        return bool(self.message.pooling_param.global_pooling)

    def outputs(self, ins: Sequence[Axes]) -> tuple[Axes, ...]:
        if self.is_global:
            _map(ins[0])
            out = ins[0].with_size(1, 1)
        else:
            out = _resized(ins[0], None, self.spans)
        if len(self.message.top) > 1:
            raise LayerRefused("a second top (the mask of maxima) is not supported")
        return (out,)

    def touch(self, ins: Sequence[Axes]) -> Touch:
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
        y, x = offsets.get(2, 0), offsets.get(3, 0)
        return Window(Span(pad_before=-y), Span(pad_before=-x), like=1)

    def lower(self, b: OnnxBuilder, names: Sequence[str], ins: Sequence[Axes], blobs: Sequence[str]) -> tuple[str, ...]:
        offsets = self._offsets(ins)
        axes, starts = b.ints(*offsets), b.ints(*offsets.values())
        size = b.op("Gather", b.op("Shape", names[1]), axes)
        return (b.op("Slice", names[0], starts, b.op("Add", size, starts), axes),)
