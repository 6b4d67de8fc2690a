"""What every Caffe layer states about itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fullconv.graph.axes import Axes, AxesError
from fullconv.graph.nodes import Linear, Opaque, Pointwise, Touch, Whole
from fullconv.runtimes.lowered import OnnxBuilder


class LayerError(ValueError):
    """A layer whose parameters or inputs do not fit; the reader adds file and layer."""


class LayerRefused(ValueError):
    """A layer that Caffe has and that cannot run here; the reader adds the layer."""


@dataclass(frozen=True, slots=True)
class Learned:
    """A learned blob: its shape, and the filler that a net without weights starts from (None: zeros)."""

    shape: tuple[int, ...]
    filler: Any = None


class Layer(ABC):
    """One layer. ``message`` is its LayerParameter."""

    bottoms: tuple[int, int | None] = (1, 1)  # least and most inputs (None: any number)
    in_place = False  # whether its first top may be its first bottom: Caffe writes others over what they still read

    shares = False  # whether its top is its bottom's memory under another name and shape

    def __init__(self, message: Any) -> None:
        self.message = message
        self.setup()

    def setup(self) -> None:  # noqa: B027 - most layers have nothing to check
        """Read and check the layer's own parameters. Raises LayerError or LayerRefused."""

    def check_bottoms(self, ins: Sequence[Axes]) -> None:
        least, most = self.bottoms
        if len(ins) < least or (most is not None and len(ins) > most):
            want = str(least) if least == most else f"{least} to {most if most is not None else 'any number of'}"
            raise LayerError(f"takes {want} bottoms, found {len(ins)}")

    @abstractmethod
    def outputs(self, ins: Sequence[Axes]) -> tuple[Axes, ...]:
        """Axes of the tops for these bottoms."""

    def touch(self, ins: Sequence[Axes]) -> Touch:
        return Pointwise()

    def linear(self, ins: Sequence[Axes]) -> Linear | None:
        return None

    def learned(self, ins: Sequence[Axes]) -> tuple[Learned, ...]:
        return ()

    def roles(self, count: int) -> tuple[str, ...]:
        """What each of so many learned blobs is, as PyTorch calls it."""
        return ("weight", "bias")[:count]

    trained_by_gradient = True  # whether its blobs are; those of statistics are not

    @abstractmethod
    def lower(self, b: OnnxBuilder, names: Sequence[str], ins: Sequence[Axes], blobs: Sequence[str]) -> tuple[str, ...]:
        """Emit the layer. ``names`` are the bottoms' values, ``blobs`` the learned arrays."""


class Elementwise(Layer):
    """A layer of one bottom whose top has its shape."""

    in_place = True

    def outputs(self, ins: Sequence[Axes]) -> tuple[Axes, ...]:
        return (ins[0],)

    def lower(self, b: OnnxBuilder, names: Sequence[str], ins: Sequence[Axes], blobs: Sequence[str]) -> tuple[str, ...]:
        return (self.emit(b, names[0]),)

    def emit(self, b: OnnxBuilder, x: str) -> str:
        raise NotImplementedError(type(self).__name__)


def canonical(axes: Axes, axis: int) -> int:
    """A possibly negative axis, as a LayerError where there is none."""
    try:
        return axes.index(axis)
    except AxesError as error:
        raise LayerError(str(error)) from None


def pointwise(axes: Axes, declared: int) -> Pointwise:
    """The touch of an operator along an axis that no position of the map shares."""
    return Pointwise(axis=canonical(axes, declared), from_end=declared < 0)


def channelwise(axes: Axes, first: int, count: int, from_end: bool = False) -> Touch:
    """The touch of a layer with parameters along ``count`` axes: pointwise, unless a position has its own."""
    if axes.spans_space(range(first, first + count)):
        return Whole("other", f"it has a parameter for each position of the map ({axes})")
    return Pointwise(axis=first, from_end=from_end) if count else Pointwise()


def along_axis(axes: Axes, declared: int) -> Touch:
    """The touch of an operator that mixes one axis: pointwise over channels, whole over space."""
    axis = canonical(axes, declared)
    if axis == 0:
        return Opaque("it mixes the images of a batch")
    if axes.spans_space([axis]):
        return Whole("other", f"it runs along height or width (axis {declared} of {axes})")
    return pointwise(axes, declared)


def is_image(axes: Axes) -> bool:
    """Whether four axes are batch, channels, height and width; those of a window over other axes are made of something else."""
    return axes.rank == 4 and axes.is_map


NO_IMAGE = "its height and width are made of other axes, so that it has no place over an image"
