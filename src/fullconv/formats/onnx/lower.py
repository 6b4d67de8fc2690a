"""An ONNX model as the graph that runs it: its own nodes, its large weights kept out of the message."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir
from onnx import TensorProto, helper, numpy_helper

from fullconv.runtimes.lowered import Lowered

_BOUND = 1024  # numbers from which on weights are bound to the engine instead of written into its message


def lower_model(model: ir.Model, inputs: Mapping[str, tuple[int, ...]], free: tuple[int, ...] = ()) -> Lowered:
    """Lower a model for inputs of these shapes, of which the ``free`` axes may be of any size."""
    weights, constants = {}, []
    for name, value in model.graph.initializers.items():
        tensor = value.const_value
        if tensor is None:
            continue
        if tensor.dtype == ir.DataType.FLOAT and tensor.size > _BOUND:
            weights[name] = tensor.numpy()
        elif isinstance(tensor, ir.ExternalTensor):
            constants.append(numpy_helper.from_array(tensor.numpy(), name))
        else:
            constants.append(ir.serde.serialize_tensor(tensor))
    used = {value.name for node in model.graph for value in node.inputs if value is not None}
    nodes = [ir.serde.serialize_node(node) for node in model.graph]
    halves = {str(value.name) for value in model.graph.inputs if value.dtype == ir.DataType.FLOAT16}
    if halves:  # images are float32; a float16 network casts them first
        for node in nodes:
            for i, name in enumerate(node.input):
                if name in halves:
                    node.input[i] = f"{name}:float16"
        casts = [
            helper.make_node("Cast", [name], [f"{name}:float16"], to=TensorProto.FLOAT16) for name in sorted(halves)
        ]
        nodes = [*casts, *nodes]
    names = {str(output.name): str(output.name) for node in model.graph for output in node.outputs if output.name}
    kept = {name: array for name, array in weights.items() if name in used}
    return Lowered(nodes, constants, inputs, names, kept, bool(free), free, dict(model.opset_imports))
