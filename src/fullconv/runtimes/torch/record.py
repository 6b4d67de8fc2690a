"""One operator of ONNX, one record: how it is spelt in torch.

A spelling is given the call as it stands in the lowered graph and answers with nodes of torch.fx. What holds for some
attributes alone raises ``Unspelt`` for the others: nothing is approximated.

Values are tensors, constants that are known while the module is built (``Known``), or whole numbers that follow from an input's
sizes while it runs: a tuple, or one number. The last keep sizes symbolic for torch.export and torch.compile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from torch import fx

Array = npt.NDArray[Any]


class Unspelt(Exception):
    """An operator that is not spelt as it is called here; the message says what of it."""


@dataclass(frozen=True, slots=True)
class Known:
    """A constant, by the name of its value in the lowered graph; ``frozen`` ones are no tensors of the module unless they are read as one."""

    name: str
    array: Array
    frozen: bool


Value = fx.Node | Known


class Builder(Protocol):
    """What a call writes to."""

    trains: bool

    def emit(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> fx.Node:
        """A node that calls the function."""

    def tensor(self, value: Known) -> fx.Node:
        """A constant as a tensor of the module."""

    def training(self, beside: Value | None) -> fx.Node:
        """Whether the module trains; that part of it which holds this constant."""

    def is_sizes(self, node: fx.Node) -> bool:
        """Whether a node gives whole numbers of Python instead of a tensor."""

    def mark_sizes(self, node: fx.Node) -> fx.Node:
        """Say that it does."""


@dataclass(frozen=True, slots=True)
class Call:
    """An operator as it stands in the graph.

    Attributes:
        kind, name: of the node.
        inputs: its values, None where one is left out.
        attributes: by name, strings as text.
        opset: operator set of its domain.
        outputs: how many of its outputs are read: up to the last one.
    """

    kind: str
    name: str
    inputs: tuple[Value | None, ...]
    attributes: dict[str, Any]
    opset: int
    outputs: int
    builder: Builder

    def do(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> fx.Node:
        return self.builder.emit(function, args, kwargs)

    def attribute(self, name: str, default: Any = None) -> Any:
        return self.attributes.get(name, default)

    def has(self, i: int) -> bool:
        return i < len(self.inputs) and self.inputs[i] is not None

    def tensor(self, i: int) -> fx.Node:
        """An input as a tensor."""
        value = self.inputs[i] if self.has(i) else None
        if value is None:
            raise Unspelt(f"it has no input {i}")
        if isinstance(value, Known):
            return self.builder.tensor(value)
        if self.builder.is_sizes(value):
            raise Unspelt("it computes with sizes of the image in a way that is not spelt here")
        return value

    def maybe(self, i: int) -> fx.Node | None:
        return self.tensor(i) if self.has(i) else None

    def operand(self, i: int) -> Any:
        """A tensor, or a Python number where it is a frozen one: it takes the type and the device of what it meets."""
        value = self.inputs[i] if self.has(i) else None
        if isinstance(value, Known) and value.frozen and value.array.shape in ((), (1,)):
            others = [v for j, v in enumerate(self.inputs) if j != i and v is not None]
            if any(isinstance(v, fx.Node) and not self.builder.is_sizes(v) for v in others) and value.array.size == 1:
                return value.array.reshape(()).item()
        return self.tensor(i)

    def numbers(self, i: int) -> Array | None:
        """A constant input's numbers; None where it is left out or no constant."""
        value = self.inputs[i] if self.has(i) else None
        return value.array if isinstance(value, Known) else None

    def sizes(self, i: int) -> Any:
        """Whole numbers: a tuple (or one number) of Python, or the node that gives them.

        Raises:
            Unspelt: they follow from values, not from sizes.
        """
        value = self.inputs[i] if self.has(i) else None
        if isinstance(value, Known):
            return value.array.tolist() if value.array.ndim == 0 else tuple(value.array.ravel().tolist())
        if value is not None and self.builder.is_sizes(value):
            return value
        raise Unspelt(f"its input {i} is neither constant nor computed from sizes alone")

    def ints(self, name: str, i: int, since: int) -> tuple[int, ...] | None:
        """Constant whole numbers from an attribute, or from an input in operator sets from ``since`` on; None where not stated."""
        if self.opset < since:
            found = self.attribute(name)
            return None if found is None else tuple(found)
        if not self.has(i):
            return None
        numbers = self.numbers(i)
        if numbers is None:
            raise Unspelt(f"its {name} are not constant")
        return tuple(int(v) for v in numbers.ravel())

    @property
    def reads_sizes(self) -> bool:
        """Whether it computes with whole numbers that follow from sizes."""
        return any(isinstance(v, fx.Node) and self.builder.is_sizes(v) for v in self.inputs)


Spelling = Callable[[Call], "fx.Node | Sequence[fx.Node]"]


@dataclass(frozen=True, slots=True)
class Spelt:
    """How an operator is spelt.

    Attributes:
        kind: ONNX's name.
        spell: over tensors.
        of_sizes: over whole numbers that follow from sizes, where it is spelt there.
        domain: of the operator set.
    """

    kind: str
    spell: Spelling
    of_sizes: Spelling | None = None
    domain: str = ""


def plain(kind: str, function: Callable[..., Any], of_sizes: Spelling | None = None) -> Spelt:
    """An operator that torch has under another name: all its inputs, no attributes."""
    return Spelt(kind, lambda call: call.do(function, *(call.operand(i) for i in range(len(call.inputs)))), of_sizes)


def same(array: Array, other: Any) -> bool:
    """Whether all numbers are one."""
    return bool(np.all(array == other))
