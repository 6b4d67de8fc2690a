"""The network as casting sees it: names, touches and axes, no weights and no framework.

Every node touches space in one of four ways. Knowing which is enough to cast the network, to
compute its receptive field and to say where its map equals crop-by-crop answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from fullconv.graph.axes import SPACE, Axes, Axis, require


@dataclass(frozen=True, slots=True)
class Span:
    """A window along one axis. Lengths are in cells of the window's own input.

    output = floor((input + pad_before + pad_after + overhang - field) / stride) + 1 with
    field = (kernel - 1) · dilation + 1. Ceil-mode rounding is the ``overhang``: the extra cells past
    the padding that the last window may reach. A stride below one (1/s) is a transposed
    convolution: output = (input - 1) · s + field - pad_before - pad_after.
    """

    kernel: int = 1
    stride: Fraction = Fraction(1)
    dilation: int = 1
    pad_before: int = 0
    pad_after: int = 0
    overhang: int = 0

    def __post_init__(self) -> None:
        require(self.kernel >= 1, f"a window of {self.kernel} cells: it must be at least 1")
        require(self.dilation >= 1, f"a window with dilation {self.dilation}: it must be at least 1")
        require(self.overhang >= 0, f"a window with an overhang of {self.overhang}: it must be at least 0")
        whole = self.stride > 0 and 1 in (Fraction(self.stride).numerator, Fraction(self.stride).denominator)
        require(whole, f"a window with stride {self.stride}: it must be a whole number or one over a whole number")

    @property
    def field(self) -> int:
        """Cells from the window's first to its last, both counted."""
        return (self.kernel - 1) * self.dilation + 1


@dataclass(frozen=True, slots=True)
class Pointwise:
    """An output cell reads the same cell of its inputs.

    Attributes:
        axis: the axis of the first input that the operator works along, counted from the first (None: no such axis).
        flat: it runs over everything behind the batch; on a map it must be told to run over channels.
        trailing: it runs over its axis and all behind it, so that on a map the channels must come last.
        from_end: the file spells the axis so that it is another one when the rank changes: counted from the end, or by a
            position among all axes (amounts of a Pad).
    """

    axis: int | None = None
    flat: bool = False
    trailing: bool = False
    from_end: bool = False

    def __post_init__(self) -> None:
        require(self.axis is None or self.axis >= 0, f"axis {self.axis}: it is counted from the first")
        require(not self.trailing or self.axis is not None, "an operator over its axis and all behind it has an axis")


@dataclass(frozen=True, slots=True)
class Window:
    """An output cell reads a window of its input.

    Attributes:
        like: index of the input whose size the output takes (a crop), or None.
        auto: its padding or its kernel follows the input's size (SAME); the spans hold it at training size.
        divides: the input's size must be a multiple of the stride (blocks of cells as channels).
    """

    y: Span
    x: Span
    like: int | None = None
    auto: bool = False
    divides: bool = False

    def __post_init__(self) -> None:
        require(self.like is None or self.like >= 0, f"a window as large as input {self.like}, which there is not")


@dataclass(frozen=True, slots=True)
class Whole:
    """An output reads the whole map.

    Attributes:
        how: ``linear`` a weight matrix, ``mean`` and ``max`` a global pool, ``statistics`` a
            normalisation over the map that keeps its shape, ``shift`` a maximum that is taken off the scores of a softmax
            over positions, which moves nothing; ``other`` what has no sliding form.
        reason: for ``other``, why not.
        over: which sides of the map a pool takes together.
    """

    how: Literal["linear", "mean", "max", "statistics", "shift", "other"]
    reason: str = ""
    over: tuple[str, ...] = ("h", "w")

    def __post_init__(self) -> None:
        kinds = ("linear", "mean", "max", "statistics", "shift", "other")
        require(self.how in kinds, f"the whole map by {self.how!r}, which is none of {', '.join(kinds)}")
        known = bool(self.over) and set(self.over) <= set(SPACE) and len(set(self.over)) == len(self.over)
        require(known, f"a pool over {self.over}, which are no sides of a map")


@dataclass(frozen=True, slots=True)
class Layout:
    """Values move, none changes.

    Attributes:
        fixed: it states height or width as numbers, which hold at training size only.
    """

    fixed: bool = False


@dataclass(frozen=True, slots=True)
class Opaque:
    """A node that the reader cannot place, with the reason."""

    reason: str

    def __post_init__(self) -> None:
        require(bool(self.reason), "a node that cannot be placed says why")


Touch = Pointwise | Window | Whole | Layout | Opaque


@dataclass(frozen=True, slots=True)
class Linear:
    """A weight matrix (outputs, size of ``over``): what an InnerProduct or Gemm contracts."""

    outputs: int
    over: Axis

    def __post_init__(self) -> None:
        require(self.outputs >= 1, f"a weight matrix with {self.outputs} outputs")


@dataclass(frozen=True, slots=True)
class Node:
    """One operator. ``op`` is the format's own name for it and only for people to read.

    ``aligned`` are constants that broadcast along a vector's last axis; on a map they must be laid along channels.
    """

    name: str
    op: str = field(compare=False)
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    touch: Touch
    linear: Linear | None = None
    aligned: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require(bool(self.name), "a node without a name")
        require(bool(self.outputs), f"{self.name} writes no value")
        require(len(set(self.outputs)) == len(self.outputs), f"{self.name} writes a value twice")
        like = self.touch.like if isinstance(self.touch, Window) else None
        require(like is None or like < len(self.inputs), f"{self.name} has no input {like}")
        moves = isinstance(self.touch, Window | Whole | Layout)
        require(bool(self.inputs) or not moves, f"{self.name} reads no value")


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes in an order in which they can run; every value with its axes at training size."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    values: Mapping[str, Axes]

    def __post_init__(self) -> None:
        for names, what in ((self.inputs, "input"), (self.outputs, "output")):
            twice = next((name for name in names if names.count(name) > 1), None)
            require(twice is None, f"{what} {twice!r} is named twice")

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def producer(self, value: str) -> Node | None:
        return next((node for node in self.nodes if value in node.outputs), None)

    def consumers(self, value: str) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if value in node.inputs)

    @property
    def image(self) -> str | None:
        """The input that is a map: the first with height and width."""
        return next((name for name in self.inputs if self.values[name].is_map), None)

    def difference(self, other: Graph) -> str | None:
        """The first thing in which two graphs differ, in words, or None."""
        for mine, theirs in zip(self.nodes, other.nodes, strict=False):
            if mine != theirs:
                return f"node {mine} is not {theirs}"
        if len(self.nodes) != len(other.nodes):
            return f"{len(self.nodes)} nodes are not {len(other.nodes)}"
        for name in ("inputs", "outputs"):
            if getattr(self, name) != getattr(other, name):
                return f"{name} {getattr(self, name)} are not {getattr(other, name)}"
        for value, axes in self.values.items():
            if other.values.get(value) != axes:
                return f"{value}: {axes} {axes.shape} is not {other.values.get(value)}"
        return None
