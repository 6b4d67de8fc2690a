"""One operator, one record: its rule, and all else that any part of fullconv knows of it.

To add an operator, write its rule and its record in the module of its family; ``table.py`` collects them. Footprints, blame, finer maps and
the table of attributes read the record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from fullconv.operators.operation import Effect, Operation

Rule = Callable[[Operation], Effect]
Memory = Literal["own", "cellwise", "moved", "blocks"]
Mark = Literal["data", "read", "size", "harmless", "refused"]


@dataclass(frozen=True, slots=True)
class Operator:
    """What is known of an operator, in ONNX's words.

    Attributes:
        kind: ONNX's name for it, or a word of our own for what ONNX writes with several.
        rule: how it moves over an image.
        inputs: a mark for each: ``data`` may carry the image's; ``read`` a constant that the rule reads; ``size`` the same, which may follow
            from the image's size; ``harmless`` a constant whose numbers change no more than the numbers of each cell; ``refused`` must be
            left out. The last one stands for all that follow where ``variadic``.
        variadic: it takes any number of inputs.
        read: attributes that the rule, or who edits the node, reads.
        harmless: attributes that change no more than the numbers of each cell.
        refused: attributes that may have no other values than these, since the rule does not know the others.
        memory: where a run's engine writes its output: memory of its ``own``, ``cellwise`` in its input's place or fused into what made it,
            ``moved`` its input under another name, in ``blocks`` of channels where its inputs lie in blocks.
        dilates: a finer map can have it with wider steps.
        cuttable: it reads past a crop's edge, and blame can cut what it reads.
    """

    kind: str
    rule: Rule
    inputs: tuple[Mark, ...] = ("data",)
    variadic: bool = False
    read: frozenset[str] = frozenset()
    harmless: frozenset[str] = frozenset()
    refused: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    memory: Memory = "own"
    dilates: bool = False
    cuttable: bool = False

    def __post_init__(self) -> None:
        if not self.inputs or set(self.inputs) - set(get_args(Mark)) or "data" not in self.inputs:
            raise ValueError(f"{self.kind}: inputs {self.inputs} should be marks, one of them data")
        marked = [*self.read, *self.harmless, *self.refused]
        if len(marked) != len(set(marked)):
            raise ValueError(f"{self.kind}: an attribute is marked twice ({sorted(marked)})")

    def input_mark(self, i: int) -> Mark | None:
        """The mark of an input; None where the operator has no such input."""
        if i < len(self.inputs):
            return self.inputs[i]
        return self.inputs[-1] if self.variadic else None

    def attribute_mark(self, name: str) -> Literal["read", "harmless", "refused"] | None:
        """The mark of an attribute; None where nobody looked at it."""
        if name in self.read:
            return "read"
        if name in self.harmless:
            return "harmless"
        return "refused" if name in self.refused else None


def words(text: str) -> frozenset[str]:
    """``words("axis keepdims")``: attribute names from one line."""
    return frozenset(text.split())
