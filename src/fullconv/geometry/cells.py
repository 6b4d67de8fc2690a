"""Cells of a value along one axis, for an image of any length, and which of a finer value's cells stand for a coarser one's."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import floor

from fullconv.graph.nodes import Span

Cut = tuple[int, int, int]  # first cell, cells left out behind the last (counted below zero), step


@dataclass(frozen=True, slots=True)
class Cells:
    """floor((length + more) / stride) + 1 cells, the first centred on the pixel ``centre``; in pixels of the image, exact.

    The image itself by default. That a chain of windows has one such law follows from floor(floor(a / r) / s) = floor(a / (r · s)).
    """

    stride: Fraction = Fraction(1)
    more: Fraction = Fraction(-1)
    centre: Fraction = Fraction(0)

    def through(self, span: Span) -> Cells | None:
        """What a window leaves; None for a transposed convolution, whose cells follow no such law."""
        if span.stride < 1:
            return None
        more = span.pad_before + span.pad_after + span.overhang - span.field + 1
        first = Fraction(span.field - 1, 2) - span.pad_before
        return Cells(self.stride * span.stride, self.more + self.stride * more, self.centre + self.stride * first)

    def counts_as(self, other: Cells) -> bool:
        """Whether both are as many for every image."""
        return (self.stride, self.more) == (other.stride, other.more)

    def cut(self, coarser: Cells) -> Cut | None:
        """The cells of this value that are as many as a coarser one's for every image, each nearest to its own; None where there are none."""
        step, fewer = coarser.stride / self.stride, (self.more - coarser.more) / self.stride
        if step.denominator != 1 or fewer.denominator != 1 or fewer < 0:
            return None
        nearest = floor((coarser.centre - self.centre) / self.stride + Fraction(1, 2))
        first = min(max(0, nearest), int(fewer))
        return first, first - int(fewer), int(step)
