"""Layers that bring several blobs together or take one apart: Eltwise, Concat, Slice, Split, Tile, BatchReindex."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import onnx

from fullconv.formats.caffe.layers.base import Elementwise, Layer, LayerError, canonical, pointwise
from fullconv.graph.axes import Axes, Axis, whole
from fullconv.graph.nodes import Opaque, Touch, Whole
from fullconv.runtimes.lowered import OnnxBuilder


class Eltwise(Layer):
    """Product, weighted sum or maximum of bottoms of one shape."""

    bottoms = (2, None)

    def setup(self) -> None:
        p = self.message.eltwise_param
        coefficients = list(p.coeff)
        if coefficients and p.operation == p.PROD:
            raise LayerError("coeff is for SUM only")
        if coefficients and len(coefficients) != len(self.message.bottom):
            raise LayerError(f"{len(coefficients)} coefficients for {len(self.message.bottom)} bottoms")
        if p.operation == p.MAX:
            coefficients = []  # Caffe counts them and lets them be
        self.in_place = p.operation == p.PROD
        self.coefficients = coefficients or [1.0] * len(self.message.bottom)

    def outputs(self, ins: Sequence[Axes]) -> tuple[Axes, ...]:
        shapes = {axes.shape for axes in ins}
        if len(shapes) > 1:
            raise LayerError(f"bottoms differ in shape: {' and '.join(map(str, [a.shape for a in ins]))}")
        return (ins[0],)

    def lower(self, b: OnnxBuilder, names: Sequence[str], ins: Sequence[Axes], blobs: Sequence[str]) -> tuple[str, ...]:
        p = self.message.eltwise_param
        kind = {p.PROD: "Mul", p.SUM: "Add", p.MAX: "Max"}[p.operation]
        scaled = [b.scaled(x, c) for x, c in zip(names, self.coefficients, strict=True)]
        y = scaled[0]
        for x in scaled[1:]:
            y = b.op(kind, y, x)
        return (y,)


def _resized(axes: Axes, axis: int, size: int) -> Axes:
    """The same axes with another size along one; where it was space it stays space."""
    atoms: Axis = axes.axes[axis]
    root = atoms[0].root if len(atoms) == 1 else "c"
    return axes.with_axis(axis, (whole(root, size),))


class Concat(Layer):
    """Bottoms one behind the other along ``axis``."""

    bottoms = (1, None)

    def setup(self) -> None:
        self.declared = _declared(self.message.concat_param, "concat_dim")
        self.shares = len(self.message.bottom) == 1

    def _axis(self, ins: Sequence[Axes]) -> int:
        return canonical(ins[0], self.declared)

    def outputs(self, ins: Sequence[Axes]) -> tuple[Axes, ...]:
        axis = self._axis(ins)
        for axes in ins[1:]:
            same = axes.rank == ins[0].rank and all(
                a == c for i, (a, c) in enumerate(zip(axes.shape, ins[0].shape, strict=True)) if i != axis
            )
            if not same:
                raise LayerError(f"bottoms do not fit along axis {axis}: {' and '.join(str(a.shape) for a in ins)}")
        return (ins[0] if len(ins) == 1 else _resized(ins[0], axis, sum(a.shape[axis] for a in ins)),)

    def touch(self, ins: Sequence[Axes]) -> Touch:
        return _cut(ins, self.declared)

    def lower(self, b: OnnxBuilder, names: Sequence[str], ins: Sequence[Axes], blobs: Sequence[str]) -> tuple[str, ...]:
        return (b.op("Concat", *names, axis=self._axis(ins)),)


def _declared(param: Any, older: str) -> int:
    """The axis, by its own name or by the older one, which counts from the first."""
    if not param.HasField(older):
        return int(param.axis)
    if param.HasField("axis"):
        raise LayerError(f"axis and {older} are both given; keep axis")
    return int(getattr(param, older))


def _cut(ins: Sequence[Axes], declared: int) -> Touch:
    """Joining or cutting along an axis: pointwise for channels; along space or batch it has no sliding form."""
    axis = canonical(ins[0], declared)
    if axis == 0:
        return Opaque("it joins or cuts the batch")
    if not any(axes.spans_space([axis]) for axes in ins):
        return pointwise(ins[0], declared)
    shown = " and ".join(map(str, ins))
    if any(len(axes.axes[axis]) > 1 for axes in ins):
        return Whole("other", f"it joins or cuts a flattened map ({shown}); do so before the flatten")
    return Whole("other", f"it joins or cuts along height or width (axis {declared} of {shown})")


class Slice(Layer):
    """The bottom cut along ``axis`` at slice points, or in equal parts."""

    def setup(self) -> None:
        self.declared = _declared(self.message.slice_param, "slice_dim")
        self.shares = len(self.message.top) == 1

    def _axis(self, ins: Sequence[Axes]) -> int:
        return canonical(ins[0], self.declared)

    def _sizes(self, ins: Sequence[Axes]) -> list[int]:
        length, count = ins[0].shape[self._axis(ins)], len(self.message.top)
        points = list(self.message.slice_param.slice_point)
        if not points:
            if length % count:
                raise LayerError(f"{length} does not divide into {count} tops; give slice_point")
            return [length // count] * count
        bounds = [0, *points, length]
        sizes = [high - low for low, high in pairwise(bounds)]
        if len(sizes) != count or min(sizes) <= 0:
            raise LayerError(f"slice points {points} of {length} do not give {count} tops")
        return sizes

    def outputs(self, ins: Sequence[Axes]) -> tuple[Axes, ...]:
        return tuple(_resized(ins[0], self._axis(ins), size) for size in self._sizes(ins))

    def touch(self, ins: Sequence[Axes]) -> Touch:
        return _cut(ins, self.declared)

    def lower(self, b: OnnxBuilder, names: Sequence[str], ins: Sequence[Axes], blobs: Sequence[str]) -> tuple[str, ...]:
        sizes = self._sizes(ins)
        if len(sizes) == 1:
            return (b.op("Identity", names[0]),)
        return tuple(b.ops("Split", names[0], b.ints(*sizes), count=len(sizes), axis=self._axis(ins)))


class Split(Layer):
    """The bottom under several names."""

    shares = True

    def outputs(self, ins: Sequence[Axes]) -> tuple[Axes, ...]:
        return (ins[0],) * len(self.message.top)

    def lower(self, b: OnnxBuilder, names: Sequence[str], ins: Sequence[Axes], blobs: Sequence[str]) -> tuple[str, ...]:
        return tuple(b.op("Identity", names[0]) for _ in self.message.top)


class Tile(Layer):
    """The bottom repeated along ``axis``."""

    def outputs(self, ins: Sequence[Axes]) -> tuple[Axes, ...]:
        p = self.message.tile_param
        if p.tiles < 1:
            raise LayerError(f"tiles {p.tiles} must be at least 1")
        axis = canonical(ins[0], p.axis)
        return (_resized(ins[0], axis, ins[0].shape[axis] * p.tiles),)

    def touch(self, ins: Sequence[Axes]) -> Touch:
        declared = self.message.tile_param.axis
        axis = canonical(ins[0], declared)
        if axis == 0:
            return Opaque("it repeats the batch")
        if ins[0].spans_space([axis]):
            return Whole("other", "it repeats the map along height or width")
        return pointwise(ins[0], declared)

    def lower(self, b: OnnxBuilder, names: Sequence[str], ins: Sequence[Axes], blobs: Sequence[str]) -> tuple[str, ...]:
        p = self.message.tile_param
        return (b.op("Concat", *[names[0]] * p.tiles, axis=canonical(ins[0], p.axis)),)


class BatchReindex(Layer):
    """Rows of the first bottom's batch, in the order that the second names."""

    bottoms = (2, 2)

    def outputs(self, ins: Sequence[Axes]) -> tuple[Axes, ...]:
        if ins[1].rank != 1:
            raise LayerError(f"the second bottom must be a vector of indices, found {ins[1].shape}")
        return (ins[0].with_axis(0, (whole("n", ins[1].shape[0]),)),)

    def touch(self, ins: Sequence[Axes]) -> Touch:
        return Opaque("it reorders the batch")

    def lower(self, b: OnnxBuilder, names: Sequence[str], ins: Sequence[Axes], blobs: Sequence[str]) -> tuple[str, ...]:
        return (b.op("Gather", names[0], b.op("Cast", names[1], to=onnx.TensorProto.INT64), axis=0),)


class Identity(Elementwise):
    """A layer that is the identity here."""

    def emit(self, b: OnnxBuilder, x: str) -> str:
        return b.op("Identity", x)
