"""Applying a plan to a PyTorch network: nodes replaced in a copy of its graph, weights reshaped, sizes read from values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import fx, nn

from fullconv.errors import BrokenPromise
from fullconv.formats.kernel import along_channels, kernel_of
from fullconv.formats.torch.module import channel_conv1d, module_like
from fullconv.formats.torch.network import NAME, VALUE, TorchNet, name_of, op_of, parts_of, understand, value_of
from fullconv.formats.torch.operators import OPERATORS, Call
from fullconv.operators.moving import END
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
    SampleGate,
    SetAxis,
    SetOrder,
    ToChannelsFirst,
)
from fullconv.surgery.plan import Plan

aten = torch.ops.aten


def apply(net: TorchNet, plan: Plan) -> TorchNet:
    """A new network with every edit of the plan made; ``net`` is not changed."""
    work = Work(net)
    for edit in plan.edits:
        work.make(edit)
    module = work.finish()
    made = understand(module, net.source, net.inputs, net.batch, net.preprocess, net.notes)
    return replace(made, is_cast=True)


class Work:
    """A copy of the graph while it is edited; tensors that change are kept beside it."""

    def __init__(self, net: TorchNet) -> None:
        self.net = net
        self.graph = fx.Graph()
        copies: dict[fx.Node, fx.Node] = {}
        output = self.graph.graph_copy(net.module.graph, copies)
        self.graph.output(output)
        self.old = {copy: node for node, copy in copies.items()}
        self.nodes = {name_of(node): node for node in self.graph.nodes}
        self.values = {value_of(node): node for node in self.graph.nodes}
        self.tensors: dict[str, torch.Tensor] = {}

    def make(self, edit: Edit) -> None:
        if type(edit) not in _HOW:
            raise BrokenPromise(f"{self.net.source}: {edit} is no edit that a network of PyTorch takes")
        _HOW[type(edit)](self, self.nodes[edit.node], edit)

    def finish(self) -> fx.GraphModule:
        self.graph.eliminate_dead_code()
        self.graph.lint()
        return module_like(self.net.module, self.graph, self.tensors)

    def _call(self, node: fx.Node) -> Call:
        """The node's arguments by name; shapes as the untouched network had them."""
        known = self.net.known
        shapes = {copy: known.shapes[old] for copy, old in self.old.items() if old in known.shapes}
        kinds = {copy: known.kinds[old] for copy, old in self.old.items() if old in known.kinds}
        numbers = {copy: known.numbers[old] for copy, old in self.old.items() if old in known.numbers}
        return Call(node, replace(known, shapes=shapes, kinds=kinds, numbers=numbers))

    def _convolve(self, node: fx.Node, edit: LinearToConv) -> None:
        call = self._call(node)
        transposed = node.target is not aten.linear.default
        matrix, bias = _matrix_and_bias(node, call)
        weight = self._kernel(node, matrix, edit, transposed)
        source = self.values[edit.input]
        self._replace(node, aten.conv2d.default, (source, weight, bias), edit.becomes)

    def _kernel(self, node: fx.Node, matrix: fx.Node, edit: LinearToConv, transposed: bool) -> fx.Node:
        """The matrix as a kernel: its own parameter reshaped, or, where others read it too, a view of it."""
        if matrix.op == "get_attr" and len(matrix.users) == 1 and not transposed:
            name = str(matrix.target)
            old = self.tensors.get(name, fetch(self.net.module, name))
            with torch.no_grad():
                made = kernel_of(old, edit, torch.permute).contiguous()
            self.tensors[name] = nn.Parameter(made, old.requires_grad) if isinstance(old, nn.Parameter) else made
            return matrix
        with self.graph.inserting_before(node):
            rows = self.graph.call_function(aten.t.default, (matrix,)) if transposed else matrix
            laid = self.graph.call_function(aten.reshape.default, (rows, [edit.outputs, *edit.order.sizes]))
            order = [0, *(axis + 1 for axis in edit.order.permutation)]
            moved = self.graph.call_function(aten.permute.default, (laid, order))
            return self.graph.call_function(aten.reshape.default, (moved, list(edit.weights)))

    def _slide(self, node: fx.Node, edit: GlobalToSliding) -> None:
        kind = aten.max_pool2d.default if _is_max(node) else aten.avg_pool2d.default
        self._replace(node, kind, (node.args[0], list(edit.kernel), [1, 1]), name_of(node))

    def _pool_around(self, node: fx.Node, edit: GlobalToLocal) -> None:
        name = name_of(node)
        kind = aten.max_pool2d.default if _is_max(node) else aten.avg_pool2d.default
        top, left, bottom, right = edit.pads
        with self.graph.inserting_before(node):
            pool = self._insert(kind, (node.args[0], list(edit.kernel), [1, 1]), f"{name}/window")
            edges = self._insert(aten.replication_pad2d.default, (pool, [left, right, top, bottom]), f"{name}/edges")
        ((_, part), *_) = parts_of(node)
        value = value_of(part)
        part.replace_all_uses_with(edges)
        for gone in (*node.users, node):
            self.graph.erase_node(gone)
        # The window is the node, its edges give the node's value: as the plan names them.
        pool.meta[NAME], pool.meta[VALUE] = name, f"{value}/window"
        edges.meta[VALUE] = value
        self.nodes[name], self.values[value] = pool, edges

    def _sample(self, node: fx.Node, edit: SampleGate) -> None:
        value = self.values[edit.value]
        with self.graph.inserting_before(node):
            cut = (edit.axis, edit.first, edit.behind or END, edit.step)
            made = self._insert(aten.slice.Tensor, (value, *cut), edit.becomes)
        node.replace_input_with(value, made)

    def _remove(self, node: fx.Node, edit: RemoveLayout) -> None:
        target = self.values[edit.becomes]
        node.replace_all_uses_with(target)
        self.graph.erase_node(node)
        self.values[edit.value] = target

    def _set_axis(self, node: fx.Node, edit: SetAxis) -> None:
        if node.target is aten.conv1d.default:
            call = self._call(node)
            self._replace(
                node,
                channel_conv1d,
                (node.args[0], call["weight"], call["bias"], call.pair(call["padding"])[0]),
                edit.node,
            )
            return
        names = [a.name for a in node.target._schema.arguments]  # type: ignore[union-attr]
        place = names.index("dim")
        value: Any = [edit.axis] if isinstance(self._call(node)["dim"], list | tuple) else edit.axis
        if place < len(node.args):
            node.update_arg(place, value)
        else:
            node.update_kwarg("dim", value)

    def _align(self, node: fx.Node, edit: AlignConstants) -> None:
        for value in list(node.all_input_nodes):
            if value_of(value) in edit.constants:
                shape = self.net.known.shapes[self.old[value]]
                with self.graph.inserting_before(node):
                    laid = self.graph.call_function(
                        aten.reshape.default, (value, list(along_channels(shape, edit.behind)))
                    )
                node.replace_input_with(value, laid)

    def _free_shape(self, node: fx.Node, edit: FreeShape) -> None:
        source = node.args[0]
        assert isinstance(source, fx.Node)
        if len(edit.added) == 1:
            self._replace(node, aten.unsqueeze.default, (source, edit.added[0]), name_of(node))
            return
        with self.graph.inserting_before(node):
            shape = [
                size if axis < 0 else self.graph.call_function(aten.sym_size.int, (source, axis))
                for size, axis in zip(edit.shape, edit.sources, strict=True)
            ]
        self._replace(node, aten.reshape.default, (source, shape), name_of(node))

    def _fix_window(self, node: fx.Node, edit: FixWindow) -> None:
        if "upsample" in str(node.target):
            factors = [float(1 / step) for step in edit.stride]
            packet = aten.upsample_bilinear2d.vec if "bilinear" in str(node.target) else aten.upsample_nearest2d.vec
            more = (False,) if "bilinear" in str(node.target) else ()
            self._replace(node, packet, (node.args[0], None, *more, factors), name_of(node))
            return
        kind = aten.max_pool2d.default if _is_max(node) else aten.avg_pool2d.default
        stride = [int(step) for step in edit.stride]
        self._replace(node, kind, (node.args[0], list(edit.kernel), stride), name_of(node))

    def _set_order(self, node: fx.Node, edit: SetOrder) -> None:
        self._replace(node, aten.permute.default, (node.args[0], list(edit.permutation)), name_of(node))

    def _channels_first(self, node: fx.Node, edit: ToChannelsFirst) -> None:
        value = self.values[edit.value]
        name = f"{edit.value}/channels_first/{edit.node}"
        with self.graph.inserting_before(node):
            moved = self._insert(aten.permute.default, (value, list(edit.permutation)), name)
        node.update_arg(0, moved)

    def _from_channels_first(self, node: fx.Node, edit: FromChannelsFirst) -> None:
        made = self.values[edit.value]
        with self.graph.inserting_after(made):
            back = self._insert(aten.permute.default, (made, list(edit.permutation)), f"{edit.node}/back")
        made.replace_all_uses_with(back)
        back.update_arg(0, made)
        made.meta[VALUE] = f"{edit.value}/channels_first"
        back.meta[VALUE] = edit.value
        self.values[edit.value] = back

    def _channels_last(self, node: fx.Node, edit: ChannelsLast) -> None:
        name = name_of(node)
        with self.graph.inserting_before(node):
            moved = self._insert(aten.permute.default, (node.args[0], list(edit.there)), f"{name}/channels_last")
        node.update_arg(0, moved)
        with self.graph.inserting_after(node):
            back = self._insert(aten.permute.default, (node, list(edit.back)), f"{name}/channels_first")
        node.replace_all_uses_with(back)
        back.update_arg(0, node)
        value = value_of(node)
        node.meta[VALUE] = f"{name}/over_channels"
        back.meta[VALUE] = value
        self.values[value] = back
        if "dim" in self._call(node):
            self._set_axis(node, SetAxis(name, len(edit.there) - 1, edit.reason))

    # Parts ----------------------------------------------------------------------------------------

    def _insert(self, target: Any, args: tuple[Any, ...], name: str) -> fx.Node:
        node = self.graph.call_function(target, args)
        node.meta[NAME] = name
        self.nodes[name] = self.values[name] = node
        return node

    def _replace(self, node: fx.Node, target: Any, args: tuple[Any, ...], name: str) -> None:
        """Another operator in the node's place, under the same name unless another is given."""
        ((_, part), *_) = parts_of(node)  # a tuple's first, where the old operator answered with one
        value = value_of(part)
        with self.graph.inserting_before(node):
            made = self.graph.call_function(target, args)
        made.meta = {**node.meta, NAME: name}
        if value != name:
            made.meta[VALUE] = value
        part.replace_all_uses_with(made)
        for gone in (*node.users, node):
            self.graph.erase_node(gone)
        self.nodes[name_of(node)] = self.nodes[name] = self.values[value] = made


_HOW: Mapping[type, Callable[[Work, fx.Node, Any], None]] = {
    AlignConstants: Work._align,
    ChannelsLast: Work._channels_last,
    FixWindow: Work._fix_window,
    FreeShape: Work._free_shape,
    FromChannelsFirst: Work._from_channels_first,
    GlobalToLocal: Work._pool_around,
    GlobalToSliding: Work._slide,
    LinearToConv: Work._convolve,
    RemoveLayout: Work._remove,
    SampleGate: Work._sample,
    SetAxis: Work._set_axis,
    SetOrder: Work._set_order,
    ToChannelsFirst: Work._channels_first,
}
EDITS = frozenset(_HOW)
# The axis of an operator is its argument ``dim``; a convolution of a vector's channels becomes one of a map's.
SETS_AXIS = frozenset(
    op_of(target)
    for target in OPERATORS
    if any(a.name == "dim" for a in getattr(getattr(target, "_schema", None), "arguments", ()))
) | {op_of(aten.conv1d.default)}


def _matrix_and_bias(node: fx.Node, call: Call) -> tuple[fx.Node, Any]:
    if node.target is aten.linear.default:
        return call["weight"], call["bias"]
    if node.target is aten.addmm.default:
        return call["mat2"], call["self"]
    return call["mat2" if "mat2" in call else "other"], None


def _is_max(node: fx.Node) -> bool:
    return "max" in str(node.target)


def fetch(module: nn.Module, name: str) -> torch.Tensor:
    """A tensor of a module by its name."""
    path, _, leaf = name.rpartition(".")
    found: torch.Tensor = getattr(module.get_submodule(path), leaf)
    return found
