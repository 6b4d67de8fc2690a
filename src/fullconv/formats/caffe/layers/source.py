"""Layers without bottoms that are no weights: Input and DummyData."""

from __future__ import annotations

from collections.abc import Sequence

from fullconv.formats.caffe.layers.base import Layer, LayerError, LayerRefused
from fullconv.graph.axes import Axes
from fullconv.runtimes.lowered import OnnxBuilder


class Input(Layer):
    """Values that the caller gives."""

    bottoms = (0, 0)

    def outputs(self, ins: Sequence[Axes]) -> tuple[Axes, ...]:
        shapes, count = list(self.message.input_param.shape), len(self.message.top)
        if len(shapes) not in (1, count):
            raise LayerError(f"{len(shapes)} shapes for {count} tops; give one or {count}")
        shapes = shapes * count if len(shapes) == 1 else shapes
        for shape in shapes:
            if not shape.dim or min(shape.dim) < 1:
                raise LayerError(f"shape {list(shape.dim)}: every dimension must be at least 1")
        return tuple(Axes.image(tuple(shape.dim)) for shape in shapes)

    def lower(self, b: OnnxBuilder, names: Sequence[str], ins: Sequence[Axes], blobs: Sequence[str]) -> tuple[str, ...]:
        raise AssertionError("inputs are bound, not computed")


class DummyData(Layer):
    """Constant blobs."""

    bottoms = (0, 0)

    def setup(self) -> None:
        p, count = self.message.dummy_data_param, len(self.message.top)
        if p.shape:
            shapes = [tuple(shape.dim) for shape in p.shape]
        else:
            dims = [list(getattr(p, name)) for name in ("num", "channels", "height", "width")]
            if any(len(values) not in (1, count) for values in dims):
                raise LayerError(f"needs num, channels, height and width, each one or {count} times")
            spread = [values * count if len(values) == 1 else values for values in dims]
            shapes = list(zip(*spread, strict=True))
        if len(shapes) not in (1, count):
            raise LayerError(f"{len(shapes)} shapes for {count} tops; give one or {count}")
        self.shapes = shapes * count if len(shapes) == 1 else shapes
        fillers = list(p.data_filler)
        if len(fillers) not in (0, 1, count):
            raise LayerError(f"{len(fillers)} fillers for {count} tops; give one or {count}")
        for filler in fillers:
            if filler.type != "constant":
                raise LayerRefused(f"its {filler.type} filler draws at random; only constant data has one answer")
        values = [filler.value for filler in fillers] or [0.0]
        self.values = values * count if len(values) == 1 else values

    def outputs(self, ins: Sequence[Axes]) -> tuple[Axes, ...]:
        return tuple(map(Axes.image, self.shapes))

    def lower(self, b: OnnxBuilder, names: Sequence[str], ins: Sequence[Axes], blobs: Sequence[str]) -> tuple[str, ...]:
        return tuple(
            b.op("Expand", b.floats(value), b.ints(*shape))
            for shape, value in zip(self.shapes, self.values, strict=True)
        )
