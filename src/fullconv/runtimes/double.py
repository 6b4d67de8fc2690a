"""A lowered network in double precision, operator by operator, by ONNX's own reference: slow, and the arbiter of what is rounding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from fullconv.errors import CannotRun
from fullconv.runtimes.lowered import Lowered

Array = npt.NDArray[Any]
_NARROW = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16)


class DoubleSession:
    """The network with every float32 and float16 number made float64."""

    def __init__(self, lowered: Lowered, names: Sequence[str]) -> None:
        model = lowered.message(weights="inputs", names=names)
        _widen(model.graph)
        self._weights = {
            name: a.astype(np.float64) if a.dtype.kind == "f" else a for name, a in lowered.weights.items()
        }
        self._outputs = [lowered.outputs[name] for name in names]
        try:
            self._evaluator = ReferenceEvaluator(model, new_ops=[BatchNormalization])
        except Exception as error:  # an operator that the reference does not have
            raise CannotRun(f"not to be computed in double precision: {str(error)[:200]}", []) from None

    def run(self, feeds: Mapping[str, Array]) -> list[Array]:
        """The named outputs, in their order; feeds by the network's input names."""
        wide = {name: value.astype(np.float64) if value.dtype.kind == "f" else value for name, value in feeds.items()}
        try:
            with np.errstate(all="ignore"):
                return list(self._evaluator.run(self._outputs, {**wide, **self._weights}))
        except Exception as error:  # the reference's own, which is no engine for every network
            raise CannotRun(f"not to be computed in double precision: {str(error)[:200]}", []) from None


class BatchNormalization(OpRun):
    """By the numbers that were learnt: the reference takes each image's own before operator set 14."""

    op_domain = ""

    def _run(self, x: Array, *learnt: Array, epsilon: float = 1e-5, training_mode: int = 0, **_: Any) -> tuple[Array]:
        if training_mode:
            raise NotImplementedError("batch normalization in training")
        scale, bias, mean, variance = (each.reshape(-1, *(1,) * (x.ndim - 2)) for each in learnt)
        return (scale * (x - mean) / np.sqrt(variance + epsilon) + bias,)


def _widen(graph: onnx.GraphProto) -> None:
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.elem_type in _NARROW:
            value.type.tensor_type.elem_type = TensorProto.DOUBLE
    for tensor in graph.initializer:
        _widen_tensor(tensor)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name in ("to", "dtype", "output_dtype") and attribute.i in _NARROW:
                attribute.i = TensorProto.DOUBLE
            if attribute.type == onnx.AttributeProto.TENSOR:
                _widen_tensor(attribute.t)
            if attribute.type == onnx.AttributeProto.GRAPH:
                _widen(attribute.g)
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name in ("value_float", "value_floats"):
            given = helper.get_attribute_value(node.attribute[0])
            tensor = numpy_helper.from_array(np.asarray(given, np.float64))
            del node.attribute[:]
            node.attribute.append(helper.make_attribute("value", tensor))


def _widen_tensor(tensor: TensorProto) -> None:
    if tensor.data_type in _NARROW:
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), name))
