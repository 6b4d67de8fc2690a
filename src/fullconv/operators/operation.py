"""One operator with all that is known around it, whatever format it comes from.

Operators are spelt in ONNX's words: the other formats say which operator of ONNX theirs is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.graph.axes import Axes
from fullconv.graph.nodes import Linear, Opaque, Touch

Array = npt.NDArray[Any]
NEWEST = 21  # the operator set whose spelling other formats use


@dataclass(frozen=True)
class Operation:
    """An operator in its place.

    Attributes:
        kind: ONNX's name for it.
        names: of its inputs, None where one is left out.
        axes: of each input that carries the image's data, None for constants and absent inputs.
        shapes: of its outputs at training size.
        attributes: as ONNX has them.
        constants: numbers of the values that carry no data, by name.
        sized: names of values that follow from the image's size.
        opset: version of the spelling.
    """

    kind: str
    names: tuple[str | None, ...]
    axes: tuple[Axes | None, ...]
    shapes: tuple[tuple[int, ...], ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    constants: Mapping[str, Array] = field(default_factory=dict)
    sized: AbstractSet[str] = frozenset()
    opset: int = NEWEST

    @property
    def first(self) -> Axes:
        """Axes of the first input that carries data."""
        return next(axes for axes in self.axes if axes is not None)

    def attribute(self, name: str, default: Any = None) -> Any:
        found = self.attributes.get(name)
        if found is None:
            return default
        return list(found) if isinstance(found, Sequence) and not isinstance(found, str | bytes) else found

    def input(self, i: int) -> str | None:
        """Name of an input, None where it is left out."""
        return self.names[i] if i < len(self.names) else None

    def constant(self, i: int) -> Array | None:
        """The numbers of an input that does not carry data, at training size."""
        return self.constants.get(self.input(i) or "")

    def is_sized(self, i: int) -> bool:
        """Whether an input follows from the image's size."""
        return self.input(i) in self.sized

    def ints(self, attribute: str, i: int) -> list[int] | None:
        """Whole numbers from an attribute (older operator sets) or an input (newer ones)."""
        given = self.attribute(attribute)
        if given is not None:
            return [int(v) for v in given]
        values = self.constant(i)
        return None if values is None else [int(v) for v in np.ravel(values)]

    def shape(self, i: int = 0) -> tuple[int, ...]:
        """Shape of an output at training size."""
        return self.shapes[i]


@dataclass(frozen=True)
class Effect:
    """What a rule says of an operation."""

    touch: Touch
    outputs: tuple[Axes, ...]
    linear: Linear | None = None
    aligned: tuple[str, ...] = ()


def opaque(op: Operation, reason: str) -> Effect:
    """No rule fits; the axes behind are taken from the shapes, so that the rest can still be shown."""
    return Effect(Opaque(reason), tuple(Axes.image(shape) for shape in op.shapes))


def text(value: Any) -> str:
    """An attribute that is text, as bytes or not."""
    return value.decode() if isinstance(value, bytes) else str(value)
