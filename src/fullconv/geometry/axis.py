"""Arithmetic of one axis: lengths through a window, and the receptive field of a chain of windows.

field' = field + (span.field - 1) · stride
start' = start - pad_before · stride
stride' = stride · span.stride

in pixels of the image, exact (Fraction). A cell i covers [start + i·stride, start + i·stride + size).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from fullconv.graph.axes import require
from fullconv.graph.nodes import Span


def output_length(span: Span, length: int) -> int:
    """Cells that a window leaves of ``length`` cells; 0 where it does not fit."""
    if span.stride < 1:
        return max(0, (length - 1) * int(1 / span.stride) + span.field - span.pad_before - span.pad_after)
    free = length + span.pad_before + span.pad_after + span.overhang - span.field
    return free // int(span.stride) + 1 if free >= 0 else 0


def ceil_overhang(kernel: int, stride: int, pad: int) -> int:
    """The overhang that gives Caffe's ceil-mode pooling in floor arithmetic, for every length.

    Ceil of a division by s is the floor with s - 1 more. With padding, Caffe drops a last window that
    starts beyond the padded input's last real cell; the windows that remain start before
    length + pad, which is a right reach of kernel - 1. Both hold at once as the smaller of the two.
    """
    reach = pad + stride - 1
    return (min(reach, kernel - 1) if pad else reach) - pad


@dataclass(frozen=True, slots=True)
class Extent:
    """The pixels that cell 0 covers along one axis, and the step to the next cell."""

    size: Fraction = Fraction(1)
    stride: Fraction = Fraction(1)
    start: Fraction = Fraction(0)

    def __post_init__(self) -> None:
        require(self.size > 0, f"a field of {self.size} pixels: it must be above 0")
        require(self.stride > 0, f"a field that steps by {self.stride} pixels: it must be above 0")

    def through(self, span: Span) -> Extent:
        """The extent after a window over cells of this one."""
        if span.stride < 1:
            # Output o of a transposed convolution reads inputs (o + pad - j·dilation) · stride, j < kernel:
            # the bounds of that interval, which are met by some phase of o.
            reach = (span.field - 1) * span.stride
            first = (span.pad_before - (span.field - 1)) * span.stride
            return Extent(
                self.size + reach * self.stride,
                self.stride * span.stride,
                self.start + first * self.stride,
            )
        return Extent(
            self.size + (span.field - 1) * self.stride,
            self.stride * span.stride,
            self.start - span.pad_before * self.stride,
        )

    def union(self, other: Extent) -> Extent:
        """The extent of a cell that reads a cell of each (strides must agree)."""
        if self.stride != other.stride:
            raise ValueError(f"strides differ: {self.stride} and {other.stride}")
        start = min(self.start, other.start)
        stop = max(self.start + self.size, other.start + other.size)
        return Extent(stop - start, self.stride, start)

    @property
    def centre(self) -> Fraction:
        """Centre of cell 0 as a pixel index: (size - 1) / 2 from the start; pixel 0's centre is 0."""
        return self.start + (self.size - 1) / 2
