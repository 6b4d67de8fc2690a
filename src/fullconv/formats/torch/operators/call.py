"""One ATen operator in a graph, and how it is spelt in ONNX: for the rules on axes, and for the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx

from fullconv.formats.torch.shapes import Known
from fullconv.runtimes.lowered import OnnxBuilder

Shape = tuple[int, ...]


class Call:
    """An operator with its arguments by their schema's names, defaults filled in."""

    def __init__(self, node: fx.Node, known: Known) -> None:
        self.node = node
        self.known = known
        schema = getattr(node.target, "_schema", None)
        if schema is None:  # a function of our own
            names = node.target.__code__.co_varnames  # type: ignore[union-attr]
            self.values = dict(zip(names, node.args, strict=False))
        else:
            given = dict(node.kwargs)
            self.values = {
                a.name: node.args[i] if i < len(node.args) else given.get(a.name, a.default_value)
                for i, a in enumerate(schema.arguments)
            }

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def get(self, name: str, default: Any = None) -> Any:
        return self.values.get(name, default)

    @property
    def first(self) -> Any:
        """Its first argument."""
        return next(iter(self.values.values()))

    def shape(self, value: Any) -> Shape:
        """Shape of a tensor at training size; () of a number."""
        found = self.known.shapes[value] if isinstance(value, fx.Node) else ()
        return tuple(found)

    def rank(self, value: Any) -> int:
        return len(self.shape(value))

    def number(self, value: Any) -> int:
        """A whole number, at training size where it follows from the image's."""
        return self.known.numbers[value] if isinstance(value, fx.Node) else int(value)

    def pair(self, value: Any) -> list[int]:
        """One number or two, for height and width."""
        numbers = [self.number(v) for v in value] if isinstance(value, list | tuple) else [self.number(value)]
        return numbers * 2 if len(numbers) == 1 else numbers

    @property
    def out(self) -> tuple[Shape, ...]:
        """Shapes of its outputs."""
        found = self.known.shapes[self.node]
        return found if found and isinstance(found[0], tuple) else (found,)


class Emitter(OnnxBuilder):
    """A builder that knows the values of an fx graph by their nodes."""

    def __init__(self, known: Known) -> None:
        super().__init__()
        self.known = known
        self.env: dict[fx.Node, Any] = {}

    def value(self, given: Any) -> str:
        """An input: a node's value, a number as a constant, "" where it is left out."""
        if given is None:
            return ""
        if isinstance(given, fx.Node):
            return str(self.env[given])
        return self.floats(float(given))

    def sizes(self, given: Sequence[Any], *, copied: fx.Node | None = None) -> str:
        """A list of sizes, numbers or nodes, as a tensor.

        Args:
            copied: the tensor that is reshaped: its own dimension in its own place is spelt 0.
        """
        parts: list[Any] = []
        for i, size in enumerate(given):
            if isinstance(size, fx.Node):
                of = size.target is torch.ops.aten.sym_size.int and size.args == (copied, i)
                parts.append(0 if of else self.env[size])
            else:
                parts.append(int(size))
        if all(isinstance(part, int) for part in parts):
            return self.ints(*parts)
        if copied is not None and -1 not in parts and sum(isinstance(part, str) for part in parts) == 1:
            return self.ints(*(part if isinstance(part, int) else -1 for part in parts))
        return self.op("Concat", *(self.ints(p) if isinstance(p, int) else p for p in parts), axis=0)


class NotLowered(Exception):
    """An operator has no form for the engine here; PyTorch itself runs it."""


Emit = Callable[..., str | Sequence[str]]  # (emitter, *inputs) -> the values made


@dataclass(frozen=True)
class Spelling:
    """An operator in ONNX's words.

    Attributes:
        op: the operator of ONNX whose rule says how it moves over an image.
        inputs: nodes, numbers, or None for what is left out.
        attributes: as that operator has them.
        emit: writes it for the engine; by default the operator itself.
    """

    op: str
    inputs: tuple[Any, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    emit: Emit | None = None


Spell = Callable[[Call], Spelling]
OPERATORS: dict[Any, Spell] = {}


def spells(*names: str) -> Callable[[Spell], Spell]:
    """Registers a spelling for ATen operators, ``relu.default`` say; those that this PyTorch has not are passed over."""

    def register(spell: Spell) -> Spell:
        for name in names:
            packet, _, overload = name.partition(".")
            found = getattr(getattr(torch.ops.aten, packet, None), overload or "default", None)
            if found is not None:
                OPERATORS[found] = spell
        return spell

    return register


def unwritten(b: Emitter, *inputs: str) -> str:
    """Emits what is placed but not written for the engine."""
    raise NotLowered("no form for ONNX here")
