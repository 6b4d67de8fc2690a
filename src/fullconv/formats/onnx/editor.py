"""An ONNX graph while it is edited: a copy whose nodes and values are found by name.

Casting, finer maps and blame's switches all edit through it, so that names, weights and readers are kept in one place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from onnx_ir.passes import common

from fullconv.errors import BrokenPromise
from fullconv.formats.onnx.network import OnnxNet
from fullconv.formats.onnx.static import Static, input_name
from fullconv.graph.nodes import Graph

Array = npt.NDArray[Any]


class Editor:
    """A copy of a network's model; the network itself is never changed."""

    def __init__(self, net: OnnxNet) -> None:
        self.model = net.model.clone()
        self.graph = self.model.graph
        self.static: Static = net.static
        self.touches = {node.name: node.touch for node in net.graph}
        self.axes = net.graph.values
        self.nodes = {str(node.name): node for node in self.graph}
        self.values = {str(v.name): v for v in (*self.graph.inputs, *(o for node in self.graph for o in node.outputs))}
        self.opset = self.model.opset_imports.get("", self.model.opset_imports.get("ai.onnx", 0))

    def numbers(self, node: ir.Node, i: int) -> Array | None:
        """The constant that a node reads, at training size."""
        return self.static.constants.get(input_name(node, i) or "")

    def ints(self, node: ir.Node, attribute: str, i: int) -> list[int] | None:
        """Whole numbers from an attribute (older operator sets) or an input (newer ones)."""
        given = node.attributes.get(attribute)
        values = given.value if given is not None else self.numbers(node, i)
        return None if values is None else [int(v) for v in np.ravel(values)]

    def set_ints(self, node: ir.Node, attribute: str, i: int, values: Sequence[int], by_input: bool) -> None:
        """Whole numbers as the attribute or the input of a node, under a name of its own."""
        if not by_input:
            node.attributes[attribute] = ir.AttrInt64s(attribute, list(values))
            return
        if len(node.inputs) <= i:
            node.resize_inputs(i + 1)
        node.replace_input_with(i, self.constant(f"{node.name}/{attribute}", np.array(values, np.int64)))

    def constant(self, name: str, values: Array) -> ir.Value:
        """A new initializer, under another name where a network has one of this name already."""
        stem, count = name, 0
        while name in self.graph.initializers or name in self.values:
            count += 1
            name = f"{stem}/{count}"
        value = ir.Value(
            name=name, shape=ir.Shape(values.shape), type=ir.TensorType(ir.DataType.from_numpy(values.dtype))
        )
        value.const_value = ir.tensor(values, name=name)
        self.graph.register_initializer(value)
        return value

    def weights(self, node: ir.Node, i: int, values: Array) -> ir.Value:
        """The node's constant with other numbers: under its own name where no one else reads it."""
        old = node.inputs[i]
        assert old is not None
        own = old.is_initializer() and len(old.uses()) == 1
        name = str(old.name) if own else f"{node.name}/{old.name}"
        if own:
            del self.graph.initializers[name]
        return self.constant(name, values)

    def insert(
        self, before: ir.Node, kind: str, inputs: Sequence[ir.Value | None], attributes: dict[str, Any], name: str
    ) -> ir.Value:
        """A new node in front of another; its value has its name."""
        made = ir.node(kind, inputs, attributes, name=name)
        made.outputs[0].name = name
        self.graph.insert_before(before, made)
        self.nodes[name], self.values[name] = made, made.outputs[0]
        return made.outputs[0]

    def behind(self, node: ir.Node, new: Sequence[ir.Node], old_name: str) -> None:
        """New nodes behind a node: the last gives what the node gave, whose own value is named anew."""
        old, last = node.outputs[0], new[-1].outputs[0]
        readers = [(made, i) for made in new for i, value in enumerate(made.inputs) if value is old]
        out = str(old.name)
        ir.convenience.replace_all_uses_with(old, last, replace_graph_outputs=True)
        for made, i in readers:
            made.replace_input_with(i, old)
        last.type = old.type
        last.name, old.name = out, old_name
        self.graph.insert_after(node, new)
        for made in new:
            self.nodes[str(made.name)] = made
        self.values[out], self.values[old_name] = last, old

    def replace(
        self, node: ir.Node, kind: str, inputs: list[ir.Value], attributes: dict[str, Any], name: str
    ) -> ir.Node:
        """Another operator in the node's place, writing the same value."""
        old = node.outputs[0]
        out = str(old.name)
        made = ir.node(kind, inputs, attributes, name=name)
        ir.convenience.replace_all_uses_with(old, made.outputs[0], replace_graph_outputs=True)
        made.outputs[0].name, made.outputs[0].type = out, old.type
        self.graph.insert_before(node, made)
        self.graph.remove(node, safe=True)
        self.nodes[name] = made
        self.values[out] = made.outputs[0]
        return made

    def remove(self, node: ir.Node, target: ir.Value) -> None:
        """Take a node out; who read its value reads the target."""
        ir.convenience.replace_all_uses_with(node.outputs[0], target, replace_graph_outputs=True)
        self.graph.remove(node, safe=True)

    def finish(self, predicted: Graph) -> ir.Model:
        """Drop what nothing reads any more, and set height and width free."""
        common.RemoveUnusedNodesPass()(self.model)
        set_free(self.model, predicted, self.static)
        if any(value.name is None for node in self.graph for value in node.outputs):
            raise BrokenPromise("a value lost its name")
        return self.model


def set_free(model: ir.Model, graph: Graph, static: Static) -> None:
    """Height and width of inputs and outputs are free; shapes within are left to whoever runs it."""
    for node in model.graph:
        for value in node.outputs:
            value.shape = None
    for value in model.graph.outputs:
        name = str(value.name)
        if name in graph.values:
            value.shape = ir.Shape([None, *graph.values[name].shape[1:]])
        elif name not in static.sized and name in static.shapes:  # no image changes it
            value.shape = ir.Shape(static.shapes[name])
    for value in (*model.graph.inputs, *model.graph.outputs):
        axes = graph.values.get(str(value.name))
        if axes is not None and axes.is_map:
            dims: list[Any] = list(value.shape) if value.shape is not None else [None, *axes.shape[1:]]
            for root, word in (("h", "height"), ("w", "width")):
                dims[axes.space_axis(root) or 0] = f"{value.name}_{word}"
            value.shape = ir.Shape(dims)
        if value.type is None:
            value.type = ir.TensorType(ir.DataType.FLOAT)


def attribute(node: ir.Node, name: str, default: Any) -> Any:
    """A node's attribute, or its default."""
    given = node.attributes.get(name)
    return default if given is None else given.value
