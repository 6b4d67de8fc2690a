"""An ExportedProgram as an nn.Module of its own: a graph of ATen operators over parameters under their old names.

What an export froze is set free again: batch normalisation and dropout ask their module whether it trains. Operators in
place become their plain forms, so that every value is written once.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import fx, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind

from fullconv.errors import BadInput

OPAQUE, PATH = "opaque", "path"  # keys of node.meta: why a node cannot be placed; the module that it belongs to
_QUOTES = re.compile(r"""["'\\\x00-\x1f]""")
aten = torch.ops.aten
_TRAINING = {aten.dropout.default: 2, aten.feature_dropout.default: 2, aten.alpha_dropout.default: 2}
_TENSORS = {
    InputKind.PARAMETER,
    InputKind.BUFFER,
    InputKind.CONSTANT_TENSOR,
}


def batch_norm(
    x: torch.Tensor,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    mean: torch.Tensor,
    var: torch.Tensor,
    tracked: torch.Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> torch.Tensor:
    """Batch normalisation that counts its batches in training, as nn.BatchNorm2d does."""
    if training and tracked is not None:
        tracked.add_(1)
    return torch.nn.functional.batch_norm(x, mean, var, weight, bias, training, momentum, eps)


def channel_conv1d(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, padding: int) -> torch.Tensor:
    """A convolution along the channels of every cell of (n, c, h, w): what a 1-D convolution of a vector becomes."""
    kernel = weight.unsqueeze(-1).unsqueeze(-1)
    return torch.nn.functional.conv3d(x.unsqueeze(1), kernel, bias, padding=(padding, 0, 0)).squeeze(1)


def below_peak(x: torch.Tensor) -> torch.Tensor:
    """Scores of (n, c, h, w) less their largest, which a softmax over positions does not notice: its exponentials stay finite."""
    return x - x.amax((2, 3), keepdim=True)


def about_mean(x: torch.Tensor, rows: int, cols: int) -> torch.Tensor:
    """Numbers less their mean over the two sides of a map, which a variance does not notice: its squares stay small.

    The mean is a number that is taken off and no more: what it adds to the gradient of a variance is nothing.
    """
    return x - x.detach().mean((rows, cols), keepdim=True)


def module_of(program: ExportedProgram, named: Mapping[int, tuple[str, bool]] | None = None) -> fx.GraphModule:
    """The program as a module; its parameters are the program's own tensors.

    Args:
        named: names of tensors that the export took for constants, and whether they train, by where they lie in memory.
    """
    return _Build(program, named or {}).result()


class _Build:
    def __init__(self, program: ExportedProgram, named: Mapping[int, tuple[str, bool]]) -> None:
        self.program = program
        self.named = named
        self.root = nn.Module()
        self.graph = fx.Graph()
        self.env: dict[fx.Node, Any] = {}
        self.views: dict[fx.Node, fx.Node] = {}  # a view to what it looks into, both as exported
        self.order = {node: i for i, node in enumerate(program.graph.nodes)}

    def result(self) -> fx.GraphModule:
        signature = self.program.graph_signature
        kinds = {spec.arg.name: spec for spec in signature.input_specs if hasattr(spec.arg, "name")}
        for node in self.program.graph.nodes:
            if node.op == "placeholder":
                spec = kinds.get(node.name)
                if spec is None or spec.kind not in _TENSORS:
                    self.env[node] = self.graph.placeholder(str(node.target))
                else:
                    self.env[node] = self._tensor(str(spec.target), spec.kind is InputKind.PARAMETER)
            elif node.op == "output":
                self._output(node)
            else:
                self._call(node)
        self.graph.eliminate_dead_code(is_impure_node=_writes)
        module = fx.GraphModule(self.root, self.graph, "FullyConvolutional")
        module.eval()
        return module

    def _tensor(self, name: str, is_parameter: bool) -> fx.Node:
        value = self.program.state_dict.get(name)
        persistent = value is not None
        if value is None:
            value = self.program.constants[name]
            if isinstance(value, torch.Tensor) and value.data_ptr() in self.named:
                name, is_parameter = self.named[value.data_ptr()]
                persistent = True
        if _QUOTES.search(name):  # names become Python code
            raise BadInput(f"the tensor {name!r} has a name with quotes or control characters; rename its layer")
        holder, leaf = _holder(self.root, name)
        if not hasattr(holder, leaf):
            if is_parameter or value.requires_grad:  # of a script that was converted all are buffers
                holder.register_parameter(leaf, value if isinstance(value, nn.Parameter) else nn.Parameter(value))
            else:
                holder.register_buffer(leaf, value.detach() if not persistent else value, persistent=persistent)
        return get(self.graph, name)

    def _call(self, node: fx.Node) -> None:
        if node.target is torch.ops.higher_order.wrap_with_set_grad_enabled or "autocast" in str(node.target):
            self._inline(node)
            return
        if str(node.target).startswith("aten._assert"):
            return  # a check of the exporter's, true for the sizes that it saw
        if str(node.target).startswith("aten.to.") and _same_kind(node):
            self.env[node] = self.env[node.args[0]]  # type: ignore[index]
            return
        new = self.graph.node_copy(node, lambda n: self.env[n])
        new.meta = {PATH: _path(node)}
        self.env[node] = new
        if node.target is aten.convolution.default:
            _name_convolution(new, node.args[1])
        self._train_again(new)
        self._plain(node, new)

    def _inline(self, node: fx.Node) -> None:
        """Gradients or autocast switched for a part: the part itself, as inference computes it."""
        inner = next(a for a in node.args if isinstance(a, fx.Node) and a.op == "get_attr")
        body = getattr(self.program.graph_module, str(inner.target))
        given = list(node.args[list(node.args).index(inner) + 1 :])
        for placeholder, value in zip((n for n in body.graph.nodes if n.op == "placeholder"), given, strict=True):
            self.env[placeholder] = self.env[value] if isinstance(value, fx.Node) else value
        for part in body.graph.nodes:
            if part.op == "output":
                found = part.args[0]
                self.env[node] = [self.env[v] for v in found] if isinstance(found, list | tuple) else self.env[found]
            elif part.op != "placeholder":
                self._call(part)

    def _train_again(self, node: fx.Node) -> None:
        """Let batch normalisation and dropout follow train() and eval()."""
        if node.target is aten.batch_norm.default:
            x, weight, bias, mean, var, training, momentum, eps, *_ = node.args
            if training or not (isinstance(mean, fx.Node) and mean.op == "get_attr"):
                return  # a normalisation of weights, say: the same in both modes
            path = str(mean.target).rpartition(".")[0]
            tracked = f"{path}.num_batches_tracked" if path else "num_batches_tracked"
            with self.graph.inserting_before(node):
                count = self._tensor(tracked, False) if tracked in self.program.state_dict else None
                flag = get(self.graph, f"{path}.training" if path else "training")
            node.target = batch_norm
            node.args = (x, weight, bias, mean, var, count, flag, momentum, eps)
        place = _TRAINING.get(_without_underscore(node.target))
        if place is not None and node.args[place] is not True:  # what drops at inference too is no part of training
            with self.graph.inserting_before(node):
                flag = get(self.graph, "training")
            node.target = _without_underscore(node.target)
            node.args = (*node.args[:place], flag)

    def _plain(self, node: fx.Node, new: fx.Node) -> None:
        """Give the plain form of an operator in place; whatever read the old value behind it reads the new one."""
        schema = getattr(node.target, "_schema", None)
        if schema is None or not node.args or not isinstance(node.args[0], fx.Node):
            return
        target = node.args[0]
        base = self.views.get(target, target)
        returned = schema.returns[0].alias_info if schema.returns else None
        if not schema.is_mutable:
            if returned is not None:
                self.views[node] = base
            return
        plain = _without_underscore(node.target)
        others = [value for value, root in self.views.items() if root is base and value is not target]
        others += [base] if base is not target else []
        now = self.order.get(node, 0)
        seen = any(self.order.get(user, 0) > now for other in others for user in other.users)
        if plain is node.target or seen:
            new.meta[OPAQUE] = "it writes into a part of a value that is read again"
            return
        new.target = plain
        self.env[target] = new

    def _output(self, node: fx.Node) -> None:
        specs = self.program.graph_signature.output_specs
        found = node.args[0]
        assert isinstance(found, list | tuple)
        kept = [
            self.env[value] if isinstance(value, fx.Node) else value
            for value, spec in zip(found, specs, strict=True)
            if spec.kind is OutputKind.USER_OUTPUT
        ]
        self.graph.output(kept[0] if len(kept) == 1 else tuple(kept))


def _name_convolution(node: fx.Node, weight: Any) -> None:
    """A convolution as a trace or a decomposition writes it, under the name that a module's has."""
    if weight.meta["val"].ndim != 4:
        return
    x, weight, bias, stride, padding, dilation, transposed, more, groups = node.args
    if transposed:
        node.target = aten.conv_transpose2d.input
        node.args = (x, weight, bias, stride, padding, more, groups, dilation)
    else:
        node.target, node.args = aten.conv2d.default, (x, weight, bias, stride, padding, dilation, groups)


def _same_kind(node: fx.Node) -> bool:
    """Whether a conversion leaves a tensor what it is."""
    before, after = (getattr(n, "meta", {}).get("val") for n in (node.args[0], node))
    if not (isinstance(before, torch.Tensor) and isinstance(after, torch.Tensor)):
        return False
    return (before.dtype, before.device) == (after.dtype, after.device)


def _path(node: fx.Node) -> str:
    """The module that a call belongs to, as the export tells it."""
    stack = node.meta.get("nn_module_stack") or {}
    paths = [path for path, _ in stack.values()]
    return str(paths[-1]) if paths else ""


def module_like(old: fx.GraphModule, graph: fx.Graph, changed: Mapping[str, torch.Tensor]) -> fx.GraphModule:
    """A module of another graph over the old one's tensors, some of them changed."""
    root = nn.Module()
    persistent = set(old.state_dict())
    for name in dict.fromkeys(str(node.target) for node in graph.nodes if node.op == "get_attr"):
        path, _, leaf = name.rpartition(".")
        value = changed.get(name)
        value = getattr(old.get_submodule(path), leaf) if value is None else value
        holder, leaf = _holder(root, name)
        if isinstance(value, nn.Parameter):
            holder.register_parameter(leaf, value)
        elif isinstance(value, torch.Tensor):
            holder.register_buffer(leaf, value, persistent=name in persistent)
    module = fx.GraphModule(root, graph, "FullyConvolutional")
    for name, buffer in root.named_buffers():  # fx forgets which are no part of a state_dict
        if name not in persistent:
            path, _, leaf = name.rpartition(".")
            module.get_submodule(path).register_buffer(leaf, buffer, persistent=False)
    return module.eval()


def _writes(node: fx.Node) -> bool:
    """Nodes that stay though nothing reads them."""
    return node.op in ("placeholder", "output") or OPAQUE in node.meta


def _holder(root: nn.Module, name: str) -> tuple[nn.Module, str]:
    """The module that holds a tensor of this name, made where it is not there yet."""
    *path, leaf = name.split(".")
    for part in path:
        if not hasattr(root, part):
            root.add_module(part, nn.Module())
        root = getattr(root, part)
    return root, leaf


def get(graph: fx.Graph, name: str) -> fx.Node:
    """One get_attr node a name: fx warns of attributes that are no tensors, which ``training`` is on purpose."""
    return graph.create_node("get_attr", name, (), {}, name=name.replace(".", "_"))


def _without_underscore(target: Any) -> Any:
    """``relu_`` as ``relu``; the target itself where it is no operator in place."""
    name = getattr(target, "_schema", None) and target._schema.name.partition("::")[2]
    if not name or not name.endswith("_") or name.endswith("__"):
        return target
    packet = getattr(aten, name[:-1], None)
    overload = target._overloadname
    return target if packet is None or overload not in packet.overloads() else getattr(packet, overload)


def calls(module: fx.GraphModule) -> Iterator[fx.Node]:
    """Nodes that compute, in order; parts of a tuple are told by their readers."""
    for node in module.graph.nodes:
        if node.op == "call_function" and node.target is not operator.getitem:
            yield node
