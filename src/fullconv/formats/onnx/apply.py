"""Applying a plan to an ONNX model: nodes replaced in a copy, weights reshaped, shapes set free."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from fullconv.errors import BrokenPromise, CannotCast, Refusal
from fullconv.formats.kernel import along_channels, kernel_of
from fullconv.formats.onnx.axis import AXES_AS_INPUT, set_axis
from fullconv.formats.onnx.editor import Editor, attribute
from fullconv.formats.onnx.network import OnnxNet, understand
from fullconv.formats.onnx.sampled import record
from fullconv.operators.moving import END
from fullconv.surgery.edit import (
    AlignConstants,
    ChannelsLast,
    FixWindow,
    FreeShape,
    FromChannelsFirst,
    GlobalToLocal,
    GlobalToSliding,
    LinearToConv,
    RemoveLayout,
    RenameValue,
    SampleGate,
    SetAxis,
    SetOrder,
    ToChannelsFirst,
)
from fullconv.surgery.plan import Plan

STEPS = 10  # the operator set from which on a Slice has them
Array = npt.NDArray[Any]


def apply(net: OnnxNet, plan: Plan) -> OnnxNet:
    """A new network with every edit of the plan made; ``net`` is not changed."""
    assert plan.predicted is not None, "a plan with refusals is not applied"
    work = Editor(net)
    for edit in plan.edits:
        if type(edit) not in EDITS:
            raise BrokenPromise(f"{edit}: ONNX has no such edit")
        if isinstance(edit, RenameValue):
            value = work.values[edit.value]
            value.name = edit.becomes
            work.values[edit.becomes] = value
        elif isinstance(edit, SetAxis):
            _set_axis(work, work.nodes[edit.node], edit, plan)
        else:
            _HOW[type(edit)](work, work.nodes[edit.node], edit)
    model = work.finish(plan.predicted)
    record(model, plan.predicted, plan.predicted)
    return replace(understand(model, net.source, net.inputs), is_cast=True)


def _convolve(work: Editor, node: ir.Node, edit: LinearToConv) -> None:
    gemm = node.op_type == "Gemm"
    matrix, bias = work.numbers(node, 1), work.numbers(node, 2) if gemm else None
    assert matrix is not None, "the plan found a matrix"
    turned = not (gemm and attribute(node, "transB", 0))
    inputs = [work.values[edit.input], _kernel(work, node, matrix, edit, turned)]
    if bias is not None:
        full = np.broadcast_to(_times(bias.reshape(-1), node, "beta"), (edit.outputs,))
        inputs.append(work.weights(node, 2, np.ascontiguousarray(full)))
    work.replace(node, "Conv", inputs, {"kernel_shape": list(edit.kernel)}, edit.becomes)


def _kernel(work: Editor, node: ir.Node, matrix: Array, edit: LinearToConv, turned: bool) -> ir.Value:
    """The matrix as a kernel; where it is dequantised, the whole numbers stay what they are and are reshaped."""
    stored = node.inputs[1].producer() if node.inputs[1] is not None else None
    plain = float(attribute(node, "alpha", 1.0)) == 1
    if stored is not None and stored.op_type == "DequantizeLinear" and plain:
        whole, scale = work.numbers(stored, 0), work.numbers(stored, 1)
        outputs = 1 if turned else 0  # the axis of the matrix that is the kernel's first
        by_output = scale is not None and (scale.size == 1 or attribute(stored, "axis", 1) % 2 == outputs)
        if whole is not None and by_output and not attribute(stored, "block_size", 0):
            kernel = np.ascontiguousarray(kernel_of(whole.T if turned else whole, edit))
            parts = [work.weights(stored, 0, kernel), *stored.inputs[1:]]
            attributes = {**{n: a.value for n, a in stored.attributes.items()}, "axis": 0}
            made = work.insert(node, "DequantizeLinear", parts, attributes, f"{stored.name}/{node.name}")
            made.name = f"{node.name}/kernel"
            return made
    rows = matrix.T if turned else matrix
    return work.weights(node, 1, np.ascontiguousarray(kernel_of(_times(rows, node, "alpha"), edit)))


def _slide(work: Editor, node: ir.Node, edit: GlobalToSliding) -> None:
    _pool(work, node, edit.kernel)


def _pool(work: Editor, node: ir.Node, kernel: tuple[int, int]) -> ir.Node:
    kind = "MaxPool" if "Max" in node.op_type else "AveragePool"
    source = node.inputs[0]
    assert source is not None
    return work.replace(node, kind, [source], {"kernel_shape": list(kernel), "strides": [1, 1]}, str(node.name))


def _pool_around(work: Editor, node: ir.Node, edit: GlobalToLocal) -> None:
    pool = _pool(work, node, edit.kernel)
    pads = [0, 0, *edit.pads[:2], 0, 0, *edit.pads[2:]]
    edges = ir.node("Pad", [pool.outputs[0]], {"mode": "edge"}, name=f"{node.name}/edges")
    work.set_ints(edges, "pads", 1, pads, by_input=work.opset >= 11)
    work.behind(pool, [edges], f"{pool.outputs[0].name}/window")


def _sample(work: Editor, node: ir.Node, edit: SampleGate) -> None:
    if work.opset < STEPS:
        reason = f"a Slice has steps from operator set {STEPS} on, the file has {work.opset}: onnx.version_converter raises it"
        raise CannotCast(f"{edit}: not in this operator set", [Refusal(edit.node, reason)])
    value, behind = work.values[edit.value], edit.behind or END
    cut = {"starts": edit.first, "ends": behind, "axes": edit.axis, "steps": edit.step}
    parts = [work.constant(f"{edit.becomes}/{name}", np.array([number], np.int64)) for name, number in cut.items()]
    made = work.insert(node, "Slice", [value, *parts], {}, edit.becomes)
    for i, read in enumerate(node.inputs):
        if read is value:
            node.replace_input_with(i, made)


def _remove(work: Editor, node: ir.Node, edit: RemoveLayout) -> None:
    work.remove(node, work.values[edit.becomes])


def _set_axis(work: Editor, node: ir.Node, edit: SetAxis, plan: Plan) -> None:
    assert plan.predicted is not None
    graph, touch = plan.predicted, work.touches[edit.node]
    made = next(n for n in graph if n.name == edit.node)
    before = plan.graph.values[next(n for n in plan.graph if n.name == edit.node).inputs[0]]
    old = getattr(touch, "axis", None)
    after, out = graph.values[made.inputs[0]], graph.values[made.outputs[0]]
    set_axis(work, node, edit.axis, old, before.shape, after.shape, out.shape)


def _align(work: Editor, node: ir.Node, edit: AlignConstants) -> None:
    if node.op_type not in ALIGNED:
        raise BrokenPromise(f"{edit}: {node.op_type} does not lay its constants along axes by broadcasting")
    for i, value in enumerate(node.inputs):
        if value is not None and value.name in edit.constants:
            numbers = work.numbers(node, i)
            assert numbers is not None, "the plan found a constant"
            node.replace_input_with(
                i, work.weights(node, i, numbers.reshape(along_channels(numbers.shape, edit.behind)))
            )


def _free_shape(work: Editor, node: ir.Node, edit: FreeShape) -> None:
    if edit.added:
        source = node.inputs[0]
        assert source is not None
        made = work.replace(node, "Unsqueeze", [source], {}, str(node.name))
        work.set_ints(made, "axes", 1, edit.added, by_input=work.opset >= AXES_AS_INPUT["Unsqueeze"])
        return
    if node.op_type != "Reshape":
        source = node.inputs[0]
        assert source is not None
        shape = work.constant(f"{node.name}/shape", np.array(edit.shape, np.int64))
        node = work.replace(node, "Reshape", [source, shape], {}, str(node.name))
    if all(source in (-1, i) for i, source in enumerate(edit.sources)):
        shape = work.constant(f"{node.name}/shape", np.array(edit.shape, np.int64))
        node.attributes.pop("allowzero", None)
    else:  # dimensions that move: read the input's shape
        shape = _moved_shape(work, node, edit)
    node.replace_input_with(1, shape)


def _moved_shape(work: Editor, node: ir.Node, edit: FreeShape) -> ir.Value:
    """The new shape as a value, its height and width read from the input's."""
    stem, parts = f"{node.name}/shape", list[ir.Value]()
    known = work.insert(node, "Shape", [node.inputs[0]], {}, f"{stem}/of")
    for i, (size, axis) in enumerate(zip(edit.shape, edit.sources, strict=True)):
        number = work.constant(f"{stem}/{i}", np.array([size if axis < 0 else axis], np.int64))
        read = axis >= 0
        parts.append(work.insert(node, "Gather", [known, number], {"axis": 0}, f"{stem}/part{i}") if read else number)
    return work.insert(node, "Concat", parts, {"axis": 0}, stem)


def _fix_window(work: Editor, node: ir.Node, edit: FixWindow) -> None:
    if node.op_type == "Resize":  # to a size: by the factors that it was at training size
        scales = np.array([1, 1, *(float(1 / step) for step in edit.stride)], np.float32)
        node.resize_inputs(3)
        node.replace_input_with(2, work.constant(f"{node.name}/scales", scales))
        return
    node.attributes.pop("auto_pad", None)
    node.attributes["pads"] = ir.AttrInt64s("pads", list(edit.pads))


def _set_order(work: Editor, node: ir.Node, edit: SetOrder) -> None:
    source = node.inputs[0]
    assert source is not None
    work.replace(node, "Transpose", [source], {"perm": list(edit.permutation)}, str(node.name))


def _from_channels_first(work: Editor, node: ir.Node, edit: FromChannelsFirst) -> None:
    value = work.values[edit.value]
    made = value.producer()
    assert made is not None
    back = ir.node("Transpose", [value], {"perm": list(edit.permutation)}, name=f"{node.name}/back")
    work.behind(made, [back], f"{edit.value}/channels_first")


def _channels_first(work: Editor, node: ir.Node, edit: ToChannelsFirst) -> None:
    name = f"{edit.value}/channels_first/{node.name}"
    moved = work.insert(node, "Transpose", [work.values[edit.value]], {"perm": list(edit.permutation)}, name)
    node.replace_input_with(0, moved)


def _channels_last(work: Editor, node: ir.Node, edit: ChannelsLast) -> None:
    moved = work.insert(node, "Transpose", [node.inputs[0]], {"perm": list(edit.there)}, f"{node.name}/channels_last")
    node.replace_input_with(0, moved)
    node.attributes["axis"] = ir.AttrInt64("axis", len(edit.there) - 1)
    back = ir.node("Transpose", [node.outputs[0]], {"perm": list(edit.back)}, name=f"{node.name}/channels_first")
    work.behind(node, [back], f"{node.name}/over_channels")


def _times(values: Array, node: ir.Node, name: str) -> Array:
    """Values times a Gemm's alpha or beta, which a convolution does not have."""
    factor = float(attribute(node, name, 1.0))
    return values if factor == 1 else values * values.dtype.type(factor)


_HOW: Mapping[type, Callable[[Editor, ir.Node, Any], None]] = {
    AlignConstants: _align,
    ChannelsLast: _channels_last,
    FixWindow: _fix_window,
    FreeShape: _free_shape,
    FromChannelsFirst: _from_channels_first,
    GlobalToLocal: _pool_around,
    GlobalToSliding: _slide,
    LinearToConv: _convolve,
    RemoveLayout: _remove,
    SampleGate: _sample,
    SetOrder: _set_order,
    ToChannelsFirst: _channels_first,
}
EDITS = frozenset({*_HOW, RenameValue, SetAxis})  # what a plan for ONNX may hold

# Operators whose constants broadcast, so that laying them along another axis is a matter of their shape.
ALIGNED = frozenset(
    {"Add", "And", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Mean", "Min", "Mod", "Mul",
     "Or", "PRelu", "Pow", "Sub", "Sum", "Where", "Xor"}
)  # fmt: skip
