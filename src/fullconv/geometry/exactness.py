"""Where a map and crop-by-crop classification part, read off the graph.

A cell of the map equals its crop's answer unless something let the crop see its own border: padding
(zeros in the crop, real pixels in the map), a ceil-mode window that reached past the crop, statistics over the
whole input, or upsampling, which gives cells that no crop starts at; or a head was fitted that moves it. Without any of these the two differ by floating-point noise only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from fullconv.geometry.axis import output_length
from fullconv.geometry.field import Field, receptive_fields
from fullconv.geometry.grid import Grid
from fullconv.graph.nodes import Graph, Node, Span, Whole, Window

Sides = tuple[Fraction, Fraction, Fraction, Fraction]  # top, bottom, left, right


@dataclass(frozen=True, slots=True)
class Cause:
    """One node's reason for a map that differs from crops.

    Attributes:
        kind, node, detail: what it is, where, and how.
        context: pixels past the crop's top, bottom, left and right that the map reads there for the crop's zeros or for nothing; None
            where it is no matter of sides.
    """

    kind: Literal[
        "padding", "ceil overhang", "resampling", "statistics", "local pooling", "global pooling", "fitted head"
    ]
    node: str
    detail: str
    context: Sides | None = None

    def __str__(self) -> str:
        return f"{self.node}: {self.kind} ({self.detail})"


def causes(graph: Graph) -> tuple[Cause, ...]:
    """Causes of a cast graph, in the order of its nodes; empty where the map is exact."""
    fields = receptive_fields(graph)
    return tuple(cause for node in graph.nodes for cause in _of(graph, node, fields))


def _of(graph: Graph, node: Node, fields: Mapping[str, Field]) -> Iterator[Cause]:
    touch = node.touch
    if isinstance(touch, Whole) and touch.how == "statistics":
        yield Cause("statistics", node.name, "it normalises over the whole input, which a map makes larger")
    if isinstance(touch, Whole) and touch.how in ("mean", "max"):
        yield Cause("global pooling", node.name, "it pools the whole input where the crop pooled itself")
    if not isinstance(touch, Window) or touch.like is not None:
        return
    sizes = graph.values[node.inputs[0]].map_size
    read = [read_past(span, length) for span, length in zip((touch.y, touch.x), sizes, strict=True)]
    if any(before or after for before, after, _ in read):
        (top, bottom, _), (left, right, _) = read
        told = f"top {top}, bottom {bottom}, left {left}, right {right}"
        yield Cause("padding", node.name, told, _pixels(fields, node, (top, bottom, left, right)))
    if touch.y.stride < 1 or touch.x.stride < 1:
        told = "cells between the steps of its input stand at another phase of it than a crop that starts there"
        yield Cause("resampling", node.name, told)
    if any(overhang for *_, overhang in read):
        rows, columns = read[0][2], read[1][2]
        told = f"the last window reaches {rows} rows, {columns} columns past the crop"
        yield Cause("ceil overhang", node.name, told, _pixels(fields, node, (0, rows, 0, columns)))


def _pixels(fields: Mapping[str, Field], node: Node, cells: tuple[int, int, int, int]) -> Sides | None:
    """Cells of a node's input as pixels of the image."""
    field = fields.get(node.inputs[0])
    if field is None:
        return None
    (down, right), (top, bottom, left, width) = field.stride, cells
    return top * down, bottom * down, left * right, width * right


def free_cells(found: Iterable[Cause], grid: Grid) -> tuple[list[bool], list[bool]]:
    """Rows and columns whose cells are free of every cause: a cell of a free row and a free column equals its crop.

    A side that the crop pads is no matter where it is the image's own edge too: there the map reads the same zeros. Statistics are none where
    the image is one crop. Behind a fitted head no cell is free: the classifier has none.
    """
    causes = tuple(found)
    if any(cause.kind == "fitted head" for cause in causes):
        return [False] * grid.rows, [False] * grid.cols
    whole = [cause.context is None for cause in causes]
    rows, cols = (
        _free(count, step, crop, length, any(whole), [c.context[i : i + 2] for c in causes if c.context is not None])
        for count, step, crop, length, i in (
            (grid.rows, grid.stride[0], grid.crop[0], grid.image[0], 0), (grid.cols, grid.stride[1], grid.crop[1], grid.image[1], 2),
        )
    )  # fmt: skip
    return rows, cols


def _free(
    count: int, step: Fraction, crop: Fraction, length: int, whole: bool, read: list[tuple[Fraction, ...]]
) -> list[bool]:
    before, after = any(side[0] for side in read), any(side[1] for side in read)
    free = []
    for i in range(count):
        first, last = i == 0, i * step + crop == length
        free.append((first and last) if whole else (first or not before) and (last or not after))
    return free


def read_past(span: Span, length: int) -> tuple[int, int, int]:
    """Cells of padding before, of padding after and of overhang that windows read at this length.

    Padding behind the last window's end is never read and moves nothing.
    """
    if span.stride < 1:
        # Output 0 of a transposed convolution would read inputs from (pad - (field - 1)) / s on; likewise at the end.
        before, after = ((span.field - 1 - pad) * span.stride // 1 for pad in (span.pad_before, span.pad_after))
        return max(0, int(before)), max(0, int(after)), 0
    before = max(0, span.pad_before)
    last = (output_length(span, length) - 1) * int(span.stride) - span.pad_before + span.field
    reach = max(0, last - length)
    after = min(reach, max(0, span.pad_after))
    return before, after, reach - after
