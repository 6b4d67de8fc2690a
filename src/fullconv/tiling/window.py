"""Which pixels the cells of a map need, along one axis: the receptive field's arithmetic run backwards.

Let every value v of the graph step by s_v pixels and have n_v cells over the image's P pixels, and let L be the least
common multiple of all s_v. A part [start, stop) of the image with

    start ≡ 0 (mod L)   and   stop ≡ P (mod L)

gives every value exactly n_v - (start + P - stop) / s_v cells, at the same phase of every window, blocks and SAME padding
included. Cells [a, b) of the output are then the whole image's own if no window behind them reaches past the part:

    start <= lo_v(a) · s_v             or start = 0
    P - stop <= (n_v - hi_v(b)) · s_v  or stop = P      for every value v

where [lo_v, hi_v) are the cells of v that they read. Both sides are linear in a and b, so two numbers an axis say it all:
``before`` = max_v -lo_v(0) · s_v and ``slack`` = min_v (n_v - hi_v(0)) · s_v. Where a part begins or ends with the image, padding
and ceil-mode windows are the image's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor, lcm

from fullconv.errors import Refusal, Refused
from fullconv.geometry.field import receptive_fields
from fullconv.geometry.lengths import map_sizes
from fullconv.graph.nodes import Graph, Node, Span, Whole, Window


@dataclass(frozen=True, slots=True)
class Reach:
    """What cells along one axis need of an image, all in pixels but for ``granule`` and ``least``.

    Attributes:
        length: P, of the image as the network runs on it (filled up where it takes some sizes only).
        step: from cell to cell.
        period: L, on which parts start.
        before, slack: as above.
        granule: cells after which the arithmetic repeats; tiles hold multiples of it.
        least: cells that a tile has at least, so that padding which mirrors the map finds what it mirrors.
    """

    length: int
    step: Fraction
    period: int
    before: Fraction
    slack: Fraction
    granule: int = 1
    least: int = 1

    def start(self, first: int) -> int:
        """The last pixel at which a part for cells from ``first`` on may start."""
        return max(0, floor((first * self.step - self.before) / self.period)) * self.period

    def stop(self, last: int | None) -> int:
        """The first pixel at which a part for cells up to ``last`` (excluded) may stop; None: up to the map's end."""
        if last is None:
            return self.length
        return self.length - max(0, floor((self.slack - last * self.step) / self.period)) * self.period


def reach(graph: Graph, output: str, image: tuple[int, int], side: int) -> Reach:
    """The reach of an output's cells over an image of (height, width); side 0 is height.

    Raises:
        Refused: a node takes the whole map together, so that no part of the image can stand for it.
    """
    fields = receptive_fields(graph)
    sizes = map_sizes(graph, image)
    steps = {value: field.stride[side] for value, field in fields.items() if value in sizes}
    step = steps[output]
    period = lcm(*(s.numerator for s in steps.values()))
    granule = int(period / step)
    low: dict[str, int] = {output: 0}
    high: dict[str, int] = {output: granule}
    mirrored: list[tuple[str, int]] = []
    single: set[str] = set()  # values that are one for all positions
    for node in reversed(graph.nodes):
        if single.intersection(node.outputs):
            _require_local(node)  # where it is, it pools nothing: the shift of a softmax, which moves no answer
            if not isinstance(node.touch, Whole):
                single.update(value for value in node.inputs if value in steps)
        written = [value for value in node.outputs if value in low]
        if not written:
            continue
        _require_local(node)
        lo, hi = min(low[v] for v in written), max(high[v] for v in written)
        for value, span in _read(node, side):
            if value not in steps:
                continue  # it does not depend on the image
            if span is None and sizes[value][side] < sizes[node.outputs[0]][side]:
                single.add(value)
                continue
            first, last = (lo, hi) if span is None else _behind(span, lo, hi)
            low[value], high[value] = min(first, low.get(value, first)), max(last, high.get(value, last))
            if span is not None:
                mirrored.append((value, max(span.pad_before, span.pad_after)))
    before = max(-low[value] * steps[value] for value in low)
    slack = min((sizes[value][side] - high[value]) * steps[value] for value in high) + granule * step
    need = [
        ceil((pad + 1 - (high[value] - max(0, low[value]))) * steps[value] / step)
        for value, pad in mirrored if pad > 0
    ]  # fmt: skip
    return Reach(image[side], step, period, max(Fraction(0), before), slack, granule, granule + max(0, 0, *need))


def crop_reach(length: int, step: Fraction, crop: Fraction) -> Reach:
    """The reach of cells that are crops, each on its own."""
    return Reach(length, step, int(step), Fraction(0), length - crop + step)


def _require_local(node: Node) -> None:
    touch = node.touch
    if isinstance(touch, Whole) and touch.how != "shift":
        what = "normalises over" if touch.how == "statistics" else "pools"
        raise Refused(
            "the image cannot be mapped in tiles",
            [
                Refusal(
                    node.name,
                    f"it {what} the whole image, which no tile holds; use --global-pooling local, or map an image that fits in memory",
                )
            ],
        )


def _read(node: Node, side: int) -> Iterator[tuple[str, Span | None]]:
    """The values that a node reads cell by cell, with the window over each."""
    if isinstance(node.touch, Window):
        yield node.inputs[0], (node.touch.y, node.touch.x)[side]
    elif not isinstance(node.touch, Whole):
        for value in node.inputs:
            yield value, None


def _behind(span: Span, lo: int, hi: int) -> tuple[int, int]:
    """The cells [lo, hi) of a window's input behind cells [lo, hi) of its output; padding counts as cells."""
    if span.stride < 1:
        # Output o of a transposed convolution reads inputs i with 0 <= o + pad - i · s <= field - 1.
        step = int(1 / span.stride)
        return -((span.field - 1 - span.pad_before - lo) // step), (hi - 1 + span.pad_before) // step + 1
    step = int(span.stride)
    return lo * step - span.pad_before, (hi - 1) * step - span.pad_before + span.field
