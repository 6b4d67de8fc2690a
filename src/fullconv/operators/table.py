"""All records by name, and what holds for every rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fullconv.graph.axes import AxesError
from fullconv.graph.nodes import Opaque
from fullconv.operators import channels, elementwise, layout, linear, moving, reductions, resize, window
from fullconv.operators.operation import Effect, Operation, opaque
from fullconv.operators.record import Operator

OPERATORS: Mapping[str, Operator] = {
    record.kind: record
    for family in (channels, elementwise, layout, linear, moving, reductions, resize, window)
    for record in family.OPERATORS
}


def effect_of(op: Operation) -> Effect:
    """What the operator does to its axes; Opaque, with the reason, where no rule says."""
    record = OPERATORS.get(op.kind)
    if record is None:
        return opaque(op, f"{op.kind} has no rule: how it moves over an image is not known")
    reason = _overlooked(op, record)
    if reason is not None:
        return opaque(op, reason)
    try:
        return _kept(op, record.rule(op))
    except AxesError as error:
        return opaque(op, str(error))


def _kept(op: Operation, effect: Effect) -> Effect:
    """The effect, if its outputs have the shapes that the reader saw: else the rule does not know this operator as it is here."""
    shapes = tuple(axes.shape for axes in effect.outputs)
    if isinstance(effect.touch, Opaque) or shapes == op.shapes:
        return effect
    expected, seen = (" and ".join(map(str, each)) or "nothing" for each in (shapes, op.shapes))
    return opaque(op, f"its output of {seen} is not the {expected} that its rule gives")


def _overlooked(op: Operation, record: Operator) -> str | None:
    """An input or attribute that the rule does not reckon with, in words."""
    for i, axes in enumerate(op.axes):
        mark = record.input_mark(i)
        if axes is not None and mark != "data":
            return f"{op.input(i)} should be constant and follow from the image"
        if mark == "refused" and op.input(i):
            return f"it reads {op.input(i)}, which no rule here reckons with"
    if op.axes[0] is None and record.inputs.count("data") == 1 and not record.variadic:
        return "its parameters should be constant and follow from the image"
    for name, value in op.attributes.items():
        mark = record.attribute_mark(name)
        if mark is None or (mark == "refused" and not _is_among(value, record.refused[name])):
            return f"its attribute {name} = {_shown(value)} is not reckoned with here"
    return None


def _is_among(value: Any, allowed: tuple[Any, ...]) -> bool:
    return value is None or (value.decode() if isinstance(value, bytes) else value) in allowed


def _shown(value: Any) -> str:
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return text if len(text) < 40 else f"{text[:40]}..."
