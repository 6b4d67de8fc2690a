"""Applying a plan to an ONNX model: nodes replaced in a copy, weights reshaped, shapes set free."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from onnx_ir.passes import common

from fullconv.errors import BrokenPromise
from fullconv.formats.kernel import kernel_of, without_ones
from fullconv.formats.onnx.network import OnnxNet, understand
from fullconv.formats.onnx.static import Static, input_name
from fullconv.graph.nodes import Graph
from fullconv.surgery.edit import (
    AlignConstants,
    ChannelsLast,
    Edit,
    FixWindow,
    FreeShape,
    FromChannelsFirst,
    GlobalToLocal,
    GlobalToSliding,
    LinearToConv,
    RemoveLayout,
    RenameValue,
    SetAxis,
    SetOrder,
    ToChannelsFirst,
)
from fullconv.surgery.plan import Plan

Array = npt.NDArray[Any]


def apply(net: OnnxNet, plan: Plan) -> OnnxNet:
    """A new network with every edit of the plan made; ``net`` is not changed."""
    work = _Work(net)
    for edit in plan.edits:
        work.make(edit)
    assert plan.predicted is not None, "a plan with refusals is not applied"
    work.finish(plan.predicted)
    return replace(understand(work.model, net.source, net.inputs), is_cast=True)


class _Work:
    """A copy of the model while it is edited."""

    def __init__(self, net: OnnxNet) -> None:
        self.model = net.model.clone()
        self.graph = self.model.graph
        self.static: Static = net.static
        self.nodes = {str(node.name): node for node in self.graph}
        self.values = {str(v.name): v for v in (*self.graph.inputs, *(o for node in self.graph for o in node.outputs))}
        self.opset = self.model.opset_imports.get("", 0)

    def make(self, edit: Edit) -> None:
        if isinstance(edit, RenameValue):
            value = self.values[edit.value]
            value.name = edit.becomes
            self.values[edit.becomes] = value
            return
        node = self.nodes[edit.node]
        how: dict[type, Callable[[ir.Node, Any], None]] = {
            AlignConstants: self._align,
            ChannelsLast: self._channels_last,
            FixWindow: self._fix_window,
            FreeShape: self._free_shape,
            FromChannelsFirst: self._from_channels_first,
            GlobalToLocal: self._pool_around,
            GlobalToSliding: self._slide,
            LinearToConv: self._convolve,
            RemoveLayout: self._remove,
            SetAxis: self._set_axis,
            SetOrder: self._set_order,
            ToChannelsFirst: self._channels_first,
        }
        how[type(edit)](node, edit)

    def _convolve(self, node: ir.Node, edit: LinearToConv) -> None:
        gemm = node.op_type == "Gemm"
        matrix, bias = self._numbers(node, 1), self._numbers(node, 2) if gemm else None
        assert matrix is not None, "the plan found a matrix"
        turned = not (gemm and _attribute(node, "transB", 0))
        inputs = [self.values[edit.input], self._kernel(node, matrix, edit, turned)]
        if bias is not None:
            full = np.broadcast_to(_times(bias.reshape(-1), node, "beta"), (edit.outputs,))
            inputs.append(self._weights(node, 2, np.ascontiguousarray(full)))
        self._replace(node, "Conv", inputs, {"kernel_shape": list(edit.kernel)}, edit.becomes)

    def _kernel(self, node: ir.Node, matrix: Array, edit: LinearToConv, turned: bool) -> ir.Value:
        """The matrix as a kernel; where it is dequantised, the whole numbers stay what they are and are reshaped."""
        stored = node.inputs[1].producer() if node.inputs[1] is not None else None
        plain = float(_attribute(node, "alpha", 1.0)) == 1
        if stored is not None and stored.op_type == "DequantizeLinear" and plain:
            whole, scale = self._numbers(stored, 0), self._numbers(stored, 1)
            outputs = 1 if turned else 0  # the axis of the matrix that is the kernel's first
            by_output = scale is not None and (scale.size == 1 or _attribute(stored, "axis", 1) % 2 == outputs)
            if whole is not None and by_output and not _attribute(stored, "block_size", 0):
                kernel = np.ascontiguousarray(kernel_of(whole.T if turned else whole, edit))
                parts = [self._weights(stored, 0, kernel), *stored.inputs[1:]]
                attributes = {**{n: a.value for n, a in stored.attributes.items()}, "axis": 0}
                made = ir.node("DequantizeLinear", parts, attributes, name=f"{stored.name}/{node.name}")
                made.outputs[0].name = f"{node.name}/kernel"
                self.graph.insert_before(node, made)
                return made.outputs[0]
        rows = matrix.T if turned else matrix
        return self._weights(node, 1, np.ascontiguousarray(kernel_of(_times(rows, node, "alpha"), edit)))

    def _slide(self, node: ir.Node, edit: GlobalToSliding) -> None:
        kind = "MaxPool" if "Max" in node.op_type else "AveragePool"
        source = node.inputs[0]
        assert source is not None
        self._replace(node, kind, [source], {"kernel_shape": list(edit.kernel), "strides": [1, 1]}, str(node.name))

    def _pool_around(self, node: ir.Node, edit: GlobalToLocal) -> None:
        kind = "MaxPool" if "Max" in node.op_type else "AveragePool"
        source, out = node.inputs[0], str(node.outputs[0].name)
        assert source is not None
        self._replace(node, kind, [source], {"kernel_shape": list(edit.kernel), "strides": [1, 1]}, str(node.name))
        pool = self.nodes[str(node.name)]
        pads = [0, 0, *edit.pads[:2], 0, 0, *edit.pads[2:]]
        inputs, attributes = [pool.outputs[0]], {"mode": "edge"}
        if self.opset >= 11:
            inputs.append(self._constant(f"{node.name}/edges/pads", np.array(pads, np.int64)))
        else:
            attributes["pads"] = pads  # type: ignore[assignment]
        edges = ir.node("Pad", inputs, attributes, name=f"{node.name}/edges")
        ir.convenience.replace_all_uses_with(pool.outputs[0], edges.outputs[0], replace_graph_outputs=True)
        edges.replace_input_with(0, pool.outputs[0])
        pool.outputs[0].name, edges.outputs[0].name = f"{out}/window", out
        self.graph.insert_after(pool, edges)
        self.values[out], self.values[f"{out}/window"] = edges.outputs[0], pool.outputs[0]

    def _remove(self, node: ir.Node, edit: RemoveLayout) -> None:
        target = self.values[edit.becomes]
        ir.convenience.replace_all_uses_with(node.outputs[0], target, replace_graph_outputs=True)
        self.graph.remove(node, safe=True)

    def _set_axis(self, node: ir.Node, edit: SetAxis) -> None:
        if node.op_type.startswith("Reduce") and "axes" not in node.attributes:
            node.replace_input_with(1, self._constant(f"{node.name}/axes", np.array([edit.axis], np.int64)))
        elif node.op_type.startswith("Reduce"):
            node.attributes["axes"] = ir.AttrInt64s("axes", [edit.axis])
        else:
            node.attributes["axis"] = ir.AttrInt64("axis", edit.axis)

    def _align(self, node: ir.Node, edit: AlignConstants) -> None:
        for i, value in enumerate(node.inputs):
            if value is not None and value.name in edit.constants:
                numbers = self._numbers(node, i)
                assert numbers is not None, "the plan found a constant"
                node.replace_input_with(i, self._weights(node, i, numbers.reshape(*without_ones(numbers.shape), 1, 1)))

    def _free_shape(self, node: ir.Node, edit: FreeShape) -> None:
        if node.op_type != "Reshape":
            source = node.inputs[0]
            assert source is not None
            shape = self._constant(f"{node.name}/shape", np.array(edit.shape, np.int64))
            self._replace(node, "Reshape", [source, shape], {}, str(node.name))
            node = self.nodes[str(node.name)]
        if all(source in (-1, i) for i, source in enumerate(edit.sources)):
            shape = self._constant(f"{node.name}/shape", np.array(edit.shape, np.int64))
            node.attributes.pop("allowzero", None)
        else:  # dimensions that move: read the input's shape
            source = node.inputs[0]
            assert source is not None
            stem = f"{node.name}/shape"
            known = self._insert(node, "Shape", [source], {}, f"{stem}/of", f"{stem}/of")
            parts = []
            for i, (size, axis) in enumerate(zip(edit.shape, edit.sources, strict=True)):
                number = self._constant(f"{stem}/{i}", np.array([size if axis < 0 else axis], np.int64))
                part = f"{stem}/part{i}"
                parts.append(
                    number if axis < 0 else self._insert(node, "Gather", [known, number], {"axis": 0}, part, part)
                )
            shape = self._insert(node, "Concat", parts, {"axis": 0}, stem, stem)
        node.replace_input_with(1, shape)

    def _fix_window(self, node: ir.Node, edit: FixWindow) -> None:
        if node.op_type == "Resize":  # to a size: by the factors that it was at training size
            scales = np.array([1, 1, *(float(1 / step) for step in edit.stride)], np.float32)
            node.resize_inputs(3)
            node.replace_input_with(2, self._constant(f"{node.name}/scales", scales))
            return
        node.attributes.pop("auto_pad", None)
        node.attributes["pads"] = ir.AttrInt64s("pads", list(edit.pads))

    def _set_order(self, node: ir.Node, edit: SetOrder) -> None:
        source = node.inputs[0]
        assert source is not None
        self._replace(node, "Transpose", [source], {"perm": list(edit.permutation)}, str(node.name))

    def _from_channels_first(self, node: ir.Node, edit: FromChannelsFirst) -> None:
        value = self.values[edit.value]
        made = value.producer()
        assert made is not None
        back = ir.node("Transpose", [value], {"perm": list(edit.permutation)}, name=f"{node.name}/back")
        ir.convenience.replace_all_uses_with(value, back.outputs[0], replace_graph_outputs=True)
        back.replace_input_with(0, value)
        back.outputs[0].name, value.name = edit.value, f"{edit.value}/channels_first"
        self.graph.insert_after(made, back)
        self.values[edit.value], self.values[str(value.name)] = back.outputs[0], value

    def _channels_first(self, node: ir.Node, edit: ToChannelsFirst) -> None:
        name = f"{edit.value}/channels_first/{node.name}"
        moved = self._insert(node, "Transpose", [self.values[edit.value]], {"perm": list(edit.permutation)}, name, name)
        node.replace_input_with(0, moved)

    def _channels_last(self, node: ir.Node, edit: ChannelsLast) -> None:
        source, out = node.inputs[0], node.outputs[0]
        assert source is not None
        moved = f"{node.name}/channels_last"
        node.replace_input_with(0, self._insert(node, "Transpose", [source], {"perm": list(edit.there)}, moved, moved))
        node.attributes["axis"] = ir.AttrInt64("axis", len(edit.there) - 1)
        back = ir.node("Transpose", [out], {"perm": list(edit.back)}, name=f"{node.name}/channels_first")
        ir.convenience.replace_all_uses_with(out, back.outputs[0], replace_graph_outputs=True)
        back.replace_input_with(0, out)
        back.outputs[0].name, out.name = out.name, f"{node.name}/over_channels"
        self.graph.insert_after(node, back)
        self.values[str(back.outputs[0].name)] = back.outputs[0]
        self.values[str(out.name)] = out

    # Parts ----------------------------------------------------------------------------------------

    def _numbers(self, node: ir.Node, i: int) -> Array | None:
        return self.static.constants.get(input_name(node, i) or "")

    def _weights(self, node: ir.Node, i: int, values: Array) -> ir.Value:
        """The node's constant with other numbers: under its own name where no one else reads it."""
        old = node.inputs[i]
        assert old is not None
        own = old.is_initializer() and len(old.uses()) == 1
        name = str(old.name) if own else f"{node.name}/{old.name}"
        if own:
            del self.graph.initializers[name]
        return self._constant(name, values)

    def _constant(self, name: str, values: Array) -> ir.Value:
        value = ir.Value(
            name=name, shape=ir.Shape(values.shape), type=ir.TensorType(ir.DataType.from_numpy(values.dtype))
        )
        value.const_value = ir.tensor(values, name=name)
        self.graph.register_initializer(value)
        return value

    def _insert(
        self, before: ir.Node, kind: str, inputs: list[ir.Value], attributes: dict[str, Any], name: str, out: str
    ) -> ir.Value:
        made = ir.node(kind, inputs, attributes, name=name)
        made.outputs[0].name = out
        self.graph.insert_before(before, made)
        self.values[out] = made.outputs[0]
        return made.outputs[0]

    def _replace(self, node: ir.Node, kind: str, inputs: list[ir.Value], attributes: dict[str, Any], name: str) -> None:
        """Another operator in the node's place, writing the same value."""
        old = node.outputs[0]
        out = str(old.name)
        made = ir.node(kind, inputs, attributes, name=name)
        ir.convenience.replace_all_uses_with(old, made.outputs[0], replace_graph_outputs=True)
        made.outputs[0].name = out
        made.outputs[0].type = old.type
        self.graph.insert_before(node, made)
        self.graph.remove(node, safe=True)
        self.nodes[name] = made
        self.values[out] = made.outputs[0]

    def finish(self, predicted: Graph) -> None:
        """Drop what nothing reads any more, and set height and width free."""
        common.RemoveUnusedNodesPass()(self.model)
        set_free(self.model, predicted)
        if any(value.name is None for node in self.graph for value in node.outputs):
            raise BrokenPromise("a value lost its name")


def set_free(model: ir.Model, graph: Graph) -> None:
    """Height and width of inputs and outputs are free; shapes within are left to whoever runs it."""
    for node in model.graph:
        for value in node.outputs:
            value.shape = None
    for value in (*model.graph.inputs, *model.graph.outputs):
        axes = graph.values.get(str(value.name))
        if axes is not None and axes.is_map:
            dims: list[Any] = list(value.shape) if value.shape is not None else [None, *axes.shape[1:]]
            for root, word in (("h", "height"), ("w", "width")):
                dims[axes.space_axis(root) or 0] = f"{value.name}_{word}"
            value.shape = ir.Shape(dims)
        if value.type is None:
            value.type = ir.TensorType(ir.DataType.FLOAT)


def _attribute(node: ir.Node, name: str, default: Any) -> Any:
    found = node.attributes.get(name)
    return default if found is None else found.value


def _times(values: Array, node: ir.Node, name: str) -> Array:
    """Values times a Gemm's alpha or beta, which a convolution does not have."""
    factor = float(_attribute(node, name, 1.0))
    return values if factor == 1 else values * values.dtype.type(factor)
