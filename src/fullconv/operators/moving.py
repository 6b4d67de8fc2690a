"""Operators that cut an axis or add to it: Slice and Pad."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from fullconv.geometry.axis import output_length
from fullconv.graph.nodes import Pointwise, Span, Window
from fullconv.operators.channels import resized
from fullconv.operators.operation import Effect, Operation, opaque, text
from fullconv.operators.record import Operator, words
from fullconv.operators.space import is_side, touches_space

END = 10**9  # an end that no axis reaches, as exporters write "to the end": this, 2**31 - 1, 2**63 - 1
Move = tuple[int, int, int]  # cells before, cells behind (less than none where it cuts), step


def cut(op: Operation) -> Effect:
    """Slice: of channels pointwise, of height and width a window of one cell with a step."""
    axes = op.first
    starts, ends = op.ints("starts", 1), op.ints("ends", 2)
    which, steps = op.ints("axes", 3), op.ints("steps", 4)
    if starts is None or ends is None:
        return opaque(op, "where it cuts is not constant")
    which = which if which is not None else list(range(len(starts)))
    steps = steps if steps is not None else [1] * len(starts)
    moves: dict[int, Move] = {}
    for start, end, axis, step in zip(starts, ends, which, steps, strict=True):
        i = axes.index(axis)
        if step < 1:
            if step == 0 or not i or not axes.is_map or touches_space(axes, [i]):
                return opaque(op, "it runs backwards")
            moves[i] = (0, 0, step)  # channels in another order: BGR of RGB
            continue
        to_end = end >= END or (op.is_sized(2) and end >= axes.shape[i])
        if (start, to_end, step) == (0, True, 1):
            continue  # all of it
        if touches_space(axes, [i]) and (start < 0 or (end >= 0 and not to_end)):
            return opaque(op, f"it cuts at a fixed place of axis {i}, which a larger map does not have")
        moves[i] = (-start, 0 if to_end else end, step)
    return _moved(op, moves, from_end=any(axis < 0 for axis in which))


def pad(op: Operation) -> Effect:
    """Pad: of channels pointwise, of height and width a window of one cell."""
    axes, amounts, given = op.first, op.ints("pads", 1), op.ints("axes", 3)
    which = list(range(axes.rank)) if given is None else [axes.index(i) for i in given]
    if amounts is None or op.is_sized(1) or len(amounts) != 2 * len(which):
        return opaque(op, "its amounts are not constant")
    moves = {i: (amounts[k], amounts[k + len(which)], 1) for k, i in enumerate(which)}
    moves = {i: move for i, move in moves.items() if move != (0, 0, 1)}
    if text(op.attribute("mode", "constant")) == "wrap" and touches_space(axes, moves):
        return opaque(op, "it wraps the map around, which a larger map does elsewhere")
    return _moved(op, moves, from_end=not axes.is_map)  # a place among all axes is another one with more of them


def _moved(op: Operation, moves: Mapping[int, Move], from_end: bool) -> Effect:
    """A window of one cell along each side that is moved; of channels as many as the output has."""
    axes = out = op.first
    spans: dict[str, Span] = {}
    for i, (before, behind, step) in moves.items():
        if not touches_space(axes, [i]) and i:
            out = resized(out, i, op.shape()[i])
            continue
        if not i or not is_side(axes.axes[i]) or not axes.is_map:
            return opaque(op, f"it cuts or pads axis {i} of {axes}")
        spans[axes.axes[i][0].root] = Span(1, Fraction(step), 1, before, behind)
    if spans:
        y, x = spans.get("h", Span()), spans.get("w", Span())
        lengths = [output_length(span, length) for span, length in zip((y, x), axes.map_size, strict=True)]
        return Effect(Window(y, x), (out.with_size(*lengths),))
    if len(moves) > 1 and not axes.is_map:
        return opaque(op, f"it cuts or pads several axes of {axes}")
    along = next(iter(moves)) if len(moves) == 1 else None
    return Effect(Pointwise(axis=along, from_end=from_end and along is not None), (out,))


OPERATORS = (
    Operator("Slice", cut, ("data", "read", "size", "read", "read"), read=words("starts ends axes steps"), dilates=True),
    Operator(
        "Pad", pad, ("data", "read", "harmless", "read"), read=words("pads mode"), harmless=words("value"), refused={"paddings": ()},
        dilates=True, cuttable=True,
    ),
)  # fmt: skip
