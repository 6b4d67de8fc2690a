"""Operators that cut an axis or add to it: Slice and Pad."""

from __future__ import annotations

from fractions import Fraction

from fullconv.graph.axes import whole
from fullconv.graph.nodes import Pointwise, Span, Window
from fullconv.operators.operation import Effect, Operation, opaque
from fullconv.operators.record import Operator, words

END = 2**31 - 1


def cut(op: Operation) -> Effect:
    """Slice: of channels pointwise, of height and width a window of one cell with a step."""
    axes = op.first
    starts, ends = op.ints("starts", 1), op.ints("ends", 2)
    if starts is None or ends is None:
        return opaque(op, "where it cuts is not constant")
    which, steps = op.ints("axes", 3), op.ints("steps", 4)
    which = which if which is not None else list(range(len(starts)))
    steps = steps if steps is not None else [1] * len(starts)
    moves = [(0, 0, 1)] * axes.rank
    for start, end, axis, step in zip(starts, ends, which, steps, strict=True):
        i = axes.index(axis)
        length = axes.shape[i]
        if step < 1:
            return opaque(op, "it runs backwards")
        start = min(max(start + length if start < 0 else start, 0), length)
        to_end = end >= END  # a number that happens to be today's length is a fixed place
        from_end = end < 0
        space = any(a.is_space and a.size > 1 for a in axes.axes[i])
        if space and (op.is_sized(2) or not (to_end or from_end)):
            return opaque(op, f"it cuts height or width at a fixed place (axis {axis} from {start} to {end})")
        moves[i] = (-start, end if from_end and not to_end else 0, step)
    return moved_window(op, moves)


def pad(op: Operation) -> Effect:
    """Pad with a constant: of channels pointwise, of height and width a window of one cell."""
    amounts = op.ints("pads", 1)
    axes = op.first
    if amounts is None or op.is_sized(1) or len(amounts) != 2 * axes.rank:
        return opaque(op, "its amounts are not constant")
    return moved_window(op, [(amounts[i], amounts[i + axes.rank], 1) for i in range(axes.rank)])


def moved_window(op: Operation, moves: list[tuple[int, int, int]]) -> Effect:
    """A window of one cell an axis, from (before, after, step): padding adds cells, cutting takes them, a step skips."""
    axes, shape = op.first, op.shape()
    spans, out = {}, axes
    for i, (before, after, step) in enumerate(moves):
        if (before, after, step) == (0, 0, 1):
            continue
        atoms = axes.axes[i]
        if i == 0 or len(atoms) != 1:
            if any(atom.is_space and atom.size > 1 for atom in atoms) or i == 0:
                return opaque(op, f"it cuts or pads axis {i} of {axes}")
            out = out.with_axis(i, (whole("c", shape[i]),))
            continue
        root = atoms[0].root
        out = out.with_axis(i, (whole(root, shape[i]),))
        if root in ("h", "w"):
            spans[root] = Span(1, Fraction(step), 1, before, after)
    if not spans:
        return Effect(Pointwise(), (out,))
    if not axes.is_map:
        return opaque(op, f"it cuts or pads positions of {axes}, which is no map")
    return Effect(Window(spans.get("h", Span()), spans.get("w", Span())), (out,))


OPERATORS = (
    Operator("Slice", cut, ("data", "read", "size", "read", "read"), read=words("starts ends axes steps"), dilates=True),
    Operator(
        "Pad", pad, ("data", "read", "harmless", "read"), read=words("pads mode"), harmless=words("value"), refused={"paddings": ()},
        dilates=True, cuttable=True,
    ),
)  # fmt: skip
