"""A finer map as an ONNX network: windows with other strides, dilations and pads, over the same weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from fullconv.errors import BrokenPromise, CannotCast, Refusal
from fullconv.formats.onnx.editor import set_free
from fullconv.formats.onnx.network import OnnxNet, understand
from fullconv.formats.onnx.static import input_name
from fullconv.graph.axes import Axes
from fullconv.graph.nodes import Graph, Span
from fullconv.operators import OPERATORS
from fullconv.runtimes.lowered import Lowered
from fullconv.surgery.edit import SetWindow
from fullconv.surgery.refine import refine

_DILATED_MAX = 10  # the operator set in which MaxPool got dilations


def of_lowered(lowered: Lowered, outputs: Sequence[str], inputs: dict[str, Axes], source: str) -> OnnxNet:
    """A lowered network of any format as one of ONNX, over the same arrays."""
    model = ir.serde.deserialize_model(lowered.message(names=outputs))
    for name, array in lowered.weights.items():
        if name in model.graph.initializers:
            model.graph.initializers[name].const_value = ir.tensor(np.require(array, requirements="C"), name=name)
    for name, value in zip(outputs, model.graph.outputs, strict=True):
        value.name = name
    for value in (*model.graph.inputs, *model.graph.outputs):
        value.type = value.type or ir.TensorType(ir.DataType.FLOAT)
    for i, node in enumerate(model.graph):
        node.name = node.name or f"{node.op_type}_{i}"
    return replace(understand(model, source, inputs), is_cast=True)


def refined(net: OnnxNet, stride: tuple[int, int]) -> tuple[OnnxNet, tuple[SetWindow, ...]]:
    """The network with a finer map, and what was done.

    Raises:
        CannotCast: a node has no finer form; the same map comes from shifted images.
    """
    work = _Work(net)
    plan = refine(net.graph, stride, work.means(), work.maxima())
    refusals = [*plan.refusals, *work.refusals(plan.edits, plan.refusals)]
    if refusals:
        raise CannotCast(f"{net.source}: its map cannot be made finer by dilation (shifted images give it)", refusals)
    for edit in plan.edits:
        work.make(edit)
    assert plan.predicted is not None, "a refinement with refusals is not applied"
    made = replace(understand(work.finish(plan.predicted), net.source, net.inputs), is_cast=True)
    work.compare(plan.predicted, made.graph)
    return made, plan.edits


class _Work:
    def __init__(self, net: OnnxNet) -> None:
        self.net = net
        self.model = net.model.clone()
        self.graph = self.model.graph
        self.nodes = {str(node.name): node for node in self.graph}
        self.opset = self.model.opset_imports.get("", 0)

    def means(self) -> frozenset[str]:
        """Average pools that do not count padding."""
        pools = (n for n in self.graph if n.op_type == "AveragePool" and not _attribute(n, "count_include_pad", 0))
        return frozenset(str(node.name) for node in pools)

    def maxima(self) -> frozenset[str]:
        """Max pools."""
        return frozenset(str(node.name) for node in self.graph if node.op_type == "MaxPool")

    def refusals(self, edits: Sequence[SetWindow], known: Sequence[Refusal]) -> list[Refusal]:
        found = []
        for edit in edits:
            node = self.nodes[edit.node]
            wide = max(edit.y.dilation, edit.x.dilation) > 1
            if any(refusal.node == edit.node for refusal in known):
                continue
            if not OPERATORS[node.op_type].dilates:
                found.append(Refusal(edit.node, f"{node.op_type} has no dilated form"))
            elif node.op_type == "MaxPool" and wide and self.opset < _DILATED_MAX:
                found.append(
                    Refusal(
                        edit.node,
                        f"MaxPool has dilations from operator set {_DILATED_MAX} on, the file has {self.opset}",
                    )
                )
        return found

    def make(self, edit: SetWindow) -> None:
        node = self.nodes[edit.node]
        how = {
            "Conv": self._plain,
            "MaxPool": self._max,
            "AveragePool": self._mean,
            "Pad": self._pad,
            "Slice": self._slice,
        }
        how[node.op_type](node, edit.y, edit.x)

    def finish(self, predicted: Graph) -> ir.Model:
        common.RemoveUnusedNodesPass()(self.model)
        set_free(self.model, predicted)
        return self.model

    @staticmethod
    def compare(predicted: Graph, found: Graph) -> None:
        difference = predicted.difference(found)
        if difference is not None:
            raise BrokenPromise(f"the finer network is not the planned one: {difference}")

    def _plain(self, node: ir.Node, y: Span, x: Span) -> None:
        for name, values in _window(y, x).items():
            if name != "dilations" or max(values) > 1 or node.op_type != "AveragePool":
                node.attributes[name] = ir.AttrInt64s(name, values)
        for name in ("auto_pad", "ceil_mode"):
            node.attributes.pop(name, None)

    def _max(self, node: ir.Node, y: Span, x: Span) -> None:
        """Its own padding is narrower than its kernel; what is wider lies in front of it."""
        if all(max(s.pad_before, s.pad_after) < s.kernel for s in (y, x)):
            self._plain(node, y, x)
            return
        source = node.inputs[0]
        assert source is not None
        amounts = np.array([0, 0, y.pad_before, x.pad_before, 0, 0, y.pad_after, x.pad_after], np.int64)
        lowest = np.array(np.finfo(np.float32).min, np.float32)
        parts = [source, self._constant(f"{node.name}/pads", amounts), self._constant(f"{node.name}/lowest", lowest)]
        pad = ir.node("Pad", parts, name=f"{node.name}/pad")
        pad.outputs[0].name = f"{source.name}/padded/{node.name}"
        self.graph.insert_before(node, pad)
        node.replace_input_with(0, pad.outputs[0])
        self._plain(node, replace(y, pad_before=0, pad_after=0), replace(x, pad_before=0, pad_after=0))

    def _mean(self, node: ir.Node, y: Span, x: Span) -> None:
        """A dilated mean: every channel convolved with equal weights; over the cells inside, where padding is not counted."""
        if (y.dilation, x.dilation) == (1, 1) and not (y.pad_after or x.pad_after):
            self._plain(node, y, x)
            return
        source, old = node.inputs[0], node.outputs[0]
        assert source is not None
        out, name = str(old.name), str(node.name)
        channels = self.net.static.shapes[str(source.name)][1]
        pads = any((y.pad_before, y.pad_after, x.pad_before, x.pad_after))
        inside = pads and not _attribute(node, "count_include_pad", 0)
        share = 1.0 if inside else 1 / (y.kernel * x.kernel)
        kernel = self._constant(f"{name}/kernel", np.full((channels, 1, y.kernel, x.kernel), share, np.float32))
        attributes: dict[str, Any] = {"kernel_shape": [y.kernel, x.kernel], **_window(y, x)}
        made = ir.node("Conv", [source, kernel], {**attributes, "group": channels}, name=name)
        last = made
        new = [made]
        if inside:
            sizes = self._chain(node, name, source)
            one = self._constant(f"{name}/one", np.ones((1, 1, y.kernel, x.kernel), np.float32))
            count = ir.node("Conv", [sizes, one], attributes, name=f"{name}/count")
            count.outputs[0].name = f"{name}/count"
            last = ir.node("Div", [made.outputs[0], count.outputs[0]], name=f"{name}/mean")
            made.outputs[0].name = f"{out}/sum"
            new = [made, count, last]
        ir.convenience.replace_all_uses_with(old, last.outputs[0], replace_graph_outputs=True)
        last.outputs[0].name, last.outputs[0].type = out, old.type
        for each in new:
            self.graph.insert_before(node, each)
        self.graph.remove(node, safe=True)
        self.nodes[name] = made

    def _chain(self, before: ir.Node, name: str, source: ir.Value) -> ir.Value:
        """Ones of (1, 1, h, w), of the size of a value."""
        ones = self._constant(f"{name}/leads", np.array([1, 1], np.int64))
        shape = ir.node("Shape", [source], name=f"{name}/shape")
        both = ir.node("Slice", [shape.outputs[0], *self._ints(name, "tail", [2], [4])], name=f"{name}/size")
        full = ir.node("Concat", [ones, both.outputs[0]], {"axis": 0}, name=f"{name}/ones_shape")
        made = ir.node(
            "ConstantOfShape", [full.outputs[0]], {"value": ir.tensor(np.ones(1, np.float32))}, name=f"{name}/ones"
        )
        for each in (shape, both, full, made):
            each.outputs[0].name = f"{each.name}/value"
            self.graph.insert_before(before, each)
        return made.outputs[0]

    def _ints(self, name: str, part: str, *values: list[int]) -> list[ir.Value]:
        return [self._constant(f"{name}/{part}{i}", np.array(v, np.int64)) for i, v in enumerate(values)]

    def _pad(self, node: ir.Node, y: Span, x: Span) -> None:
        given = node.attributes.get("pads")
        amounts = list(given.value) if given is not None else [int(v) for v in self._numbers(node, 1)]
        amounts[2], amounts[3], amounts[6], amounts[7] = y.pad_before, x.pad_before, y.pad_after, x.pad_after
        if given is not None:
            node.attributes["pads"] = ir.AttrInt64s("pads", amounts)
        else:
            node.replace_input_with(1, self._constant(f"{node.name}/pads", np.array(amounts, np.int64)))

    def _slice(self, node: ir.Node, y: Span, x: Span) -> None:
        starts, ends, axes, steps = (
            None if v is None else [int(n) for n in v] for v in (self._optional(node, i) for i in (1, 2, 3, 4))
        )
        assert starts is not None
        assert ends is not None
        axes = axes if axes is not None else list(range(len(starts)))
        steps = steps if steps is not None else [1] * len(starts)
        for i, axis in enumerate(axes):
            span = {2: y, 3: x}.get(axis % 4)
            if span is not None:
                starts[i], steps[i] = -span.pad_before, int(span.stride)
                ends[i] = span.pad_after if span.pad_after < 0 else ends[i]
        for i, values in enumerate((starts, ends, axes, steps), 1):
            while len(node.inputs) <= i:
                node.resize_inputs(i + 1)
            node.replace_input_with(i, self._constant(f"{node.name}/slice{i}", np.array(values, np.int64)))

    def _numbers(self, node: ir.Node, i: int) -> Any:
        return self.net.static.constants[input_name(node, i) or ""]

    def _optional(self, node: ir.Node, i: int) -> Any:
        return self.net.static.constants.get(input_name(node, i) or "")

    def _constant(self, name: str, values: Any) -> ir.Value:
        while name in self.graph.initializers:  # an edge of a gate has its own already
            name += "/finer"
        value = ir.Value(
            name=name, shape=ir.Shape(values.shape), type=ir.TensorType(ir.DataType.from_numpy(values.dtype))
        )
        value.const_value = ir.tensor(values, name=name)
        self.graph.register_initializer(value)
        return value


def _window(y: Span, x: Span) -> dict[str, list[int]]:
    return {
        "strides": [int(y.stride), int(x.stride)],
        "dilations": [y.dilation, x.dilation],
        "pads": [y.pad_before, x.pad_before, y.pad_after, x.pad_after],
    }


def _attribute(node: ir.Node, name: str, default: Any) -> Any:
    found = node.attributes.get(name)
    return default if found is None else found.value
