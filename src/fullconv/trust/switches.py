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
from onnx_ir.passes import common

from fullconv.formats.onnx.editor import Editor, attribute
from fullconv.formats.onnx.network import OnnxNet
from fullconv.formats.onnx.static import input_name
from fullconv.operators import OPERATORS

_LEAST = 1e-6  # of a share, which is divided by
_AXES_AS_INPUT = 18  # the operator set from which reductions take their axes as an input


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
    work = _Switching(net)
    switches = [
        found for name, (kind, axes) in nodes.items() if (found := work.put(name, kind, list(axes))) is not None
    ]
    for value in work.graph.outputs:
        value.shape = None
    for node in work.graph:
        for value in node.outputs:
            value.shape = None
    return work.work.model, switches


class _Switching:
    """A network while it gets its switches."""

    def __init__(self, net: OnnxNet) -> None:
        self.work = Editor(net)
        self.graph = self.work.graph
        self.axes = net.graph.values
        common.ShapeInferencePass()(self.work.model)  # masks are numbers of the kind that they cut

    def put(self, name: str, kind: str, axes: list[int]) -> Switch | None:
        node = self.work.nodes[name]
        source = node.inputs[0]
        if source is None or source.name is None:
            return None
        local = kind == "local pooling"
        if not local and not (node.op_type in OPERATORS and OPERATORS[node.op_type].cuttable):
            return None
        if node.op_type == "Pad" and attribute(node, "mode", "constant") not in ("constant", b"constant"):
            return None
        mask = ir.Value(
            name=f"switch:{name}", shape=ir.Shape([1, 1, None, None]), type=ir.TensorType(ir.DataType.FLOAT)
        )
        self.graph.inputs.append(mask)
        laid = self._laid(node, source, mask)
        if local:
            self._gate(node, source, laid, axes)
        elif node.op_type == "MaxPool":
            node.replace_input_with(0, self._lowered(node, source, laid))
        else:
            node.replace_input_with(0, self._op(node, "Mul", [source, laid]))
            if node.op_type == "AveragePool" and not attribute(node, "count_include_pad", 0):
                self._over_count(node, laid)
        return Switch(name, str(source.name), str(mask.name))

    def _laid(self, node: ir.Node, source: ir.Value, mask: ir.Value) -> ir.Value:
        """The mask in the value's own layout and kind of number."""
        kind = source.dtype
        if kind not in (None, ir.DataType.FLOAT):
            mask = self._op(node, "Cast", [mask], to=int(kind))
        axes = self.axes.get(str(source.name))
        if axes is not None and axes.is_map and axes.channel_axis == axes.rank - 1:
            mask = self._op(node, "Transpose", [mask], perm=[0, 2, 3, 1])
        return mask

    def _lowered(self, node: ir.Node, source: ir.Value, mask: ir.Value) -> ir.Value:
        """Nothing outside the mask is a maximum."""
        outside = self._op(node, "Sub", [self._number(node, "one", 1.0), mask])
        least = float(np.finfo(self._kind(node)).min) / 2
        return self._op(node, "Add", [source, self._op(node, "Mul", [outside, self._number(node, "lowest", least)])])

    def _over_count(self, node: ir.Node, mask: ir.Value) -> None:
        """A mean over what lies inside: over the share of the window that the mask keeps."""
        share = ir.Node("", "AveragePool", [mask], list(node.attributes.values()), name=f"{node.name}/share")
        share.outputs[0].name = f"{node.name}/share"
        least = ir.node("Max", [share.outputs[0], self._number(node, "least", _LEAST)], name=f"{node.name}/least_share")
        least.outputs[0].name = f"{node.name}/least_share"
        made = ir.node("Div", [node.outputs[0], least.outputs[0]], name=f"{node.name}/over_share")
        self.work.behind(node, [share, least, made], f"{node.outputs[0].name}/uncut")

    def _gate(self, node: ir.Node, source: ir.Value, mask: ir.Value, axes: list[int]) -> None:
        """A local pool, or, where the mask cuts, the pool over the crop for every cell."""
        edges = node.outputs[0].uses()
        (last,) = {use.node for use in edges} if len(edges) == 1 else {node}
        if "Max" in node.op_type:
            whole = self._reduced(node, "ReduceMax", self._lowered(node, source, mask), axes)
        else:
            above = self._reduced(node, "ReduceMean", self._op(node, "Mul", [source, mask]), axes)
            share = self._reduced(node, "ReduceMean", mask, axes)
            below = self._op(node, "Max", [share, self._number(node, "least", _LEAST)])
            whole = self._op(node, "Div", [above, below])
        # Uncut, the mask is one everywhere: its least value tells which of the two is meant.
        keeps = self._reduced(node, "ReduceMin", mask, [2, 3])
        rest = self._op(node, "Sub", [self._number(node, "one", 1.0), keeps])
        crop = self._op(node, "Mul", [whole, rest])
        kept = ir.node("Mul", [last.outputs[0], keeps], name=f"{node.name}/kept")
        kept.outputs[0].name = f"{node.name}/kept"
        made = ir.node("Add", [kept.outputs[0], crop], name=f"{node.name}/switched")
        self.work.behind(last, [kept, made], f"{last.outputs[0].name}/uncut")

    def _reduced(self, node: ir.Node, kind: str, value: ir.Value, axes: list[int]) -> ir.Value:
        """A reduction over these axes, which stay; from operator set 18 on they are an input."""
        if self.work.opset < _AXES_AS_INPUT:
            return self._op(node, kind, [value], axes=axes, keepdims=1)
        name = f"{node.name}/axes{''.join(map(str, axes))}"
        known = self.graph.initializers.get(name)
        over = known if known is not None else self.work.constant(name, np.array(axes, np.int64))
        return self._op(node, kind, [value, over], keepdims=1)

    def _op(self, before: ir.Node, kind: str, inputs: list[ir.Value], **attributes: Any) -> ir.Value:
        return self.work.insert(before, kind, inputs, attributes, f"{before.name}/switch/{len(self.work.nodes)}")

    def _kind(self, node: ir.Node) -> type[np.floating[Any]]:
        source = node.outputs[0]
        return np.float16 if source.dtype == ir.DataType.FLOAT16 else np.float32

    def _number(self, node: ir.Node, what: str, number: float) -> ir.Value:
        name = f"{node.name}/{what}"
        known = self.graph.initializers.get(name)
        return known if known is not None else self.work.constant(name, np.array(number, self._kind(node)))


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
