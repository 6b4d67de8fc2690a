"""Layers that move values or pool all of them: Flatten, Reshape, Reduction, SPP, ShuffleChannel."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from fullconv.formats.caffe.layers.base import Layer, LayerError, LayerRefused, along_axis, canonical
from fullconv.geometry.axis import ceil_overhang
from fullconv.graph.axes import Axes, AxesError, whole
from fullconv.graph.nodes import Layout, Opaque, Touch, Whole
from fullconv.runtimes.lowered import OnnxBuilder


def _reshaped(b: OnnxBuilder, x: str, *parts: int | range) -> str:
    """x in the shape that these parts make: a number, or a range of x's own axes, whose sizes it takes as they are when it runs."""
    own = b.op("Shape", x)
    sizes = [
        b.op("Slice", own, b.ints(part.start), b.ints(part.stop)) if isinstance(part, range) else b.ints(part)
        for part in parts
        if part != range(0)
    ]
    return b.op("Reshape", x, b.op("Concat", *sizes, axis=0))


class Flatten(Layer):
    """Axes ``axis`` to ``end_axis`` become one."""

    shares = True

    def _part(self, ins: Sequence[Axes]) -> tuple[int, int]:
        """(first axis, axis behind the last) of those that become one."""
        p = self.message.flatten_param
        return canonical(ins[0], p.axis), canonical(ins[0], p.end_axis) + 1

    def outputs(self, ins: Sequence[Axes]) -> tuple[Axes, ...]:
        return (ins[0].merge(*self._part(ins)),)

    def touch(self, ins: Sequence[Axes]) -> Touch:
        return Layout(fixed=ins[0].spans_space(range(*self._part(ins))))

    def lower(self, b: OnnxBuilder, names: Sequence[str], ins: Sequence[Axes], blobs: Sequence[str]) -> tuple[str, ...]:
        start, end = self._part(ins)
        if start == 1 and end == ins[0].rank:
            return (b.op("Flatten", names[0], axis=1),)
        return (_reshaped(b, names[0], range(start), -1, range(end, ins[0].rank)),)


class Reshape(Layer):
    """Another shape: 0 copies a dimension, -1 takes what is left; ``axis`` and ``num_axes`` choose a part."""

    shares = True

    def _dims(self, ins: Sequence[Axes]) -> tuple[int, list[int], int]:
        """(first axis, declared dims, axis behind the part)."""
        p, rank = self.message.reshape_param, ins[0].rank
        start = p.axis if p.axis >= 0 else rank + p.axis + 1
        if not 0 <= start <= rank:
            raise LayerError(f"axis {p.axis} of {ins[0].shape}")
        end = rank if p.num_axes == -1 else start + p.num_axes
        if not start <= end <= rank:
            raise LayerError(f"num_axes {p.num_axes} from axis {start} of {ins[0].shape}")
        return start, list(p.shape.dim), end

    def _shape(self, ins: Sequence[Axes]) -> tuple[int, ...]:
        start, dims, end = self._dims(ins)
        have = ins[0].shape
        for i, dim in enumerate(dims):
            if dim == 0 and start + i >= ins[0].rank:
                raise LayerError(f"dim {i} copies an axis that {have} does not have")
        part = [have[start + i] if dim == 0 else dim for i, dim in enumerate(dims)]
        if part.count(-1) > 1 or any(dim < -1 for dim in part):
            raise LayerError(f"shape {dims} may hold one -1 and no other negative")
        total, known = prod(have[start:end]), prod(dim for dim in part if dim != -1)
        if (-1 not in part and known != total) or (-1 in part and (known == 0 or total % known)):
            raise LayerError(f"{have} cannot become {dims}")
        part = [total // known if dim == -1 else dim for dim in part]
        return (*have[:start], *part, *have[end:])

    def outputs(self, ins: Sequence[Axes]) -> tuple[Axes, ...]:
        return (self._moved(ins) or Axes.image(self._shape(ins)),)

    def _moved(self, ins: Sequence[Axes]) -> Axes | None:
        """The bottom's axes in the new shape, or None where they do not fall into it.

        Four axes are a map to the layers behind, with height and width last, whatever these are made of; and the first is the batch.
        """
        start, _, end = self._dims(ins)
        axes, shape = ins[0].axes, self._shape(ins)
        try:
            if len(shape) > start + len(axes) - end:
                # What lies before and behind the part stays, also where it is one cell that any axis of one could be.
                part = Axes(axes[start:end]).reshape(shape[start : len(shape) - (len(axes) - end)])
                out = Axes((*axes[:start], *part.axes, *axes[end:]))
            else:
                out = ins[0].reshape(shape)
        except AxesError:
            return None
        if out.rank == 4 and out.axes[2] == out.axes[3] == ():  # (N, C) as a map of one cell
            out = Axes((*out.axes[:2], (whole("h", 1),), (whole("w", 1),)))
        in_place = out.rank != 4 or (out.space_axis("h"), out.space_axis("w")) == (2, 3)
        return out if in_place and out.batch == ins[0].batch else None

    def touch(self, ins: Sequence[Axes]) -> Touch:
        out = self._moved(ins)
        if out is None:
            shape = "×".join(map(str, self._shape(ins)))
            return Opaque(f"it makes {shape} of {ins[0]}, which mixes other axes into the batch, height or width")
        inside = [axis for axis in out.axes if any(atom.is_space and atom.size > 1 for atom in axis)]
        if out.is_map and ins[0].is_map and any(len(axis) > 1 for axis in inside):
            return Opaque(f"it makes one cell of a whole map ({ins[0]} to {out})")
        start, dims, _ = self._dims(ins)
        space = [out.space_axis(root) for root in ("h", "w")]
        free = out.is_map and all(
            axis is not None and (not start <= axis < start + len(dims) or dims[axis - start] == 0) for axis in space
        )
        return Layout(fixed=not free)

    def lower(self, b: OnnxBuilder, names: Sequence[str], ins: Sequence[Axes], blobs: Sequence[str]) -> tuple[str, ...]:
        start, dims, end = self._dims(ins)
        rank = ins[0].rank
        if any(dim > 0 for dim in dims[1 if start == 0 else 0 :]) and ins[0].is_map and self._freezes(ins):
            b.size_bound()
        if start == 0 and end == rank:
            return (b.reshape(names[0], *dims),)
        part = [range(start + i, start + i + 1) if dim == 0 else dim for i, dim in enumerate(dims)]
        return (_reshaped(b, names[0], range(start), *part, range(end, rank)),)

    def _freezes(self, ins: Sequence[Axes]) -> bool:
        """Whether numbers in the shape stand for height or width."""
        touch = self.touch(ins)
        return not isinstance(touch, Layout) or touch.fixed


class Reduction(Layer):
    """Sum, sum of absolute values, sum of squares or mean over ``axis`` and everything behind it."""

    def outputs(self, ins: Sequence[Axes]) -> tuple[Axes, ...]:
        return (Axes(ins[0].axes[: canonical(ins[0], self.message.reduction_param.axis)]),)

    def touch(self, ins: Sequence[Axes]) -> Touch:
        axis = canonical(ins[0], self.message.reduction_param.axis)
        if axis == 0:
            return Opaque("it reduces the batch")
        if ins[0].spans_space(range(axis, ins[0].rank)):
            return Opaque("it reduces channels and positions together; use a global pooling layer instead")
        return Opaque("it reduces everything behind an axis, which on a map includes height and width")

    def lower(self, b: OnnxBuilder, names: Sequence[str], ins: Sequence[Axes], blobs: Sequence[str]) -> tuple[str, ...]:
        p, x = self.message.reduction_param, names[0]
        axis = canonical(ins[0], p.axis)
        axes = list(range(axis, ins[0].rank))
        if p.operation == p.ASUM:
            x = b.op("Abs", x)
        elif p.operation == p.SUMSQ:
            x = b.op("Mul", x, x)
        if p.operation == p.MEAN:
            y = b.op("ReduceMean", x, axes=axes, keepdims=0)
        else:
            y = b.op("ReduceSum", x, b.ints(*axes), keepdims=0)
        return (b.scaled(y, p.coeff),)


_HIGHEST = 16  # levels: 2^15 bins on a side


class SPP(Layer):
    """Spatial pyramid pooling: the map in 1×1, 2×2, 4×4, ... bins, one vector of all of them."""

    def setup(self) -> None:
        p = self.message.spp_param
        if p.pool == p.STOCHASTIC:
            raise LayerRefused("stochastic pooling draws at random and has no single answer")
        if not p.pyramid_height:
            raise LayerError("has no pyramid_height")

    def outputs(self, ins: Sequence[Axes]) -> tuple[Axes, ...]:
        if ins[0].rank != 4:
            raise LayerError(f"needs a bottom of (N, C, H, W), found {ins[0].shape}")
        height, width = ins[0].shape[2:]
        if self.message.spp_param.pyramid_height > _HIGHEST:
            raise LayerError(
                f"a pyramid of {self.message.spp_param.pyramid_height} levels has more bins than a map has cells"
            )
        for level in range(self.message.spp_param.pyramid_height):
            _bins((height, width), 2**level)
        bins = sum(4**level for level in range(self.message.spp_param.pyramid_height))
        channels = ins[0].shape[1]
        if self.message.spp_param.pyramid_height == 1:
            return (Axes.image((*ins[0].shape[:2], 1, 1)),)  # as Caffe does: one level is not flattened
        return (Axes((ins[0].axes[0], (whole("c", channels * bins),))),)

    def touch(self, ins: Sequence[Axes]) -> Touch:
        return Whole("other", "spatial pyramid pooling divides the whole map into bins, which move with its size")

    def lower(self, b: OnnxBuilder, names: Sequence[str], ins: Sequence[Axes], blobs: Sequence[str]) -> tuple[str, ...]:
        b.size_bound()
        p = self.message.spp_param
        kind = "MaxPool" if p.pool == p.MAX else "AveragePool"
        height, width = ins[0].shape[2:]
        levels = [self._level(b, names[0], (height, width), 2**i, kind) for i in range(p.pyramid_height)]
        if len(levels) == 1:
            return (levels[0],)
        return (b.op("Concat", *(b.op("Flatten", level) for level in levels), axis=1),)

    def _level(self, b: OnnxBuilder, x: str, size: tuple[int, int], bins: int, kind: str) -> str:
        """Bins of ceil(size / bins), the surplus padded on both sides: Caffe's pooling with those numbers."""
        kernel, pad = _bins(size, bins)
        after = [p + ceil_overhang(k, k, p) for k, p in zip(kernel, pad, strict=True)]
        if kind == "MaxPool":
            return b.op(kind, x, kernel_shape=kernel, strides=kernel, pads=[*pad, *after])
        x = b.op("Pad", x, b.ints(0, 0, *pad, 0, 0, *pad)) if any(pad) else x
        over = [a - p for a, p in zip(after, pad, strict=True)]
        return b.op(kind, x, kernel_shape=kernel, strides=kernel, pads=[0, 0, *over], count_include_pad=0)


def _bins(size: tuple[int, int], bins: int) -> tuple[list[int], list[int]]:
    """Kernel and padding of a level, by height and width."""
    kernel = [-(-length // bins) for length in size]
    pad = [(k * bins - length + 1) // 2 for k, length in zip(kernel, size, strict=True)]
    if any(p >= k for p, k in zip(pad, kernel, strict=True)):
        raise LayerError(f"a map of {size[0]}×{size[1]} is too small for a pyramid level of {bins}×{bins} bins")
    return kernel, pad


class ShuffleChannel(Layer):
    """A ShuffleNet's: channels of each group one after the other, then the second of each, and so on. Of other versions of Caffe."""

    def outputs(self, ins: Sequence[Axes]) -> tuple[Axes, ...]:
        count, group = ins[0].shape[canonical(ins[0], 1)], self.message.shuffle_channel_param.group
        if group < 1 or count % group:
            raise LayerError(f"{count} channels are not {group} groups of one size")
        return (ins[0],)

    def touch(self, ins: Sequence[Axes]) -> Touch:
        return along_axis(ins[0], 1)

    def lower(self, b: OnnxBuilder, names: Sequence[str], ins: Sequence[Axes], blobs: Sequence[str]) -> tuple[str, ...]:
        count, group = ins[0].shape[1], self.message.shuffle_channel_param.group
        order = [i for first in range(count // group) for i in range(first, count, count // group)]
        return (b.op("Gather", names[0], b.ints(*order), axis=1),)
