"""The edits of which a plan consists. Each names a node, says why, and is applied by the format."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fractions import Fraction
from math import prod
from typing import Any

from fullconv.graph.axes import FlattenOrder, require
from fullconv.graph.nodes import Span


def _dims(shape: tuple[int, ...]) -> str:
    return "(" + ", ".join(map(str, shape)) + ")"


def _permutes(order: tuple[int, ...]) -> None:
    require(sorted(order) == list(range(len(order))), f"{_dims(order)} is no order of {len(order)} axes")


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

    def __post_init__(self) -> None:
        require(min(self.outputs, self.channels, *self.kernel) >= 1, f"{self.node}: a kernel of {_dims(self.weights)}")
        _permutes(self.order.permutation)
        laid = prod(self.order.sizes)
        require(
            laid == self.matrix[1],
            f"{self.node}: columns laid out as {_dims(self.order.sizes)} are {laid}, not {self.matrix[1]}",
        )

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

    def __post_init__(self) -> None:
        require(min(self.kernel) >= 1, f"{self.node}: a window of {_dims(self.kernel)}")

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
class RenameValue:
    """A value takes the name of the output that it now is."""

    value: str
    becomes: str
    reason: str

    @property
    def node(self) -> str:
        """Values are not nodes; the edit is told by the value's name."""
        return self.value

    def __str__(self) -> str:
        return f"{self.value} is the output {self.becomes}"


@dataclass(frozen=True, slots=True)
class SetAxis:
    """An axis counted from the end, or left out, is spelt as the channel axis of a map."""

    node: str
    axis: int
    reason: str

    def __post_init__(self) -> None:
        require(self.axis >= 1, f"{self.node}: axis {self.axis} holds no channels")

    def __str__(self) -> str:
        return f"{self.node} axis -> {self.axis}"


@dataclass(frozen=True, slots=True)
class FreeShape:
    """A reshape keeps height and width, and gets them from its input instead of as numbers.

    Attributes:
        shape: numbers of the new shape, 0 where a dimension is the input's.
        sources: for each new axis the input's axis that it copies, or -1.
        added: places of axes of one, where those are all that it adds.
    """

    node: str
    shape: tuple[int, ...]
    sources: tuple[int, ...]
    reason: str
    added: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        stated = all((size >= 1) == (source < 0) for size, source in zip(self.shape, self.sources, strict=False))
        same = len(self.shape) == len(self.sources)
        require(same and stated, f"{self.node}: a shape of {_dims(self.shape)} from the axes {_dims(self.sources)}")

    def __str__(self) -> str:
        told = (
            str(size) if source < 0 else f"input {source}"
            for size, source in zip(self.shape, self.sources, strict=True)
        )
        return f"{self.node} shape -> ({', '.join(told)})"


@dataclass(frozen=True, slots=True)
class GlobalToLocal:
    """A pool over the whole map that gates the map pools the training-size window around each cell.

    The window slides at stride 1; cells at the border take the nearest full window, so that the map keeps its size.
    """

    node: str
    kernel: tuple[int, int]
    pads: tuple[int, int, int, int]  # top, left, bottom, right
    reason: str

    def __post_init__(self) -> None:
        top, left, bottom, right = self.pads
        keeps = (top + bottom + 1, left + right + 1) == self.kernel and min(self.pads) >= 0
        require(
            keeps,
            f"{self.node}: a window of {_dims(self.kernel)} with edges of {_dims(self.pads)} moves the map's size",
        )

    def __str__(self) -> str:
        return f"{self.node} global pool -> {self.kernel[0]}×{self.kernel[1]} pool around each cell"


@dataclass(frozen=True, slots=True)
class SampleGate:
    """A gate that acts at a coarser step than it was pooled at is read at every s-th of its cells, along one axis.

    Attributes:
        node, value: which node reads which value so.
        becomes: the name of the cells that it reads instead.
        axis: height's or width's in the value.
        first, behind, step: the first cell read, those left out at the end (0 or below), and the step.
    """

    node: str
    value: str
    becomes: str
    axis: int
    first: int
    behind: int
    step: int
    reason: str

    def __post_init__(self) -> None:
        cells = f"cells {self.first} to {self.behind} by {self.step}"
        require(self.axis >= 1, f"{self.node}: axis {self.axis} is neither height nor width")
        require(self.first >= 0 >= self.behind and self.step >= 1, f"{self.node}: {cells} are none of a gate's")

    def __str__(self) -> str:
        return f"{self.node} reads {self.value} at every {self.step} cells of axis {self.axis}"


@dataclass(frozen=True, slots=True)
class AlignConstants:
    """Constants that ran along a vector run along the channels of a map.

    Attributes:
        behind: axes of positions behind those that the constants run along, which have height and width instead.
    """

    node: str
    constants: tuple[str, ...]
    reason: str
    behind: int = 0

    def __post_init__(self) -> None:
        require(bool(self.constants), f"{self.node}: no constants to lay along channels")

    def __str__(self) -> str:
        return f"{self.node}: {', '.join(self.constants)} laid along channels"


@dataclass(frozen=True, slots=True)
class FixWindow:
    """A window that followed the input's size (SAME padding, an adaptive pool) stays what it was at training size."""

    node: str
    kernel: tuple[int, int]
    stride: tuple[Fraction, Fraction]
    pads: tuple[int, int, int, int]  # top, left, bottom, right
    reason: str

    def __post_init__(self) -> None:
        require(min(self.kernel) >= 1, f"{self.node}: a window of {_dims(self.kernel)}")
        require(min(self.stride) > 0, f"{self.node}: a stride of {self.stride[0]}×{self.stride[1]}")

    def __str__(self) -> str:
        steps = f"{self.stride[0]}×{self.stride[1]}"
        return f"{self.node} -> window {self.kernel[0]}×{self.kernel[1]}, stride {steps}, pads {_dims(self.pads)}"


@dataclass(frozen=True, slots=True)
class ToChannelsFirst:
    """A map of another layout is transposed to (n, c, h, w) for the window that reads it."""

    node: str
    value: str
    permutation: tuple[int, ...]
    reason: str

    def __post_init__(self) -> None:
        _permutes(self.permutation)

    def __str__(self) -> str:
        return f"{self.node} reads {self.value} transposed by {_dims(self.permutation)}"


@dataclass(frozen=True, slots=True)
class SetWindow:
    """A window of a finer map: another stride, dilation and padding."""

    node: str
    y: Span
    x: Span
    reason: str

    def __str__(self) -> str:
        y, x = self.y, self.x
        steps = f"{y.stride}" if y.stride == x.stride else f"{y.stride}×{x.stride}"
        wide = f"{y.dilation}" if y.dilation == x.dilation else f"{y.dilation}×{x.dilation}"
        return f"{self.node} -> stride {steps}, dilation {wide}"


@dataclass(frozen=True, slots=True)
class FromChannelsFirst:
    """What a window made in (n, c, h, w) is transposed back to the layout that its readers expect."""

    node: str
    value: str
    permutation: tuple[int, ...]
    reason: str

    def __post_init__(self) -> None:
        _permutes(self.permutation)

    def __str__(self) -> str:
        return f"{self.node} answers with {self.value} transposed by {_dims(self.permutation)}"


@dataclass(frozen=True, slots=True)
class SetOrder:
    """A layout node of a vector orders the axes of the map that the vector became."""

    node: str
    permutation: tuple[int, ...]
    reason: str

    def __post_init__(self) -> None:
        _permutes(self.permutation)

    def __str__(self) -> str:
        return f"{self.node} -> transposed by {_dims(self.permutation)}"


@dataclass(frozen=True, slots=True)
class ChannelsLast:
    """An operator that runs over its axis and all behind it is put between two transposes."""

    node: str
    there: tuple[int, ...]
    back: tuple[int, ...]
    reason: str

    def __post_init__(self) -> None:
        _permutes(self.there)
        undoes = tuple(self.there.index(i) for i in range(len(self.there)))
        require(self.back == undoes, f"{self.node}: {_dims(self.back)} does not undo {_dims(self.there)}")

    def __str__(self) -> str:
        return f"{self.node} runs on channels last, between transposes"


Edit = (
    LinearToConv
    | GlobalToSliding
    | GlobalToLocal
    | SampleGate
    | RemoveLayout
    | RenameValue
    | SetAxis
    | FreeShape
    | AlignConstants
    | FixWindow
    | FromChannelsFirst
    | SetOrder
    | SetWindow
    | ToChannelsFirst
    | ChannelsLast
)


def _plain(value: Any) -> Any:
    """Fractions as text, so that nothing is rounded."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, tuple) and any(isinstance(v, Fraction) for v in value):
        return [str(v) for v in value]
    return str(value) if isinstance(value, Fraction) else value


def to_json(edit: Edit) -> dict[str, Any]:
    """The edit's fields under its kind."""
    fields = {name: _plain(value) for name, value in asdict(edit).items()}
    return {"edit": type(edit).__name__, **fields, "text": str(edit)}
