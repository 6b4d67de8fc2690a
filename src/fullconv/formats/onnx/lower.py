"""An ONNX model as the graph that runs it: its own nodes, its large weights kept out of the message."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
from onnx import NodeProto, TensorProto, helper, numpy_helper

from fullconv.runtimes.lowered import Lowered

_ROUNDS = 12  # the operator set in which Round and today's Clip are
_BOUND = 1024  # numbers from which on weights are bound to the engine instead of written into its message


def lower_model(model: ir.Model, inputs: Mapping[str, tuple[int, ...]], free: tuple[int, ...] = ()) -> Lowered:
    """Lower a model for inputs of these shapes, of which the ``free`` axes may be of any size."""
    weights, constants = {}, []
    for name, value in model.graph.initializers.items():
        tensor = value.const_value
        if tensor is None:
            continue
        if tensor.dtype == ir.DataType.FLOAT and tensor.size > _BOUND:
            weights[name] = tensor.numpy()
        elif isinstance(tensor, ir.ExternalTensor):
            constants.append(numpy_helper.from_array(tensor.numpy(), name))
        else:
            constants.append(ir.serde.serialize_tensor(tensor))
    nodes = [ir.serde.serialize_node(node) for node in model.graph]
    used = {name for node in nodes for name in reads(node)}
    casts: list[NodeProto] = []
    opset = model.opset_imports.get("", 0)
    renamed = {}
    for value in model.graph.inputs:
        if value.dtype in (None, ir.DataType.FLOAT) or str(value.name) not in used:
            continue
        name, own = str(value.name), value.dtype.name.lower()
        renamed[name] = f"{name}:{own}"
        casts += _cast(name, renamed[name], value.dtype, constants if opset >= _ROUNDS else None)
    if renamed:
        for node in nodes:
            _rename(node, renamed)
        nodes = [*casts, *nodes]
    names = {str(output.name): str(output.name) for node in model.graph for output in node.outputs if output.name}
    kept = {name: array for name, array in weights.items() if name in used}
    return Lowered(nodes, constants, inputs, names, kept, bool(free), free, dict(model.opset_imports))


def limits(kind: ir.DataType) -> tuple[int, int]:
    """The least and the largest of some whole numbers."""
    numbers = np.iinfo(kind.numpy())
    return int(numbers.min), int(numbers.max)


def _cast(name: str, out: str, kind: ir.DataType, constants: list[TensorProto] | None) -> list[NodeProto]:
    """Images are float32; a network of other numbers casts them first, to the nearest that it has."""
    made, last = [], name
    if kind.is_integer() and constants is not None:
        ends = [numpy_helper.from_array(np.array(end, np.float32), f"{out}/{i}") for i, end in enumerate(limits(kind))]
        constants += ends
        made = [
            helper.make_node("Round", [name], [f"{out}/round"], name=f"{out}/round"),
            helper.make_node(
                "Clip", [f"{out}/round", *(end.name for end in ends)], [f"{out}/clip"], name=f"{out}/clip"
            ),
        ]
        last = f"{out}/clip"
    return [*made, helper.make_node("Cast", [last], [out], name=out, to=int(kind))]


def reads(node: NodeProto) -> set[str]:
    """Names that a node reads, in its subgraphs too."""
    names = {name for name in node.input if name}
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            names |= {output.name for output in graph.output}
            names |= {name for inner in graph.node for name in reads(inner)}
    return names


def _rename(node: NodeProto, names: Mapping[str, str]) -> None:
    for i, name in enumerate(node.input):
        node.input[i] = names.get(name, name)
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                _rename(inner, names)
            for output in graph.output:
                output.name = names.get(output.name, output.name)
