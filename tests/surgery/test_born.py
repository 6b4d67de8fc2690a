"""Values are checked where they are born: what cannot be is never made, and the message says what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction as F

import pytest

from fullconv.geometry.axis import Extent
from fullconv.geometry.field import Field
from fullconv.geometry.grid import Grid, Sampling
from fullconv.graph.axes import Atom, FlattenOrder, Impossible
from fullconv.graph.nodes import Graph, Linear, Node, Opaque, Pointwise, Span, Whole, Window
from fullconv.surgery.edit import (
    AlignConstants,
    ChannelsLast,
    FixWindow,
    FreeShape,
    GlobalToLocal,
    GlobalToSliding,
    LinearToConv,
    SetAxis,
    SetOrder,
)

_FIELD = Field(Extent(), Extent())
_ONE = (F(1), F(1))

WRONG: dict[str, Callable[[], object]] = {
    "a window of 0 cells": lambda: Span(kernel=0),
    "a window with dilation 0": lambda: Span(dilation=0),
    "a window with stride 0": lambda: Span(stride=F(0)),
    "a window with stride -1": lambda: Span(stride=F(-1)),
    "a window with stride 2/3": lambda: Span(stride=F(2, 3)),
    "an overhang of -1": lambda: Span(overhang=-1),
    "as large as input -1": lambda: Window(Span(), Span(), like=-1),
    "has no input 1": lambda: Node("crop", "Crop", ("a",), ("b",), Window(Span(), Span(), like=1)),
    "axis -1": lambda: Pointwise(axis=-1),
    "all behind it has an axis": lambda: Pointwise(trailing=True),
    "by 'median'": lambda: Whole("median"),  # type: ignore[arg-type]
    "no sides of a map": lambda: Whole("mean", over=()),
    "which are no sides": lambda: Whole("mean", over=("h", "h")),
    "says why": lambda: Opaque(""),
    "with 0 outputs": lambda: Linear(0, ()),
    "without a name": lambda: Node("", "Relu", ("a",), ("b",), Pointwise()),
    "writes no value": lambda: Node("relu", "Relu", ("a",), (), Pointwise()),
    "writes a value twice": lambda: Node("split", "Split", ("a",), ("b", "b"), Pointwise()),
    "reads no value": lambda: Node("pool", "MaxPool", (), ("b",), Window(Span(), Span())),
    "input 'a' is named twice": lambda: Graph(("a", "a"), ("a",), (), {}),
    "output 'a' is named twice": lambda: Graph(("a",), ("a", "a"), (), {}),
    "an atom of -1": lambda: Atom("c", -1, 4),
    "a field of 0": lambda: Extent(size=F(0)),
    "steps by 0": lambda: Extent(stride=F(0)),
    "a stride of 0": lambda: Sampling((F(0), F(1)), _ONE, _FIELD),
    "a crop of 1×0": lambda: Sampling(_ONE, (F(1), F(0)), _FIELD),
    "-1×2 cells": lambda: Grid(-1, 2, _ONE, _ONE, _ONE, _ONE, (4, 4)),
    "0×4 pixels": lambda: Grid(1, 2, _ONE, _ONE, _ONE, _ONE, (0, 4)),
    "grid with a crop": lambda: Grid(1, 2, _ONE, (F(-1), F(1)), _ONE, _ONE, (4, 4)),
    "a kernel of": lambda: LinearToConv("fc", "fc", FlattenOrder((4,), (0,)), 0, 4, (1, 1), "x", ""),
    "are 4, not 8": lambda: LinearToConv("fc", "fc", FlattenOrder((4,), (0,)), 3, 8, (1, 1), "x", ""),
    "is no order": lambda: SetOrder("t", (0, 2), ""),
    "does not undo": lambda: ChannelsLast("s", (0, 2, 3, 1), (0, 2, 3, 1), ""),
    "a window of (0, 2)": lambda: GlobalToSliding("p", (0, 2), ""),
    "moves the map's size": lambda: GlobalToLocal("p", (3, 3), (1, 1, 1, 0), ""),
    "holds no channels": lambda: SetAxis("s", 0, ""),
    "from the axes": lambda: FreeShape("r", (0, 4), (0, 1), ""),
    "no constants": lambda: AlignConstants("a", (), ""),
    "a stride of 0×1": lambda: FixWindow("p", (1, 1), (F(0), F(1)), (0, 0, 0, 0), ""),
}


@pytest.mark.parametrize("told", WRONG)
def test_what_cannot_be_is_never_made(told: str) -> None:
    with pytest.raises(Impossible) as error:
        WRONG[told]()
    assert told in str(error.value)
