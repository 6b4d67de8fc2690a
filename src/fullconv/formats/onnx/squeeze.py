"""A Squeeze that names no axes, as old exporters write it, drops the batch of one image too; here it keeps the batch.

The answer of one image is then (1, classes) instead of (classes,): what every other network gives, and what a cast can read.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from fullconv.formats.onnx.static import Static, input_name
from fullconv.operators import OPERATORS

_AXES_AS_INPUT = 13  # the operator set from which on Squeeze reads its axes from an input
_ALONG = ("Softmax", "LogSoftmax", "Hardmax")


def keep_batch(model: ir.Model, static: Static) -> bool:
    """Give every such Squeeze its axes, where all that reads it works on a vector with a batch as on one without; whether any was."""
    made = False
    for node in list(model.graph):
        if node.op_type != "Squeeze" or node.domain or "axes" in node.attributes or input_name(node, 1):
            continue
        shape, out = static.shapes.get(input_name(node, 0) or "", ()), node.outputs[0]
        rest = [i for i, size in enumerate(shape) if size == 1 and i]
        if shape[:1] != (1,) or len(shape) - len(rest) != 2 or str(out.name) not in static.flowing:
            continue
        readers = _behind(out, static)
        if readers is None:
            continue
        _set_axes(model, node, rest)
        for reader in readers:
            if reader.op_type in _ALONG:
                reader.attributes["axis"] = ir.AttrInt64("axis", 1)
        made = True
    return made


def _behind(value: ir.Value, static: Static) -> list[ir.Node] | None:
    """The nodes behind a vector, None where one of them would not do the same with a batch before it."""
    found = []
    for node in (use.node for use in value.uses()):
        others = [static.shapes.get(str(v.name), (0, 0, 0)) for v in node.inputs if v is not None and v is not value]
        record = OPERATORS.get(node.op_type)
        cellwise = record is not None and record.memory == "cellwise" and all(len(shape) <= 1 for shape in others)
        matrix = node.op_type == "MatMul" and node.inputs[0] is value and [len(shape) for shape in others] == [2]
        if not (cellwise or matrix or (node.op_type in _ALONG and not others)) or node.domain or len(node.outputs) != 1:
            return None
        further = _behind(node.outputs[0], static)
        if further is None:
            return None
        found += [node, *further]
    return found


def _set_axes(model: ir.Model, node: ir.Node, axes: list[int]) -> None:
    if model.opset_imports.get("", 0) < _AXES_AS_INPUT:
        node.attributes["axes"] = ir.AttrInt64s("axes", axes)
        return
    name = f"{node.name}/axes"
    value = ir.Value(name=name, const_value=ir.tensor(np.array(axes, np.int64), name=name))
    model.graph.register_initializer(value)
    node.resize_inputs(2)
    node.replace_input_with(1, value)
