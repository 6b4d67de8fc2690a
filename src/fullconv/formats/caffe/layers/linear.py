"""Layers with a weight matrix or table: InnerProduct, Embed, Parameter."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from fullconv.formats.caffe.layers.base import Layer, LayerError, Learned, canonical
from fullconv.graph.axes import Axes, Axis, size_of, whole
from fullconv.graph.nodes import Linear, Opaque, Pointwise, Touch, Whole
from fullconv.runtimes.lowered import OnnxBuilder


class InnerProduct(Layer):
    """y = W x + b over everything from ``axis`` on; W of (outputs, inputs), or its transpose."""

    def setup(self) -> None:
        if not self.message.inner_product_param.num_output:
            raise LayerError("has no num_output")

    def _axis(self, ins: Sequence[Axes]) -> int:
        return canonical(ins[0], self.message.inner_product_param.axis)

    def _over(self, ins: Sequence[Axes]) -> Axis:
        return ins[0].mixed(range(self._axis(ins), ins[0].rank))

    def outputs(self, ins: Sequence[Axes]) -> tuple[Axes, ...]:
        kept = ins[0].axes[: self._axis(ins)]
        return (Axes((*kept, (whole("c", self.message.inner_product_param.num_output),))),)

    def touch(self, ins: Sequence[Axes]) -> Touch:
        if self._axis(ins) != 1:
            return Opaque(f"an inner product from axis {self._axis(ins)} on; only axis 1 has a convolution")
        space = any(atom.is_space for atom in self._over(ins))
        return Whole("linear") if space else Pointwise(flat=True)

    def linear(self, ins: Sequence[Axes]) -> Linear | None:
        return Linear(self.message.inner_product_param.num_output, self._over(ins)) if self._axis(ins) == 1 else None

    def learned(self, ins: Sequence[Axes]) -> tuple[Learned, ...]:
        p, size = self.message.inner_product_param, size_of(self._over(ins))
        weights = Learned((size, p.num_output) if p.transpose else (p.num_output, size), p.weight_filler)
        return (weights, Learned((p.num_output,), p.bias_filler)) if p.bias_term else (weights,)

    def lower(self, b: OnnxBuilder, names: Sequence[str], ins: Sequence[Axes], blobs: Sequence[str]) -> tuple[str, ...]:
        axis, p = self._axis(ins), self.message.inner_product_param
        flat = b.op("Flatten", names[0], axis=axis)
        y = b.op("Gemm", flat, *blobs, transB=0 if p.transpose else 1)
        if axis == 1:
            return (y,)
        if axis == 0:
            return (b.reshape(y, p.num_output),)
        b.size_bound()
        return (b.reshape(y, *ins[0].shape[:axis], p.num_output),)


class Embed(Layer):
    """Row ``x`` of a table of (input_dim, outputs), plus a bias; x holds whole numbers."""

    def outputs(self, ins: Sequence[Axes]) -> tuple[Axes, ...]:
        p = self.message.embed_param
        if not p.num_output or not p.input_dim:
            raise LayerError("needs num_output and input_dim")
        return (Axes((*ins[0].axes, (whole("c", p.num_output),))),)

    def touch(self, ins: Sequence[Axes]) -> Touch:
        return Opaque("an embedding looks up whole numbers; it has no place over an image")

    def learned(self, ins: Sequence[Axes]) -> tuple[Learned, ...]:
        p = self.message.embed_param
        table = Learned((p.input_dim, p.num_output), p.weight_filler)
        return (table, Learned((p.num_output,), p.bias_filler)) if p.bias_term else (table,)

    def lower(self, b: OnnxBuilder, names: Sequence[str], ins: Sequence[Axes], blobs: Sequence[str]) -> tuple[str, ...]:
        index = b.op("Cast", names[0], to=onnx.TensorProto.INT64)
        rows = b.op("Gather", blobs[0], index)
        return (b.op("Add", rows, blobs[1]) if len(blobs) > 1 else rows,)


class Parameter(Layer):
    """A learned blob as a top."""

    bottoms = (0, 0)

    def outputs(self, ins: Sequence[Axes]) -> tuple[Axes, ...]:
        return (Axes.image(tuple(self.message.parameter_param.shape.dim)),)

    def learned(self, ins: Sequence[Axes]) -> tuple[Learned, ...]:
        return (Learned(tuple(self.message.parameter_param.shape.dim)),)

    def lower(self, b: OnnxBuilder, names: Sequence[str], ins: Sequence[Axes], blobs: Sequence[str]) -> tuple[str, ...]:
        return (b.op("Identity", blobs[0]),)
