"""Where a map and crop-by-crop classification part, read off the graph.

A cell of the map equals its crop's answer unless something let the crop see its own border: padding
(zeros in the crop, real pixels in the map), a ceil-mode window that reached past the crop, statistics over the
whole input, or upsampling, which gives cells that no crop starts at. Without any of these the two differ by floating-point noise only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from fullconv.geometry.axis import output_length
from fullconv.graph import Graph, Node, Span, Whole, Window


@dataclass(frozen=True, slots=True)
class Cause:
    """One node's reason for a map that differs from crops."""

    kind: Literal["padding", "ceil overhang", "resampling", "statistics", "local pooling", "global pooling"]
    node: str
    detail: str

    def __str__(self) -> str:
        return f"{self.node}: {self.kind} ({self.detail})"


def causes(graph: Graph) -> tuple[Cause, ...]:
    """Causes of a cast graph, in the order of its nodes; empty where the map is exact."""
    return tuple(cause for node in graph.nodes for cause in _of(graph, node))


def _of(graph: Graph, node: Node) -> Iterator[Cause]:
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
        yield Cause("padding", node.name, f"top {top}, bottom {bottom}, left {left}, right {right}")
    if touch.y.stride < 1 or touch.x.stride < 1:
        told = "cells between the steps of its input stand at another phase of it than a crop that starts there"
        yield Cause("resampling", node.name, told)
    if any(overhang for *_, overhang in read):
        rows, columns = read[0][2], read[1][2]
        yield Cause("ceil overhang", node.name, f"the last window reaches {rows} rows, {columns} columns past the crop")


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
