"""One operator with all that is known around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from fullconv.axes import Axes
from fullconv.formats.onnx.static import Static
from fullconv.graph import Linear, Opaque, Touch

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Site:
    """An operator: ``axes`` of each input that carries the image's data, None for constants and absent inputs."""

    node: ir.Node
    axes: tuple[Axes | None, ...]
    static: Static
    opset: int

    @property
    def first(self) -> Axes:
        """Axes of the first input that carries data."""
        return next(axes for axes in self.axes if axes is not None)

    def attribute(self, name: str, default: Any = None) -> Any:
        found = self.node.attributes.get(name)
        if found is None:
            return default
        return (
            list(found.value) if isinstance(found.value, Sequence) and not isinstance(found.value, str) else found.value
        )

    def input(self, i: int) -> str | None:
        """Name of an input, None where it is left out."""
        return input_name(self.node, i)

    def constant(self, i: int) -> Array | None:
        """The numbers of an input that does not carry data, at training size."""
        return self.static.constants.get(self.input(i) or "")

    def is_sized(self, i: int) -> bool:
        """Whether an input follows from the image's size."""
        return self.input(i) in self.static.sized

    def ints(self, attribute: str, i: int) -> list[int] | None:
        """Whole numbers from an attribute (older operator sets) or an input (newer ones)."""
        given = self.attribute(attribute)
        if given is not None:
            return [int(v) for v in given]
        values = self.constant(i)
        return None if values is None else [int(v) for v in np.ravel(values)]

    def shape(self, i: int = 0) -> tuple[int, ...]:
        """Shape of an output at training size."""
        return self.static.shapes[str(self.node.outputs[i].name)]


def input_name(node: ir.Node, i: int) -> str | None:
    """Name of a node's input, None where it is left out."""
    value = node.inputs[i] if i < len(node.inputs) else None
    return None if value is None else str(value.name)


@dataclass(frozen=True)
class Told:
    """What a rule says of a site."""

    touch: Touch
    outputs: tuple[Axes, ...]
    linear: Linear | None = None
    aligned: tuple[str, ...] = ()


def opaque(site: Site, reason: str) -> Told:
    """No rule fits; the axes behind are taken from the shapes, so that the rest can still be shown."""
    return Told(Opaque(reason), tuple(Axes.image(site.shape(i)) for i in range(len(site.node.outputs))))
