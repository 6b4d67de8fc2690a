"""One ATen operator in a graph, and how it is spelt in ONNX: for the rules on axes, and for the engine.

Every operator that has a spelling has a ``Record``, which marks each argument of its schema: *read*, *harmless* (no value of it
changes a number at inference) or *refused* (any value but the default). A Call hands out nothing that is not marked as read, so
that no argument can be overlooked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from onnx import TensorProto
from torch import fx

from fullconv.formats.torch.shapes import Kind, Known, kind_of
from fullconv.runtimes.lowered import OnnxBuilder

Shape = tuple[int, ...]
_TYPES: Mapping[Kind, int] = {"float": TensorProto.FLOAT, "int": TensorProto.INT64, "bool": TensorProto.BOOL}


class Call:
    """An operator with its arguments by their schema's names, defaults filled in."""

    def __init__(self, node: fx.Node, known: Known) -> None:
        self.node = node
        self.known = known
        record = OPERATORS.get(node.target)
        self._read = None if record is None else record.reads
        self.defaults: dict[str, Any] = {}
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
            self.defaults = {a.name: a.default_value for a in schema.arguments if a.has_default_value()}

    def __getitem__(self, name: str) -> Any:
        if self._read is not None and name not in self._read:
            raise KeyError(f"{self.node.target}: the argument {name!r} is not marked as read")
        return self.values[name]

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in self.values else default

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

    def kind(self, value: Any) -> Kind:
        """What a tensor or a number is made of."""
        if isinstance(value, fx.Node):
            return self.known.kinds.get(value, "int")
        return kind_of(value)

    @property
    def out_kind(self) -> Kind:
        """What its first output is made of."""
        return self.known.kinds.get(self.node, "int")

    def number(self, value: Any) -> int:
        """A whole number, at training size where it follows from the image's."""
        return self.known.numbers[value] if isinstance(value, fx.Node) else int(value)

    def fixed(self, value: Any, what: str) -> int:
        """A whole number that must not follow from an image's size."""
        if isinstance(value, fx.Node):
            raise Unspelt(f"its {what} follows from the size of its input, which a map changes")
        return int(value)

    def pair(self, value: Any, what: str = "window") -> list[int]:
        """One number or two, for height and width."""
        numbers = [self.fixed(v, what) for v in (value if isinstance(value, list | tuple) else [value])]
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

    def value(self, given: Any, kind: Kind = "float") -> str:
        """An input: a node's value, a number as a constant of a kind, "" where it is left out."""
        if given is None:
            return ""
        if isinstance(given, fx.Node):
            return str(self.env[given])
        if kind == "float":
            return self.floats(float(given))
        return self._constant(np.array(given, np.int64 if kind == "int" else np.bool_))

    def cast(self, x: str, have: Kind, want: Kind) -> str:
        """A value as another kind of number: fractions are cut off, what is not zero is true."""
        return x if have == want or not x else self.op("Cast", x, to=_TYPES[want])

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


class Unspelt(Exception):
    """An operator cannot be placed as it is called, with the reason."""


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
KINDS: frozenset[Kind] = frozenset(("float", "int", "bool"))


@dataclass(frozen=True)
class Record:
    """What is known of one operator.

    Attributes:
        spell: says it in ONNX's words; Unspelt where it cannot be.
        reads, harmless, refuses: the arguments of its schema.
        kinds: of numbers that the engine has it for, as its outputs.
        casts: its inputs are made what its output is, as PyTorch promotes them; else its own spelling sees to them.
    """

    spell: Spell
    reads: frozenset[str]
    harmless: frozenset[str] = frozenset()
    refuses: frozenset[str] = frozenset()
    kinds: frozenset[Kind] = frozenset(("float",))
    casts: bool = True

    def spelling(self, call: Call) -> Spelling:
        """The spelling of a call.

        Raises:
            Unspelt: an argument has a value that has no form here.
        """
        for name, value in call.values.items():
            known = name in self.reads or name in self.harmless or call.defaults.get(name, ...) == value
            if not known and not (value is None and name not in call.defaults):
                raise Unspelt(f"{call.node.target} with {name}={value} has no rule")
        return self.spell(call)


OPERATORS: dict[Any, Record] = {}


def spells(
    *names: str, reads: str, harmless: str = "", refuses: str = "", kinds: str = "float", casts: bool = True
) -> Callable[[Spell], Spell]:
    """Registers a spelling for ATen operators, ``relu.default`` say; those that this PyTorch has not are passed over."""

    def register(spell: Spell) -> Spell:
        allowed: frozenset[Any] = frozenset(kinds.split()) if kinds != "any" else KINDS
        read, free, refused = (frozenset(text.split()) for text in (reads, harmless, refuses))
        record = Record(spell, read, free, refused, allowed, casts)
        for name in names:
            packet, _, overload = name.partition(".")
            found = getattr(getattr(torch.ops.aten, packet, None), overload or "default", None)
            if found is not None:
                OPERATORS[found] = record
        return spell

    return register


def own(function: Any, spell: Spell) -> None:
    """Registers a function of our own: all that it is given is read."""
    OPERATORS[function] = Record(spell, frozenset(function.__code__.co_varnames))


def unwritten(b: Emitter, *inputs: str) -> str:
    """Emits what is placed but not written for the engine."""
    raise NotLowered("no form for ONNX here")
