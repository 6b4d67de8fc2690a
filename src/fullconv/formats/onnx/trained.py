"""Which numbers of an ONNX file train, and a file with trained ones.

Initialisers keep their names. What an operator learns is a parameter: kernels, matrices, biases, slopes, scales, and operands of arithmetic of
more than one number. Statistics of batch normalisation, lone numbers, and whatever a file holds as a Constant node are buffers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from fullconv.errors import BrokenPromise
from fullconv.formats.onnx.lower import lower_model
from fullconv.formats.onnx.network import OnnxNet, understand
from fullconv.runtimes.trainable import Trainable

Array = npt.NDArray[Any]
_FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE)
_LEARNED = {
    "Conv": (1, 2), "ConvTranspose": (1, 2), "Gemm": (0, 1, 2), "MatMul": (0, 1), "PRelu": (1,), "BatchNormalization": (1, 2),
    "InstanceNormalization": (1, 2), "LayerNormalization": (1, 2), "GroupNormalization": (1, 2), "Einsum": (0, 1, 2),
}  # fmt: skip
_ARITHMETIC = ("Add", "Mul", "Sub", "Div", "Sum")
_LAYS = (
    "Cast",
    "Identity",
    "Reshape",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
    "Expand",
    "Tile",
)  # what a parameter may pass on its way
_UNSAID = ("Clip", "Pad", "Resize", "Upsample", "QuantizeLinear", "Dropout")  # whose constants are numbers, not tensors


def trainable(net: OnnxNet) -> Trainable:
    """The network with the names of its initialisers."""
    inputs = {name: axes.shape for name, axes in net.inputs.items()}
    lowered = lower_model(net.model, inputs, (0,))
    names: dict[str, str] = {}
    parameters = set()
    for name, value in net.model.graph.initializers.items():
        tensor = value.const_value
        if tensor is None or tensor.dtype not in _FLOATS or _is_said_otherwise(value):
            continue
        names[name] = name
        if _learns(value, tensor.size):
            parameters.add(name)
    for value, array in _constants(net.model):
        if array.size > 1 and not _is_said_otherwise(value):
            names[str(value.name)] = str(value.name)
    return Trainable(lowered, names, frozenset(parameters))


def _is_said_otherwise(value: ir.Value) -> bool:
    """Whether only operators read it whose constants are no tensors of a module."""
    return all(use.node.op_type in _UNSAID and use.idx > 0 for use in value.uses())


def _learns(value: ir.Value, size: int) -> bool:
    for use in value.uses():
        kind = use.node.op_type
        if use.node.domain:
            continue
        if use.idx in _LEARNED.get(kind, ()) or (kind in _ARITHMETIC and size > 1):
            return True
        if kind in _LAYS and use.idx == 0 and any(_learns(out, size) for out in use.node.outputs):
            return True
    return False


def _constants(model: ir.Model) -> list[tuple[ir.Value, Array]]:
    """Floats that Constant nodes hold as tensors."""
    made = []
    for node in model.graph:
        held = node.attributes.get("value") if node.op_type == "Constant" and not node.domain else None
        if held is not None and held.value.dtype in _FLOATS:
            made.append((node.outputs[0], held.value.numpy()))
    return made


def with_weights(net: OnnxNet, arrays: Mapping[str, Array]) -> OnnxNet:
    """The network with other numbers under the names that it has."""
    model = net.model.clone()
    for name, array in arrays.items():
        if name in model.graph.initializers:
            model.graph.initializers[name].const_value = ir.tensor(np.asarray(array, order="C"), name=name)
    for node in model.graph:
        name = str(node.outputs[0].name)
        if node.op_type == "Constant" and name in arrays:
            node.attributes["value"] = ir.AttrTensor("value", ir.tensor(np.asarray(arrays[name], order="C"), name=name))
    made = understand(model, net.source, net.inputs)
    difference = net.graph.difference(made.graph)
    if difference is not None:
        raise BrokenPromise(f"{net.source}: with other weights it is another network: {difference}")
    return replace(made, is_cast=net.is_cast, notes=net.notes)
