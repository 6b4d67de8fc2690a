"""A lowered network as a torch.fx.GraphModule: parameters and buffers under the names of the file's layers."""

from __future__ import annotations

import keyword
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from torch import fx, nn

from fullconv.errors import CannotRun, Refusal
from fullconv.runtimes.lowered import Lowered, by_sides
from fullconv.runtimes.torch.names import valid
from fullconv.runtimes.torch.operators import SPELT
from fullconv.runtimes.torch.record import Call, Known, Unspelt, Value
from fullconv.runtimes.trainable import Trainable

Array = npt.NDArray[Any]
VALUES = "values"  # meta of a module: the lowered network's value that a node makes, by the node's name
_OURS = "constants"  # meta of a module: buffers that are the lowering's own, and no part of a state_dict


def trained(network: Trainable, outputs: Sequence[str], source: str) -> fx.GraphModule:
    """A module that trains, in eval mode, over copies of the network's arrays.

    Raises:
        CannotRun: an operator has no spelling here; all are named.
    """
    names = valid(network.names)
    build = _Build(network.lowered, names, network.parameters, trains=True, copies=True, batch=network.batch)
    return build.result(outputs, source)


def inferring(lowered: Lowered, outputs: Sequence[str], source: str) -> fx.GraphModule:
    """A module for inference alone, over the network's own arrays: what follows from constants is computed at once.

    Raises:
        CannotRun: an operator has no spelling here; all are named.
    """
    return _Build(lowered, {}, frozenset(), trains=False, copies=False).result(outputs, source)


class _Build:
    """One module while it is made."""

    def __init__(
        self,
        lowered: Lowered,
        names: Mapping[str, str],
        parameters: frozenset[str],
        *,
        trains: bool,
        copies: bool,
        batch: int | None = None,
    ) -> None:
        self.trains = trains
        self._lowered = lowered
        self._names = names
        self._parameters = parameters
        self._copies = copies
        self._batch = batch
        self._root = nn.Module()
        self._graph = fx.Graph()
        self._sizes: set[fx.Node] = set()
        self._tensors: dict[str, fx.Node] = {}
        self._flags: dict[str, fx.Node] = {}
        self._env: dict[str, Value] = {}
        self._stem = ""

    # Builder ----------------------------------------------------------------------------------------

    def emit(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> fx.Node:
        return self._graph.create_node("call_function", function, args, kwargs, name=self._stem)

    def tensor(self, value: Known) -> fx.Node:
        if value.name not in self._tensors:
            name = self._names.get(value.name)
            own = name is None
            name = f"constant{len(self._tensors)}" if name is None else name
            self._register(name, value, persistent=not own)
            self._tensors[value.name] = self._attribute(name)
        return self._tensors[value.name]

    def training(self, beside: Value | None) -> fx.Node:
        name = self._names.get(beside.name, "") if isinstance(beside, Known) else ""
        path = name.rpartition(".")[0]
        target = f"{path}.training" if path else "training"
        if target not in self._flags:
            if path:
                _holder(self._root, f"{path}.training")
            self._flags[target] = self._attribute(target)
        return self._flags[target]

    def is_sizes(self, node: fx.Node) -> bool:
        return node in self._sizes

    def mark_sizes(self, node: fx.Node) -> fx.Node:
        self._sizes.add(node)
        return node

    # ------------------------------------------------------------------------------------------------

    def result(self, outputs: Sequence[str], source: str) -> fx.GraphModule:
        lowered = self._lowered
        for name in lowered.inputs:
            self._env[name] = self._input(name)
        for name, array in lowered.weights.items():
            self._env[name] = Known(name, array, name not in self._names)
        for constant in lowered.constants:
            self._env[constant.name] = Known(
                constant.name, numpy_helper.to_array(constant), constant.name not in self._names
            )
        nodes = [part for node in lowered.nodes for part in by_sides(node)]
        reads = _leading_to([lowered.outputs[name] for name in outputs], nodes)
        refusals = []
        for node in nodes:
            if node.output[0] not in reads and not any(o in reads for o in node.output):
                continue
            try:
                self._node(node, reads)
            except Unspelt as error:
                reason = f"{node.op_type} is not spelt in PyTorch here: {error}"
                refusals.append(Refusal(node.name or node.output[0], reason))
                self._env.update((name, self._graph.placeholder(_argument(name))) for name in node.output)
        if refusals:
            raise CannotRun(f"{source}: has no form in PyTorch here", refusals)
        self._output([self._env[lowered.outputs[name]] for name in outputs])
        self._graph.eliminate_dead_code()
        values = {node.name: value for value, node in self._env.items() if isinstance(node, fx.Node)}
        module = fx.GraphModule(self._root, self._graph, "FullyConvolutional")
        module.meta[VALUES] = values
        module.meta[_OURS] = tuple(name for name, _ in module.named_buffers() if name not in set(self._names.values()))
        _forget(module)
        module._register_deepcopy_hook(_forget)
        return module.eval()

    def _input(self, name: str) -> fx.Node:
        made = self._graph.placeholder(_argument(name))
        shape: tuple[int | None, ...] = self._lowered.inputs[name]
        if self._lowered.any_size:
            shape = (self._batch, *[None] * (len(shape) - 1))
        return made if not any(shape) else self.emit(held, (made, shape), {})

    def _node(self, node: onnx.NodeProto, reads: set[str]) -> None:
        inputs = tuple(self._env[name] if name else None for name in node.input)
        attributes = {a.name: _attribute(a) for a in node.attribute}
        if node.op_type == "Constant" and not node.domain:
            array = _constant(attributes)
            self._env[node.output[0]] = Known(node.output[0], array, node.output[0] not in self._names)
            return
        if inputs and all(v is None or (isinstance(v, Known) and v.frozen) for v in inputs):
            made = self._computed(node, inputs)
            if made is not None:
                self._env.update((n, Known(n, array, True)) for n, array in zip(node.output, made, strict=False) if n)
                return
        record = SPELT.get((node.domain, node.op_type))
        if record is None:
            raise Unspelt("no record spells it")
        count = max(i for i, name in enumerate(node.output) if name in reads) + 1
        opset = self._lowered.opsets.get(node.domain, 1)
        self._stem = node.output[0]
        call = Call(node.op_type, node.name, inputs, attributes, opset, count, self)
        spell = record.of_sizes if call.reads_sizes or node.op_type == "ConstantOfShape" else record.spell
        if spell is None:
            raise Unspelt("it computes with sizes of the image in a way that is not spelt here")
        found = spell(call)
        values = [found] if isinstance(found, fx.Node) else list(found)
        self._env.update((name, value) for name, value in zip(node.output, values, strict=False) if name)

    def _computed(self, node: onnx.NodeProto, inputs: tuple[Value | None, ...]) -> list[Array] | None:
        """A constant node's outputs, by ONNX's own reference; None where it does not know the operator."""
        given = {name: v.array for name, v in zip(node.input, inputs, strict=True) if isinstance(v, Known)}
        infos = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in given.items()
        ]
        outputs = [onnx.ValueInfoProto(name=name) for name in node.output if name]
        model = helper.make_model(
            helper.make_graph([node], "constant", infos, outputs),
            opset_imports=[helper.make_opsetid(*each) for each in self._lowered.opsets.items()],
        )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = ReferenceEvaluator(model).run(None, given)
        except Exception:  # an operator that the reference lacks: torch computes it in the module
            return None
        return [np.asarray(value) for value in found]

    def _register(self, name: str, value: Known, *, persistent: bool) -> None:
        holder, leaf = _holder(self._root, name)
        tensor = tensor_of(value.array, copies=self._copies)
        if value.name in self._parameters:
            holder.register_parameter(leaf, nn.Parameter(tensor))
        else:
            holder.register_buffer(leaf, tensor, persistent=persistent)

    def _attribute(self, name: str) -> fx.Node:
        """One get_attr node a name, in front of all that compute; fx warns of ``training``, which is no tensor on purpose."""
        return self._graph.create_node("get_attr", name, (), {}, name=re.sub(r"\W", "_", name))

    def _output(self, values: Sequence[Value]) -> None:
        made = [self.tensor(v) if isinstance(v, Known) else v for v in values]
        self._graph.output(made[0] if len(made) == 1 else tuple(made))


def held(x: torch.Tensor, shape: Sequence[int | None]) -> torch.Tensor:
    """An input of a network that is written for one size, or one size of a batch: for others its answers would be others."""
    if any(want is not None and want != have for want, have in zip(shape, x.shape, strict=True)):
        wanted = " × ".join("any" if want is None else str(want) for want in shape)
        raise ValueError(f"the network takes inputs of {wanted}, found {tuple(x.shape)}")
    return x


def tensor_of(array: Array, *, copies: bool) -> torch.Tensor:
    """An array as a tensor of its own, or over the same memory, which is only read then."""
    array = np.array(array, order="C") if copies or not array.flags.c_contiguous else array
    with warnings.catch_warnings():  # that it may not be written, which nobody does
        warnings.simplefilter("ignore")
        try:
            return torch.from_numpy(array)
        except TypeError:
            raise Unspelt(f"numbers of {array.dtype}") from None


def _forget(module: fx.GraphModule) -> None:
    """Buffers of our own are no part of a state_dict, which fx does not keep through copies."""
    for name in module.meta[_OURS]:
        holder, leaf = _holder(module, name)
        holder.register_buffer(leaf, holder._buffers.pop(leaf), persistent=False)


def _holder(root: nn.Module, name: str) -> tuple[nn.Module, str]:
    """The module that holds this name, made where it is not there yet."""
    *path, leaf = name.split(".")
    for part in path:
        if part not in root._modules:
            root.add_module(part, nn.Module())
        root = root.get_submodule(part)
    return root, leaf


def _argument(name: str) -> str:
    """An input's name as an argument of ``forward``."""
    made = re.sub(r"\W", "_", name, flags=re.ASCII) or "_"
    return f"_{made}" if made[0].isdigit() or keyword.iskeyword(made) or made == "self" else made


def _attribute(attribute: onnx.AttributeProto) -> Any:
    value = helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    if isinstance(value, list):
        return [v.decode() if isinstance(v, bytes) else v for v in value]
    return value


def _constant(attributes: Mapping[str, Any]) -> Array:
    ((kind, value),) = attributes.items()
    if kind == "value":
        return np.asarray(value)
    if kind in ("value_float", "value_floats"):
        return np.asarray(value, np.float32)
    if kind in ("value_int", "value_ints"):
        return np.asarray(value, np.int64)
    raise Unspelt(f"a constant by {kind}")


def _leading_to(values: Sequence[str], nodes: Sequence[onnx.NodeProto]) -> set[str]:
    """Values that lead to these."""
    reads = set(values)
    for node in reversed(nodes):
        if any(name in reads for name in node.output):
            reads |= {name for name in node.input if name}
    return reads
