"""What is known of every value before any image comes: its shape at training size, and its numbers where they are constant.

The model is run once, unoptimised, on zeros. That gives every shape as it is, whatever computes it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import onnxruntime as ort

from fullconv.errors import BadInput
from fullconv.formats.onnx.load import first_line
from fullconv.formats.onnx.lower import lower_model
from fullconv.runtimes.lowered import Lowered
from fullconv.runtimes.onnxruntime import use_exact_arena

Array = npt.NDArray[Any]
Shape = tuple[int, ...]
_FATAL_ONLY = 4
_SIZES = ("Shape", "Size")
RANDOM = ("RandomNormal", "RandomUniform")  # other numbers at every run, from no input at all
_UNKNOWN = re.compile(r"Fatal error: ([^\s:]*):(\w+)\(.*\) is not a registered")


@dataclass(frozen=True)
class Static:
    """Attributes:
    shapes: of every value.
    flowing: values that carry the image's data.
    sized: values that follow from the image's size alone, and are not proven to be the same at every size.
    constants: numbers of the values that do not flow, at training size.
    uniform: those of ``sized`` that are one and the same number everywhere, whatever the size.
    larger: shapes on larger images, of those values around ``sized`` ones that can be computed there; one mapping an image.
    kinds: types of the numbers of values that are computed.
    """

    shapes: Mapping[str, Shape]
    flowing: frozenset[str]
    sized: frozenset[str]
    constants: Mapping[str, Array]
    uniform: frozenset[str] = frozenset()
    larger: tuple[Mapping[str, Shape], ...] = ()
    kinds: Mapping[str, np.dtype[Any]] = field(default_factory=dict)

    def kind(self, value: str) -> np.dtype[Any]:
        """Type of a value's numbers; an input's are the image's."""
        return self.kinds.get(value, np.dtype(np.float32))


def learn(model: ir.Model, inputs: Mapping[str, Shape], source: str) -> Static:
    """Run the model once on zeros of these shapes."""
    flowing, sized = _flow(model)
    lowered = lower_model(model, inputs)
    try:
        computed = run_plainly(lowered, list(lowered.outputs), inputs)
    except Exception as error:  # the engine has its own error types
        unknown = _UNKNOWN.search(str(error))
        if unknown is not None:
            raise BadInput(
                f"{source}: operator {unknown[2]!r} of domain {unknown[1]!r} is not one that ONNX Runtime knows here"
            ) from None
        told = first_line(error)
        given = ", ".join(f"{name} {shape}" for name, shape in inputs.items())
        raise BadInput(f"{source}: does not run on inputs of {given}: {told}") from None
    constants = {name: value for name, value in computed.items() if name not in flowing}
    for name, initializer in model.graph.initializers.items():
        if initializer.const_value is not None:
            constants[name] = initializer.const_value.numpy()
    known = {name: _shape(value) for name, value in (*computed.items(), *constants.items())}
    kinds = {name: value.dtype for name, value in computed.items() if isinstance(value, np.ndarray)}
    kinds |= {str(v.name): v.dtype.numpy() for v in model.graph.inputs if v.dtype is not None}
    return Static({**known, **inputs}, frozenset(flowing), frozenset(sized), constants, kinds=kinds)


def _shape(value: Any) -> Shape:
    """A tensor's; sequences and maps have none."""
    return tuple(value.shape) if isinstance(value, np.ndarray | np.generic) else ()


def run_plainly(
    lowered: Lowered, names: Sequence[str], shapes: Mapping[str, Shape], given: Mapping[str, Array] | None = None
) -> dict[str, Any]:
    """The values of these names on zeros or on what is given, every operator as it is defined; raises what the engine raises."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = _FATAL_ONLY
    use_exact_arena(options)
    bound = [ort.OrtValue.ortvalue_from_numpy(np.require(a, requirements=["C", "A"])) for a in lowered.weights.values()]
    if bound:
        options.add_external_initializers(list(lowered.weights), bound)
    message = lowered.message(names=names).SerializeToString()
    session = ort.InferenceSession(message, options, providers=["CPUExecutionProvider"])
    quiet = ort.RunOptions()
    quiet.log_severity_level = _FATAL_ONLY
    zeros = {i.name: np.zeros(shapes[i.name], np.float32) for i in session.get_inputs() if i.name not in (given or {})}
    feeds = zeros | {i.name: given[i.name] for i in session.get_inputs() if given is not None and i.name in given}
    return dict(zip(names, session.run(list(names), feeds, quiet), strict=True))


def input_name(node: ir.Node, i: int) -> str | None:
    """Name of a node's input, None where it is left out."""
    value = node.inputs[i] if i < len(node.inputs) else None
    return None if value is None else str(value.name)


def names_read(node: ir.Node) -> list[str]:
    """Values that a node reads, those that its subgraphs (of an If, say) take from outside among them."""
    names = [str(value.name) for value in node.inputs if value is not None]
    for attribute in node.attributes.values():
        graphs = {ir.AttributeType.GRAPH: lambda v: [v], ir.AttributeType.GRAPHS: list}.get(attribute.type)
        for graph in graphs(attribute.value) if graphs else ():
            names += [name for inner in graph for name in names_read(inner)]
            names += [str(value.name) for value in graph.outputs]
    return names


def _flow(model: ir.Model) -> tuple[set[str], set[str]]:
    flowing = {str(value.name) for value in model.graph.inputs}
    sized: set[str] = set()
    for node in model.graph:
        inputs = set(names_read(node))
        outputs = {str(value.name) for value in node.outputs}
        if node.op_type in _SIZES:
            sized |= outputs if inputs & (flowing | sized) else set()
        elif inputs & flowing:
            flowing |= outputs
        elif inputs & sized or node.op_type in RANDOM:
            sized |= outputs
    return flowing, sized
