"""A cast ONNX network with a switch at every layer that lets map and crop part.

A switch is an input of the network: a mask of the layer's own input, one inside the crop and zero outside. With every mask one the network
is the map; with every mask cut it is the crop's own answer; with one of them cut, that layer alone sees the crop's edge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from fullconv.formats.onnx.network import OnnxNet
from fullconv.formats.onnx.static import input_name
from fullconv.operators import OPERATORS

_LOWEST = -3.0e38


@dataclass(frozen=True)
class Switch:
    """Attributes:
    node: whose input it cuts, by the ONNX network's name.
    value: the input that it cuts.
    mask: the network's input for it, (1, 1, h, w) of that value.
    """

    node: str
    value: str
    mask: str


def with_switches(net: OnnxNet, nodes: Mapping[str, tuple[str, Sequence[int]]]) -> tuple[ir.Model, list[Switch]]:
    """The model with switches, and those that could be had.

    Args:
        nodes: the ONNX node of each cause to its kind, and the axes that it pools.
    """
    work = _Work(net)
    switches = [
        found for name, (kind, axes) in nodes.items() if (found := work.put(name, kind, list(axes))) is not None
    ]
    for value in work.graph.outputs:
        value.shape = None
    for node in work.graph:
        for value in node.outputs:
            value.shape = None
    return work.model, switches


class _Work:
    def __init__(self, net: OnnxNet) -> None:
        self.net = net
        self.model = net.model.clone()
        self.graph = self.model.graph
        self.nodes = {str(node.name): node for node in self.graph}

    def put(self, name: str, kind: str, axes: list[int]) -> Switch | None:
        node = self.nodes[name]
        source = node.inputs[0]
        if source is None or source.name is None:
            return None
        local = kind == "local pooling"
        if not local and not OPERATORS[node.op_type].cuttable:
            return None
        if node.op_type == "Pad" and (_text(node, "mode", "constant") != "constant"):
            return None
        mask = ir.Value(
            name=f"switch:{name}", shape=ir.Shape([1, 1, None, None]), type=ir.TensorType(ir.DataType.FLOAT)
        )
        self.graph.inputs.append(mask)
        if local:
            self._gate(node, source, mask, axes)
        elif node.op_type == "MaxPool":
            node.replace_input_with(0, self._lowered(node, source, mask))
        else:
            cut = self._op(node, "Mul", [source, mask])
            node.replace_input_with(0, cut)
            if node.op_type == "AveragePool" and not _number(node, "count_include_pad"):
                self._over_count(node, mask)
        return Switch(name, str(source.name), str(mask.name))

    def _lowered(self, node: ir.Node, source: ir.Value, mask: ir.Value) -> ir.Value:
        """Nothing outside the mask is a maximum."""
        outside = self._op(node, "Sub", [self._number(node, "one", 1.0), mask])
        return self._op(node, "Add", [source, self._op(node, "Mul", [outside, self._number(node, "lowest", _LOWEST)])])

    def _over_count(self, node: ir.Node, mask: ir.Value) -> None:
        """A mean over what lies inside: over the share of the window that the mask keeps."""
        attributes = dict(node.attributes)
        share = ir.Node("", "AveragePool", [mask], list(attributes.values()), name=f"{node.name}/share")
        share.outputs[0].name = f"{node.name}/share"
        least = ir.node("Max", [share.outputs[0], self._number(node, "least", 1e-6)], name=f"{node.name}/least_share")
        least.outputs[0].name = f"{node.name}/least_share"
        old = node.outputs[0]
        made = ir.node("Div", [old, least.outputs[0]], name=f"{node.name}/over_share")
        self._behind(node, old, [share, least, made])

    def _gate(self, node: ir.Node, source: ir.Value, mask: ir.Value, axes: list[int]) -> None:
        """A local pool, or, where the mask cuts, the pool over the crop for every cell."""
        edges = node.outputs[0].uses()
        (last,) = {use.node for use in edges} if len(edges) == 1 else {node}
        old = last.outputs[0]
        if "Max" in node.op_type:
            whole = self._op(node, "ReduceMax", [self._lowered(node, source, mask)], axes=axes, keepdims=1)
        else:
            above = self._op(node, "ReduceMean", [self._op(node, "Mul", [source, mask])], axes=axes, keepdims=1)
            share = self._op(node, "ReduceMean", [mask], axes=axes, keepdims=1)
            below = self._op(node, "Max", [share, self._number(node, "least", 1e-6)])
            whole = self._op(node, "Div", [above, below])
        # Uncut, the mask is one everywhere: its least value tells which of the two is meant.
        keeps = self._op(node, "ReduceMin", [mask], axes=[2, 3], keepdims=1)
        rest = self._op(node, "Sub", [self._number(node, "one", 1.0), keeps])
        crop = self._op(node, "Mul", [whole, rest])
        local = ir.node("Mul", [old, keeps], name=f"{node.name}/kept")
        made = ir.node("Add", [local.outputs[0], crop], name=f"{node.name}/switched")
        local.outputs[0].name = f"{node.name}/kept"
        self._behind(last, old, [local, made])

    def _behind(self, node: ir.Node, old: ir.Value, new: list[ir.Node]) -> None:
        """New nodes behind a node, the last of which gives what the node gave."""
        last = new[-1]
        ir.convenience.replace_all_uses_with(old, last.outputs[0], replace_graph_outputs=True)
        for made in new:
            for i, value in enumerate(made.inputs):
                if value is last.outputs[0]:
                    made.replace_input_with(i, old)
        last.outputs[0].name, old.name = old.name, f"{old.name}/uncut"
        self.graph.insert_after(node, new)

    def _op(self, before: ir.Node, kind: str, inputs: list[ir.Value], **attributes: Any) -> ir.Value:
        made = ir.node(kind, inputs, attributes)
        made.name = f"{before.name}/switch/{len(self.nodes)}"
        made.outputs[0].name = made.name
        self.nodes[str(made.name)] = made
        self.graph.insert_before(before, made)
        return made.outputs[0]

    def _number(self, node: ir.Node, what: str, number: float) -> ir.Value:
        name = f"{node.name}/{what}"
        if name in self.graph.initializers:
            return self.graph.initializers[name]
        value = ir.Value(name=name, shape=ir.Shape([]), type=ir.TensorType(ir.DataType.FLOAT))
        value.const_value = ir.tensor(np.float32(number), name=name)
        self.graph.register_initializer(value)
        return value


def _number(node: ir.Node, name: str) -> int:
    found = node.attributes.get(name)
    return 0 if found is None else int(found.value)


def _text(node: ir.Node, name: str, default: str) -> str:
    found = node.attributes.get(name)
    return default if found is None else str(found.value)


def windows_behind(net: OnnxNet, value: str) -> str | None:
    """The window from which a value comes through operators that act on cells alone, by its node's name."""
    makers = {str(out.name): node for node in net.model.graph for out in node.outputs}
    name: str | None = value
    while name in makers:
        node = makers[str(name)]
        if node.op_type in OPERATORS and OPERATORS[node.op_type].cuttable:
            return str(node.name)
        name = input_name(node, 0)
    return None
