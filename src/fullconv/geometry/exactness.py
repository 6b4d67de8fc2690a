"""Where a map and crop-by-crop classification part, read off the graph.

A cell of the map equals its crop's answer unless something let the crop see its own border: padding
(zeros in the crop, real pixels in the map), a ceil-mode window that reached past the crop, or statistics
over the whole input. Without any of these the two differ by floating-point noise only.
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

    kind: Literal["padding", "ceil overhang", "statistics"]
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
    if not isinstance(touch, Window) or touch.like is not None:
        return
    spans = (touch.y, touch.x)
    pads = [(s.pad_before, s.pad_after) for s in spans]
    if any(before > 0 or after > 0 for before, after in pads):
        (top, bottom), (left, right) = pads
        yield Cause("padding", node.name, f"top {top}, bottom {bottom}, left {left}, right {right}")
    sizes = graph.values[node.inputs[0]].map_size
    reach = [_overhang(span, length) for span, length in zip(spans, sizes, strict=True)]
    if any(reach):
        yield Cause(
            "ceil overhang", node.name, f"the last window reaches {reach[0]} rows, {reach[1]} columns past the crop"
        )


def _overhang(span: Span, length: int) -> int:
    """Cells by which the last window reaches past input and padding at this length."""
    if span.stride < 1 or not span.overhang:
        return 0
    last = (output_length(span, length) - 1) * int(span.stride) + span.field
    return max(0, last - length - span.pad_before - span.pad_after)
