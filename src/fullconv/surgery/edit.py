"""The edits of which a plan consists. Each names a node, says why, and is applied by the format."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from fullconv.axes import FlattenOrder


def _dims(shape: tuple[int, ...]) -> str:
    return "(" + ", ".join(map(str, shape)) + ")"


@dataclass(frozen=True, slots=True)
class LinearToConv:
    """A weight matrix becomes a convolution of the map that it was trained on.

    Attributes:
        node, becomes: the node's name before and after.
        order: how the matrix's columns are laid out, and the way to channels, y, x.
        outputs, channels, kernel: the convolution's weights are (outputs, channels, *kernel).
        input: the value that the convolution reads, behind any layout nodes that went away.
    """

    node: str
    becomes: str
    order: FlattenOrder
    outputs: int
    channels: int
    kernel: tuple[int, int]
    input: str
    reason: str

    @property
    def matrix(self) -> tuple[int, int]:
        return self.outputs, self.channels * self.kernel[0] * self.kernel[1]

    @property
    def weights(self) -> tuple[int, int, int, int]:
        return self.outputs, self.channels, *self.kernel

    def __str__(self) -> str:
        return f"{self.node} {_dims(self.matrix)} -> {self.becomes} {_dims(self.weights)}"


@dataclass(frozen=True, slots=True)
class GlobalToSliding:
    """A pool over the whole map becomes a pool over the training-size window at stride 1."""

    node: str
    kernel: tuple[int, int]
    reason: str

    def __str__(self) -> str:
        return f"{self.node} global pool -> {self.kernel[0]}×{self.kernel[1]} pool, stride 1"


@dataclass(frozen=True, slots=True)
class RemoveLayout:
    """A flatten goes away: ``value`` becomes ``becomes``, which stays a map."""

    node: str
    value: str
    becomes: str
    reason: str

    def __str__(self) -> str:
        return f"{self.node} removed: {self.value} is now the map {self.becomes}"


@dataclass(frozen=True, slots=True)
class SetAxis:
    """An axis counted from the end, or left out, is spelt as the channel axis of a map."""

    node: str
    axis: int
    reason: str

    def __str__(self) -> str:
        return f"{self.node} axis -> {self.axis}"


@dataclass(frozen=True, slots=True)
class FreeShape:
    """A reshape that kept height and width gets them from its input instead of as numbers."""

    node: str
    shape: tuple[int, ...]  # 0 copies the input's dimension
    reason: str

    def __str__(self) -> str:
        return f"{self.node} shape -> {_dims(self.shape)}, 0 as in its input"


Edit = LinearToConv | GlobalToSliding | RemoveLayout | SetAxis | FreeShape


def to_json(edit: Edit) -> dict[str, Any]:
    """The edit's fields under its kind."""
    return {"edit": type(edit).__name__, **asdict(edit), "text": str(edit)}
