"""An ONNX operator that worked along an axis of a vector, made to work along the channels of a map.

Where the axis is spelt depends on the operator: an attribute, an input, or a position among numbers for all axes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from fullconv.errors import BrokenPromise
from fullconv.formats.onnx.editor import Editor

_BY_ATTRIBUTE = frozenset(
    {"ArgMax", "ArgMin", "Concat", "DequantizeLinear", "Gather", "Hardmax", "LogSoftmax", "LpNormalization",
     "LayerNormalization", "QuantizeLinear", "Softmax", "Split", "TopK"}
)  # fmt: skip
_REDUCTIONS = frozenset(
    {f"Reduce{how}" for how in ("L1", "L2", "Max", "Mean", "Min", "Prod", "Sum", "LogSum", "LogSumExp", "SumSquare")}
)
SETS_AXIS = _BY_ATTRIBUTE | _REDUCTIONS | {"Expand", "Pad", "Slice", "Tile"}
AXES_AS_INPUT = {
    "ReduceSum": 13,
    "Slice": 10,
    "Pad": 18,
    "Unsqueeze": 13,
}  # the operator set from which on axes are an input
_PADS_AS_INPUT = 11


def set_axis(
    work: Editor,
    node: ir.Node,
    axis: int,
    old: int | None,
    before: Sequence[int],
    after: Sequence[int],
    out: Sequence[int],
) -> None:
    """Let a node work along another axis.

    Args:
        axis, old: of its first input, now and as it was.
        before, after: shape of its first input, as it was and now.
        out: shape of its output now.

    Raises:
        BrokenPromise: the operator states its axis in a way that is not known here; a plan refuses such a node.
    """
    kind = node.op_type
    if kind in _BY_ATTRIBUTE:
        node.attributes["axis"] = ir.AttrInt64("axis", axis)
    elif kind in _REDUCTIONS:
        work.set_ints(node, "axes", 1, [axis], by_input=work.opset >= AXES_AS_INPUT.get(kind, 18))
    elif kind == "Slice":
        _slice(work, node, axis, old, len(before))
    elif kind == "Pad":
        _pad(work, node, axis, old, len(before), len(after))
    elif kind in ("Expand", "Tile"):  # of an axis of size 1 either says how long it becomes
        shape = [1] * len(after)
        shape[axis] = out[axis]
        node.replace_input_with(1, work.constant(f"{node.name}/shape", np.array(shape, np.int64)))
    else:
        raise BrokenPromise(f"{node.name}: the axis of {kind} is not one that can be set")


def _slice(work: Editor, node: ir.Node, axis: int, old: int | None, rank: int) -> None:
    """Only the cut along the axis is kept: a plan has no other that cuts anything."""
    starts, ends = work.ints(node, "starts", 1), work.ints(node, "ends", 2)
    axes, steps = work.ints(node, "axes", 3), work.ints(node, "steps", 4)
    assert starts is not None
    assert ends is not None
    axes = [i % rank for i in axes] if axes is not None else list(range(len(starts)))
    at = axes.index(old) if old is not None else 0
    by_input = work.opset >= AXES_AS_INPUT["Slice"]
    cut = {"starts": starts[at], "ends": ends[at], "axes": axis, "steps": 1 if steps is None else steps[at]}
    for i, (name, value) in enumerate(cut.items(), 1):
        if by_input or name != "steps":
            work.set_ints(node, name, i, [value], by_input)


def _pad(work: Editor, node: ir.Node, axis: int, old: int | None, rank: int, now: int) -> None:
    amounts = work.ints(node, "pads", 1)
    named = work.ints(node, "axes", 3)
    assert amounts is not None
    listed = [i % rank for i in named] if named is not None else list(range(rank))
    at = listed.index(old) if old is not None else 0
    pads = [0] * (2 * now)
    pads[axis], pads[axis + now] = amounts[at], amounts[at + len(listed)]
    work.set_ints(node, "pads", 1, pads, by_input=work.opset >= _PADS_AS_INPUT)
    if named is not None:
        work.set_ints(node, "axes", 3, list(range(now)), by_input=True)
