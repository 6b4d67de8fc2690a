"""Comparisons, logic, and choices by a condition."""

from __future__ import annotations

import re
from typing import Any

from torch import fx

from fullconv.formats.torch.operators.call import Call, Emitter, Spelling, spells
from fullconv.formats.torch.shapes import Kind


@spells(
    "where.self",
    "where.ScalarOther",
    "where.ScalarSelf",
    "where.Scalar",
    reads="condition self other",
    kinds="any",
    casts=False,
)
def where(call: Call) -> Spelling:
    """One or the other, by a condition."""
    condition, *sides = given = (call["condition"], call["self"], call["other"])
    want = call.out_kind

    def emit(b: Emitter, c: str, *values: str) -> str:
        x, y = (_as(b, call, side, value, want) for side, value in zip(sides, values, strict=True))
        return b.op("Where", b.cast(c, call.kind(condition), "bool"), x, y)

    return Spelling("Where", given, emit=emit)


def _as(b: Emitter, call: Call, given: Any, value: str, want: Kind) -> str:
    return b.cast(value, call.kind(given), want) if isinstance(given, fx.Node) else b.value(given, want)


@spells("masked_fill.Scalar", "masked_fill.Tensor", reads="self mask value", kinds="any", casts=False)
def masked_fill(call: Call) -> Spelling:
    """A number wherever a mask is true."""
    given, want = (call["mask"], call["value"], call["self"]), call.out_kind

    def emit(b: Emitter, mask: str, value: str, x: str) -> str:
        return b.op("Where", mask, _as(b, call, given[1], value, want), x)

    return Spelling("Where", given, emit=emit)


_COMPARISONS = {
    "gt": "Greater",
    "lt": "Less",
    "ge": "GreaterOrEqual",
    "le": "LessOrEqual",
    "eq": "Equal",
    "ne": "Equal",
}


@spells(
    *(f"{name}.{kind}" for name in _COMPARISONS for kind in ("Scalar", "Tensor")),
    reads="self other",
    kinds="bool",
    casts=False,
)
def compare(call: Call) -> Spelling:
    """Greater or less than a number or a tensor, or the same."""
    name = str(call.node.target).split(".")[1]
    given = (call["self"], call["other"])
    order: tuple[Kind, ...] = ("bool", "int", "float")
    want = max((call.kind(v) for v in given), key=order.index)
    want = "int" if want == "bool" else want

    def emit(b: Emitter, *values: str) -> str:
        sides = (_as(b, call, each, value, want) for each, value in zip(given, values, strict=True))
        made = b.op(_COMPARISONS[name], *sides)
        return b.op("Not", made) if name == "ne" else made

    return Spelling("Add", given, emit=emit)


_LOGICAL = {"and": "And", "or": "Or", "xor": "Xor"}


@spells(
    *(f"{stem}{name}.{kind}" for name in _LOGICAL for stem, kind in (("logical_", "default"), ("bitwise_", "Tensor"), ("__", "Tensor"))),
    "__and__.Tensor", "__or__.Tensor", "__xor__.Tensor", reads="self other", kinds="bool",
)  # fmt: skip
def logical(call: Call) -> Spelling:
    """Both, one or the other of two truths."""
    name = next(op for word, op in _LOGICAL.items() if re.search(rf"[._]{word}(__)?\.", f"{call.node.target}."))
    return Spelling("Add", (call["self"], call["other"]), emit=lambda b, x, y: b.op(name, x, y))


@spells("logical_not", "bitwise_not", reads="self", kinds="bool")
def logical_not(call: Call) -> Spelling:
    """What is not true."""
    return Spelling("Relu", (call["self"],), emit=lambda b, x: b.op("Not", x))
