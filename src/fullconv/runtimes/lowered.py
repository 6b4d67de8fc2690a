"""Building the ONNX graph that runtimes run.

A format lowers its layers through an OnnxBuilder. Learned weights stay out of the ONNX message: it only
names them, and the runtime binds the arrays as they are, without a copy (a message is limited to 2 GB and
would hold every weight a second time).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.shape_inference import infer_shapes

OPSET = 17
IR_VERSION = 8
TRAINED = "fullconv"  # the domain of operators that only a module that trains has
SHIFT = "fullconv.shift"  # metadata of a node: a number that is taken off a map and moves no answer
_LARGE_WINDOW = 25  # cells from which on a pool is taken side by side
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Lowered:
    """A network ready to run.

    Attributes:
        nodes, constants: the ONNX graph.
        inputs, outputs: its values by the network's own names, with their ranks and shapes as lowered.
        weights: learned arrays by name, float32, C-contiguous.
        any_size: the graph is right for images of any size; otherwise for ``inputs``' shapes only.
        free: the axes of a map input that any size is about.
        opsets: the operator sets that the nodes are written in, by domain.
    """

    nodes: Sequence[onnx.NodeProto]
    constants: Sequence[TensorProto]
    inputs: Mapping[str, tuple[int, ...]]
    outputs: Mapping[str, str]
    weights: Mapping[str, Array]
    any_size: bool
    free: tuple[int, ...] = (0, 2, 3)
    opsets: Mapping[str, int] = field(default_factory=lambda: {"": OPSET})

    def message(self, *, weights: str = "external", names: Sequence[str] | None = None) -> onnx.ModelProto:
        """The ONNX model.

        Args:
            weights: ``external`` names them as data that the runtime binds; ``inline`` holds them, a
                complete file; ``inputs`` makes them inputs, so that they can change between runs.
            names: outputs wanted, all by default.
        """
        inputs = []
        for name, shape in self.inputs.items():
            free = self.free if self.any_size and len(shape) == 4 else ()
            dims: list[int | str] = [f"{name}_{i}" if i in free else size for i, size in enumerate(shape)]
            inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, dims))
        initializers = list(self.constants)
        for name, array in self.weights.items():
            if weights == "inputs":
                inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, array.shape))
            elif weights == "inline":
                initializers.append(numpy_helper.from_array(np.require(array, requirements="C"), name))
            else:
                tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=array.shape)
                tensor.data_location = TensorProto.EXTERNAL
                tensor.external_data.add(key="location", value="bound-at-run-time")
                initializers.append(tensor)
        wanted = [self.outputs[n] for n in (self.outputs if names is None else names)]
        nodes = [part for node in self.nodes for part in by_sides(node)]
        outputs = [onnx.ValueInfoProto(name=value) for value in wanted]
        model = helper.make_model(
            helper.make_graph(nodes, "fullconv", inputs, outputs, initializers),
            opset_imports=[helper.make_opsetid(*opset) for opset in self.opsets.items()],
            ir_version=IR_VERSION,
            producer_name="fullconv",
        )
        if weights == "external":
            _type_outputs(model, model)
        elif weights == "inline":  # inferred without what the weights hold
            _type_outputs(model, self.message(names=names))
        return model


def _type_outputs(model: onnx.ModelProto, bare: onnx.ModelProto) -> None:
    """State what each output is made of, which a complete file does: scores, whole numbers (ArgMax), masks."""
    inferred = {output.name: output.type.tensor_type.elem_type for output in infer_shapes(bare).graph.output}
    for output in model.graph.output:
        if inferred.get(output.name):
            output.type.CopyFrom(helper.make_tensor_type_proto(inferred[output.name], None))


def by_sides(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """A pool of a large window at stride 1 as one over rows and one over columns: a mean of means, k + k steps a cell instead of k · k.

    Statistics pooled around each cell have windows as large as the map at training size.
    """
    if node.op_type not in ("AveragePool", "MaxPool") or len(node.output) != 1:
        return [node]
    values = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    kernel = values.get("kernel_shape", [])
    plain = (
        len(kernel) == 2
        and set(values.get("strides", [1])) == {1}
        and set(values.get("dilations", [1])) == {1}
        and set(values.get("pads", [0])) == {0}
        and not values.get("ceil_mode", 0)
        and values.get("auto_pad", b"NOTSET") in (b"NOTSET", b"")
    )
    if not plain or min(kernel) < 2 or kernel[0] * kernel[1] < _LARGE_WINDOW:
        return [node]
    between = f"{node.output[0]}:rows"
    first = helper.make_node(node.op_type, node.input, [between], name=f"{node.name}:rows", kernel_shape=[1, kernel[1]])
    return [first, helper.make_node(node.op_type, [between], node.output, name=node.name, kernel_shape=[kernel[0], 1])]


@dataclass
class OnnxBuilder:
    """Collects nodes; every method returns the name of the value that it makes."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, TensorProto] = field(default_factory=dict)
    any_size: bool = True
    trains: bool = False  # what inference leaves out stays: dropout, statistics of a batch

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        return self.ops(kind, *inputs, count=1, **attributes)[0]

    def ops(self, kind: str, *inputs: str, count: int, **attributes: Any) -> list[str]:
        """An operator with several outputs."""
        stem = f"{kind}:{len(self.nodes)}"
        outputs = [f"{stem}.{i}" for i in range(count)]
        self.nodes.append(helper.make_node(kind, list(inputs), outputs, name=stem, **attributes))
        return outputs

    def floats(self, values: Any) -> str:
        return self._constant(np.asarray(values, np.float32))

    def ints(self, *values: int) -> str:
        return self._constant(np.asarray(values, np.int64))

    def _constant(self, array: Array) -> str:
        name = (
            f"constant:{array.dtype}:{array.shape}:{array.tobytes().hex()}"
            if array.size <= 8
            else f"constant:{len(self.constants)}"
        )
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(array, name)
        return name

    # Small compositions that several layers share ------------------------------------------------

    def scaled(self, x: str, scale: float, shift: float = 0.0) -> str:
        """scale · x + shift, leaving out what does nothing."""
        if scale != 1:
            x = self.op("Mul", x, self.floats(scale))
        return self.op("Add", x, self.floats(shift)) if shift != 0 else x

    def reshape(self, x: str, *shape: int) -> str:
        """0 copies a dimension, -1 takes what is left."""
        return self.op("Reshape", x, self.ints(*shape))

    def along(self, vector: str, shape: Sequence[int], axis: int, rank: int) -> str:
        """A learned vector of this shape, laid along ``axis`` of a tensor of ``rank`` axes for broadcasting."""
        behind = rank - axis - len(shape)
        return self.reshape(vector, *shape, *([1] * behind)) if behind else vector

    def summed_batch_norm(self, x: str, *blobs: str, kept: float, epsilon: float) -> str:
        """Caffe's batch normalisation as it trains: an operator of our own, which PyTorch alone runs."""
        return self.op("SummedBatchNorm", x, *blobs, domain=TRAINED, kept=kept, epsilon=epsilon)

    def size_bound(self) -> None:
        """What is being lowered holds for the present input shapes only."""
        self.any_size = False
