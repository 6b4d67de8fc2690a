"""A PyTorch graph as ONNX: every operator by its spelling, parameters bound as they are."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import fx

from fullconv.errors import BadInput, CannotRun, Refusal
from fullconv.formats.torch.network import WIDE, TorchNet, name_of, outputs_of, parts_of, spelling_of, value_of
from fullconv.formats.torch.operators import OPERATORS, Emitter, NotLowered, Spelling, Unspelt
from fullconv.formats.torch.quiet import quiet
from fullconv.formats.torch.shapes import LIKE, Known, is_size, learn
from fullconv.graph.axes import SPACE, Axes
from fullconv.runtimes.lowered import Lowered

_MOVES = (
    "Identity",
    "Reshape",
    "Flatten",
    "Transpose",
    "Slice",
    "Split",
    "Select",
    "Gather",
    "Concat",
    "Stack",
    "Expand",
)
_TYPES = {"float": torch.float32, "int": torch.int64, "bool": torch.bool}
_OTHER = WIDE + 1  # images, of which a form that holds for any number of them is the same
_TIMES = (2, 3)  # another size, in training sizes: what is lowered alike for both holds for any


def lower(net: TorchNet, shapes: Mapping[str, Sequence[int]]) -> Lowered:
    """Lower a network for inputs of these shapes; for any size where it is lowered alike for another one.

    Raises:
        CannotRun: an operator has no form for the engine; PyTorch itself can run it.
    """
    free = _for_any_size(net)
    if free is not None:
        return replace(free, inputs={name: tuple(shapes.get(name, shape)) for name, shape in free.inputs.items()})
    wanted = {name: tuple(shapes.get(name, axes.shape)) for name, axes in net.inputs.items()}
    known = _known(net, wanted)
    if known is None:
        raise BadInput(f"{net.source}: inputs of {wanted} do not go through the network")
    bound = _lowered(net, known)
    if net.batch is None:
        _require_any_batch(net, bound, _known(net, wanted, _OTHER))
    return replace(bound, inputs=wanted, any_size=False, free=())


def _for_any_size(net: TorchNet) -> Lowered | None:
    """The one form for all sizes; None where sizes differ in theirs."""
    if not net.lowered:
        net.lowered.append(_made_for_any_size(net))
    return net.lowered[0]


def _made_for_any_size(net: TorchNet) -> Lowered | None:
    here = _lowered(net, net.known)
    other = _known(net, {name: _larger(axes) for name, axes in net.inputs.items()}, _OTHER)
    if other is None or not _same(here, _lowered(net, other)):
        return None
    axes = next(iter(net.inputs.values()))
    sides = (i for i in (axes.space_axis("h"), axes.space_axis("w")) if i is not None)
    return replace(here, any_size=True, free=(*((0,) if net.batch is None else ()), *sides))


def _larger(axes: Axes) -> tuple[int, ...]:
    height, width = (axes.space_axis(root) for root in SPACE)
    times = {height: _TIMES[0], width: _TIMES[1]}
    return tuple(size * times.get(i, 1) for i, size in enumerate(axes.shape))


def _require_any_batch(net: TorchNet, bound: Lowered, other: Known | None) -> None:
    """CannotRun where a form holds for the number of images alone that it was made at."""
    if other is None or not _same(bound, _lowered(net, other)):
        reason = "its form follows the number of images; run it with --runtime torch"
        raise CannotRun(f"{net.source}: cannot be run by ONNX Runtime", [Refusal(net.source, reason)])


def _known(net: TorchNet, shapes: Mapping[str, Sequence[int]], images: int = WIDE) -> Known | None:
    """What is known of the values for inputs of other shapes; None where these do not go through."""
    try:
        with quiet():
            return learn(net.module, {name: (net.batch or images, *shape[1:]) for name, shape in shapes.items()})
    except Exception:  # whatever the operators say of sizes that they do not take
        return None


def _same(one: Lowered, other: Lowered) -> bool:
    """Whether two lowerings are one graph with the same numbers."""
    nodes = len(one.nodes) == len(other.nodes) and all(map(operator.eq, one.nodes, other.nodes))
    return nodes and list(one.constants) == list(other.constants)


def _lowered(net: TorchNet, known: Known) -> Lowered:
    work = _Lower(net, known)
    for node in net.module.graph.nodes:
        work.visit(node)
    b = work.emitter
    inputs = {name: (net.batch or axes.shape[0], *axes.shape[1:]) for name, axes in net.inputs.items()}
    named = {value_of(node): value for node, value in b.env.items() if isinstance(value, str) and node in known.flowing}
    outputs = {name: value for name, value in named.items() if value in work.made}
    return Lowered(b.nodes, list(b.constants.values()), inputs, outputs, work.weights, False, ())


class _Lower:
    def __init__(self, net: TorchNet, known: Known) -> None:
        self.net = net
        self.known = known
        self.emitter = Emitter(known)
        self.weights: dict[str, Any] = {}
        self.sized = _sized(net)
        self.numbers = _fold(net, self.sized)
        self.made: set[str] = set()

    def visit(self, node: fx.Node) -> None:
        b = self.emitter
        if node.op == "placeholder":
            b.env[node] = name_of(node)
        elif node in self.numbers and any(user in self.known.flowing or user in self.sized for user in node.users):
            b.env[node] = self._weight(name_of(node) if node.op != "get_attr" else str(node.target), self.numbers[node])
        elif node.op != "call_function" or node.target is operator.getitem:
            return
        elif is_size(node):
            b.env[node] = self._size(node)
        elif node in self.known.flowing or (node in self.sized and any(n in b.env for n in node.all_input_nodes)):
            self._call(node)

    def _call(self, node: fx.Node) -> None:
        b = self.emitter
        try:
            spelling = spelling_of(node, self.known)
            if spelling is None:
                raise NotLowered(f"{node.target} has no form for ONNX here")
            given = self._given(node, spelling)
            if spelling.emit is not None:
                found = spelling.emit(b, *given)
            else:
                while given and not given[-1]:
                    given.pop()
                found = b.op(spelling.op, *given, **spelling.attributes)
        except (NotLowered, Unspelt) as error:
            reason = f"{error}; run it with --runtime torch"
            raise CannotRun(
                f"{self.net.source}: cannot be run by ONNX Runtime", [Refusal(name_of(node), reason)]
            ) from None
        values = [found] if isinstance(found, str) else list(found)
        self.made.update(values)
        for i, part in parts_of(node):
            b.env[part] = values[i]
        for user in node.users:
            if user.target is operator.getitem:
                b.env[user] = values[int(user.args[1])]  # type: ignore[arg-type]

    def _given(self, node: fx.Node, spelling: Spelling) -> list[str]:
        """Its inputs, made what its output is, as PyTorch promotes them."""
        b, record, kind = self.emitter, OPERATORS[node.target], self.known.kinds[node]
        if kind not in record.kinds:
            raise NotLowered(
                f"{node.target} over {'whole numbers' if kind == 'int' else 'booleans'} has no form for ONNX here"
            )
        if node in self.known.narrow and spelling.op not in _MOVES:
            raise NotLowered(f"{node.target} over numbers of less than 32 bits has no form for ONNX here")
        if not record.casts:
            return [b.value(v) for v in spelling.inputs]
        kinds = ((v, self.known.kinds.get(v, "int") if isinstance(v, fx.Node) else kind) for v in spelling.inputs)
        return [b.cast(b.value(v, have), have, kind) for v, have in kinds]

    def _size(self, node: fx.Node) -> Any:
        """A size as a tensor of one whole number; what does not follow from the image as a number."""
        b = self.emitter
        if node.target is torch.ops.aten.sym_size.int:
            source, axis = node.args
            assert isinstance(source, fx.Node)
            shape = b.op("Shape", b.value(source))
            return b.op("Gather", shape, b.ints(int(axis)), axis=0)  # type: ignore[arg-type]
        op = {"add": "Add", "sub": "Sub", "mul": "Mul", "floordiv": "Div"}.get(getattr(node.target, "__name__", ""))
        if op is None:
            raise CannotRun(
                f"{self.net.source}: cannot be run by ONNX Runtime",
                [
                    Refusal(
                        name_of(node), f"{node.target} on sizes has no form for ONNX here; run it with --runtime torch"
                    )
                ],
            )
        sides = (b.env[a] if isinstance(a, fx.Node) else b.ints(int(a)) for a in node.args)  # type: ignore[arg-type]
        return b.op(op, *sides)

    def _weight(self, name: str, tensor: torch.Tensor) -> str:
        array = tensor.detach().cpu()
        values = array.float().numpy() if array.is_floating_point() else array.numpy()
        if values.dtype == np.float32:
            self.weights[name] = np.asarray(values, order="C")
            return name
        return self.emitter._constant(values)


def _sized(net: TorchNet) -> frozenset[fx.Node]:
    """Tensors that follow from sizes and parameters alone: a token repeated for a batch, say."""
    found: set[fx.Node] = set()
    for node in net.module.graph.nodes:
        plain = node.op == "call_function" and node not in net.known.flowing and not is_size(node)
        if plain and any(n in found or is_size(n) for n in node.all_input_nodes):
            found.add(node)
    return frozenset(found)


def _fold(net: TorchNet, sized: frozenset[fx.Node]) -> Mapping[fx.Node, torch.Tensor]:
    """Numbers of everything that depends on no input: parameters, and what is computed from them alone."""
    flowing = net.known.flowing
    env: dict[fx.Node, Any] = {}
    runner = fx.Interpreter(net.module, garbage_collect_values=False)
    with torch.no_grad():
        for node in net.module.graph.nodes:
            if node.op == "get_attr":
                env[node] = runner.fetch_attr(str(node.target))
            elif node.op == "call_function" and node not in flowing and node not in sized and not is_size(node):
                if node.target in LIKE:
                    env[node.args[0]] = torch.empty(0, dtype=_TYPES[net.known.kinds[node]])
                args, kwargs = fx.node.map_arg((node.args, node.kwargs), env.__getitem__)
                env[node] = node.target(*args, **kwargs)
    return {n: value for n, value in env.items() if isinstance(value, torch.Tensor) and n not in flowing}


def output_names(net: TorchNet) -> list[str]:
    """Names of the module's answers, in its order."""
    return [value_of(node) for node in outputs_of(net.module)]
