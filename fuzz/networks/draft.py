"""A network while it is drawn: every node is run as it is added, so that what cannot run never gets in.

A value's numbers are known from the first node on. They give its shape, whatever computes it, and keep the network sane: a node
whose answer is no number, too large, or the same everywhere is left out again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

Array = npt.NDArray[Any]
_SMALLEST = 1e-3  # what is no larger may be rounding alone
_LARGEST = 1e4  # numbers beyond which float32 has too few digits left to compare


def plain_options() -> ort.SessionOptions:
    """Options of an engine that computes every operator as it is defined, on one thread, and says nothing."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return options


_OPTIONS = plain_options()


class Draft:
    """Nodes, constants, and the numbers of every value at training size."""

    def __init__(self, random: Random, opset: int, image: Array, name: str = "x", constants: float = 0.1) -> None:
        self.random = random
        self.numbers = np.random.default_rng(random.getrandbits(32))
        self.opset = opset
        self.constant_nodes = constants
        self.input = name
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, Array] = {}
        self.values: dict[str, Array] = {name: image}
        self._count = 0

    # Drawing ------------------------------------------------------------------------------------------

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def pick(self, choices: Sequence[Any]) -> Any:
        return self.random.choice(list(choices))

    def weights(self, *shape: int) -> Array:
        """Random numbers of sane size."""
        fan = max(1, int(np.prod(shape[1:]))) if len(shape) > 1 else 4
        return (self.numbers.standard_normal(shape) / np.sqrt(fan)).astype(np.float32)

    def positive(self, *shape: int) -> Array:
        return (self.numbers.random(shape) + 0.5).astype(np.float32)

    # Building -----------------------------------------------------------------------------------------

    def name(self, stem: str) -> str:
        self._count += 1
        return f"{stem}{self._count}"

    def shape(self, value: str) -> tuple[int, ...]:
        return tuple(self.values[value].shape)

    def constant(self, numbers: Any, dtype: Any = None) -> str:
        """A constant, mostly as an initializer, at times as a Constant node."""
        name = self.name("k")
        array = np.asarray(numbers, dtype)
        if self.chance(self.constant_nodes):
            made = helper.make_node("Constant", [], [name], name, value=numpy_helper.from_array(array))
            self.nodes.append(made)
            self.values[name] = array
        else:
            self.constants[name] = array
        return name

    def ints(self, numbers: Sequence[int]) -> str:
        return self.constant(list(numbers), np.int64)

    def add(self, kind: str, inputs: Sequence[str], outputs: int = 1, **attributes: Any) -> str | None:
        """One more node; its first output's name, or None where it does not run or gives nothing sane."""
        names = [self.name("v") for _ in range(outputs)]
        given = {name: value for name, value in attributes.items() if value is not None}
        try:
            onnx.defs.get_schema(kind, self.opset, "")  # the engine runs some in sets that do not have them
            node = helper.make_node(kind, list(inputs), names, f"{kind}_{names[0]}", **given)
            found = run_node(node, {name: self.known(name) for name in inputs if name}, self.opset)
        except Exception:  # whatever an invalid node makes the engine say
            return None
        if not all(_sane(array) for array in found):
            return None
        self.nodes.append(node)
        self.values.update(zip(names, found, strict=True))
        return names[0]

    def chain(self, first: str | None, *steps: Any) -> str | None:
        """Nodes one after another: each step is a kind, or (kind, more inputs, attributes)."""
        value = first
        for step in steps:
            kind, more, attributes = (step, (), {}) if isinstance(step, str) else (*step, {})[:3]
            if value is None:
                return None
            value = self.add(kind, [value, *more], **attributes)
        return value

    def known(self, name: str) -> Array:
        return self.values[name] if name in self.values else self.constants[name]

    def axes(self, kind: str, value: str, axes: Sequence[int] | None, since: int, **attributes: Any) -> str | None:
        """A node whose axes are an attribute before an operator set and an input from it on."""
        if axes is None:
            return self.add(kind, [value], **attributes)
        if self.opset >= since:
            return self.add(kind, [value, self.ints(axes)], **attributes)
        return self.add(kind, [value], axes=list(axes), **attributes)

    def model(self, outputs: Sequence[str], dims: Sequence[int | str]) -> onnx.ModelProto:
        """What was drawn, without what no output needs."""
        nodes, needed = [], set(outputs)
        for node in reversed(self.nodes):
            if needed.intersection(node.output):
                nodes.append(node)
                needed |= names_read(node)
        constants = [numpy_helper.from_array(v, k) for k, v in self.constants.items() if k in needed]
        inputs = [helper.make_tensor_value_info(self.input, _element(self.values[self.input]), list(dims))]
        given = [helper.make_tensor_value_info(o, _element(self.values[o]), self._stated(o, dims)) for o in outputs]
        graph = helper.make_graph(nodes[::-1], "net", inputs, given, constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)

    def _stated(self, output: str, dims: Sequence[int | str]) -> list[int | str | None]:
        """An output's shape as a file states it: free where the input's is."""
        shape = self.values[output].shape
        free = sum(isinstance(dim, str) for dim in dims[1:])
        return [dims[0] if not i else (None if free and i > 1 else size) for i, size in enumerate(shape)]


def names_read(node: onnx.NodeProto) -> set[str]:
    """Names that a node reads, its subgraphs' among them."""
    names = {name for name in node.input if name}
    for attribute in node.attribute:
        for graph in (*attribute.graphs, attribute.g):
            names |= {name for inner in graph.node for name in names_read(inner)} | {o.name for o in graph.output}
    return names


def run_node(node: onnx.NodeProto, feeds: Mapping[str, Array], opset: int) -> list[Array]:
    """One node's outputs, by the engine."""
    inputs = [helper.make_tensor_value_info(k, _element(v), list(v.shape)) for k, v in feeds.items()]
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output]
    # Constants must be initializers: some operators take their axes from nothing else.
    small = [numpy_helper.from_array(v, k) for k, v in feeds.items() if v.dtype == np.int64]
    inputs = [value for value in inputs if value.name not in {tensor.name for tensor in small}]
    graph = helper.make_graph([node], "one", inputs, outputs, small)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    session = ort.InferenceSession(model.SerializeToString(), _OPTIONS, providers=["CPUExecutionProvider"])
    wanted = {value.name for value in session.get_inputs()}
    return session.run(None, {name: value for name, value in feeds.items() if name in wanted})  # type: ignore[no-any-return]


def _element(array: Array) -> int:
    return int(helper.np_dtype_to_tensor_dtype(array.dtype))


def _sane(array: Any) -> bool:
    if not isinstance(array, np.ndarray) or array.size == 0 or array.size > 200_000:
        return False
    if array.dtype.kind != "f":
        return True
    return bool(np.isfinite(array).all()) and _SMALLEST < float(np.abs(array).max()) < _LARGEST
