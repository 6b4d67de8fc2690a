"""Random edits of valid files: attributes, shapes, names, operators, types; what the engine still runs must still be cast rightly."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from random import Random

import numpy as np
import onnx
from onnx import helper, numpy_helper

WORDS = [
    "",
    "x",
    "input",
    "a/b",
    "a b",
    "Conv_0",
    "é",
    "\x1b[31m",
    "n" * 260,
    "..",
    "1",
    "shape",
    "x/edges",
    "v1",
    "None",
]
ALIKE = [
    ["Relu", "Sigmoid", "Tanh", "Identity", "Softsign", "Exp", "Neg", "Abs", "Erf", "Floor", "GlobalAveragePool", "GlobalMaxPool", "Flatten", "Softmax", "Hardmax", "LogSoftmax"],
    ["Add", "Mul", "Sub", "Div", "Max", "Min", "Pow", "PRelu", "Sum", "Mean", "MatMul", "Concat", "Gemm", "Expand", "Reshape"],
    ["MaxPool", "AveragePool", "LpPool"],
    ["ReduceMean", "ReduceMax", "ReduceSum", "ReduceMin", "ReduceL2", "ReduceL1", "ReduceSumSquare", "ReduceLogSumExp", "ReduceProd"],
    ["ArgMax", "ArgMin"],
    ["Squeeze", "Unsqueeze", "Reshape"],
    ["SpaceToDepth", "DepthToSpace"],
]  # fmt: skip
ATTRIBUTES: dict[str, list[object]] = {
    "axis": [0, 1, 2, 3, -1, -2, -3, -4], "axes": [[2], [3], [2, 3], [-1], [1], [1, 2, 3], [0]], "keepdims": [0, 1],
    "strides": [[1, 1], [2, 2], [1, 2], [3, 3]], "pads": [[0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 1, 1], [2, 0, 0, 1], [-1, 0, 0, 0]],
    "dilations": [[1, 1], [2, 2], [1, 3]], "kernel_shape": [[1, 1], [2, 2], [3, 3], [1, 3]], "ceil_mode": [0, 1], "count_include_pad": [0, 1],
    "auto_pad": ["SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET"], "group": [1, 2, 3, 4], "perm": [[0, 2, 3, 1], [0, 3, 1, 2], [0, 1, 3, 2], [0, 2, 1, 3], [1, 0, 2, 3]],
    "mode": ["constant", "reflect", "edge", "wrap", "nearest", "linear", "cubic", "CRD", "DCR"], "transB": [0, 1], "transA": [0, 1],
    "alpha": [0.0, 0.3, 1.0, -1.0], "beta": [0.0, 0.5, 1.0, 2.0], "epsilon": [1e-5, 1e-3, 0.5], "training_mode": [0, 1], "to": [1, 6, 7, 10, 11, 9],
    "allowzero": [0, 1], "largest": [0, 1], "sorted": [0, 1], "select_last_index": [0, 1], "spatial": [0, 1], "blocksize": [1, 2, 3],
    "coordinate_transformation_mode": ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"], "nearest_mode": ["floor", "ceil"],
    "noop_with_empty_axes": [0, 1], "storage_order": [0, 1], "p": [1, 2, 3], "size": [1, 3, 5], "bias": [0.5, 1.0], "equation": ["nchw,kc->nkhw"],
    "output_padding": [[0, 0], [1, 1]], "approximate": ["none", "tanh"], "num_groups": [1, 2, 4], "stash_type": [1], "fmod": [0, 1], "exclusive": [0, 1],
    "antialias": [0, 1], "exclude_outside": [0, 1], "num_outputs": [2, 3], "split": [[1, 1], [1, 2]], "k": [1, 2], "scales": [[1.0, 1.0, 2.0, 2.0]],
}  # fmt: skip


def edited(model: onnx.ModelProto, random: Random) -> onnx.ModelProto:
    """The model with one to three things changed."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        random.choice(EDITS)(made, random)
    return made


def _node(model: onnx.ModelProto, random: Random) -> onnx.NodeProto | None:
    return random.choice(list(model.graph.node)) if model.graph.node else None


def _attribute(model: onnx.ModelProto, random: Random) -> None:
    """An attribute with another value, or one that was not there, or gone."""
    node = _node(model, random)
    if node is None:
        return
    names = [a.name for a in node.attribute]
    with suppress(onnx.defs.SchemaError):
        names += list(onnx.defs.get_schema(node.op_type, model.opset_import[0].version, "").attributes)
    name = random.choice(names or ["axis"])
    kept = [a for a in node.attribute if a.name != name]
    del node.attribute[:]
    node.attribute.extend(kept)
    if name in ATTRIBUTES and random.random() < 0.85:
        node.attribute.append(helper.make_attribute(name, random.choice(ATTRIBUTES[name])))


def _operator(model: onnx.ModelProto, random: Random) -> None:
    node = _node(model, random)
    family = next((kinds for kinds in ALIKE if node is not None and node.op_type in kinds), None)
    if node is not None and family is not None:
        node.op_type = random.choice(family)


def _name(model: onnx.ModelProto, random: Random) -> None:
    """A value, a node or the graph under another name."""
    word, roll = random.choice(WORDS), random.random()
    if roll < 0.3:
        node = _node(model, random)
        if node is not None:
            node.name = word
    elif roll < 0.4:
        model.graph.name = word
    else:
        names = [o for n in model.graph.node for o in n.output] + [i.name for i in model.graph.input]
        names += [tensor.name for tensor in model.graph.initializer]
        rename(model, random.choice(names), word)


def rename(model: onnx.ModelProto, old: str, new: str) -> None:
    """A value's name changed wherever it stands."""
    for node in model.graph.node:
        for side in (node.input, node.output):
            for i, name in enumerate(side):
                if name == old:
                    side[i] = new
    for part in (*model.graph.input, *model.graph.output, *model.graph.initializer, *model.graph.value_info):
        if part.name == old:
            part.name = new


def _constant(model: onnx.ModelProto, random: Random) -> None:
    """A constant with other numbers, another shape or another type."""
    if not model.graph.initializer:
        return
    tensor = random.choice(list(model.graph.initializer))
    array = numpy_helper.to_array(tensor).copy()
    roll = random.random()
    if array.dtype == np.int64 and array.size:
        array.flat[random.randrange(array.size)] = random.choice(
            [0, 1, 2, 3, -1, -2, -3, 4, 2**31 - 1, 2**63 - 1, -(2**31)]
        )
    elif roll < 0.3 and array.size and array.dtype.kind == "f":
        array.flat[random.randrange(array.size)] = random.choice([0, np.nan, np.inf, -1e30, 1])
    elif roll < 0.5:
        array = array.reshape(random.choice([(-1,), (1, *array.shape), (*array.shape, 1), array.shape[::-1]]))
    elif roll < 0.7 and array.ndim > 1:
        array = array.swapaxes(random.randrange(array.ndim), random.randrange(array.ndim))
    elif roll < 0.85:
        array = array.astype(random.choice([np.float16, np.float64, np.int64, np.float32]))
    else:
        array = array.ravel()[:1] if array.ndim == 0 else array[:1]
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), tensor.name))


def _wire(model: onnx.ModelProto, random: Random) -> None:
    """A node that reads another value."""
    node = _node(model, random)
    if node is None or not node.input:
        return
    names = (
        [o for n in model.graph.node for o in n.output]
        + [i.name for i in model.graph.input]
        + [t.name for t in model.graph.initializer]
    )
    node.input[random.randrange(len(node.input))] = random.choice([*names, ""])


def _order(model: onnx.ModelProto, random: Random) -> None:
    nodes = list(model.graph.node)
    random.shuffle(nodes)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _set(model: onnx.ModelProto, random: Random) -> None:
    """Another operator set, or its domain under its long name."""
    if random.random() < 0.3:
        model.opset_import[0].domain = "ai.onnx"
    else:
        model.opset_import[0].version = random.choice([6, 7, 9, 11, 12, 13, 17, 18, 21, 23])


def _outputs(model: onnx.ModelProto, random: Random) -> None:
    """A value within as an output too, or first."""
    names = [o for n in model.graph.node for o in n.output if o]
    if names:
        made = helper.make_tensor_value_info(random.choice(names), onnx.TensorProto.FLOAT, None)
        outputs = [*model.graph.output, made] if random.random() < 0.5 else [made, *model.graph.output]
        del model.graph.output[:]
        model.graph.output.extend(outputs)


def _dims(model: onnx.ModelProto, random: Random) -> None:
    """The input's or an output's stated sizes."""
    part = random.choice([model.graph.input[0], *model.graph.output])
    dims = part.type.tensor_type.shape.dim
    if dims:
        dim = random.choice(list(dims))
        if random.random() < 0.4:
            dim.dim_param = random.choice(["N", "H", "H", ""])
        else:
            dim.dim_value = random.choice([0, 1, 2, 5, 16, -1])


EDITS: list[Callable[[onnx.ModelProto, Random], None]] = [
    _attribute, _attribute, _attribute, _attribute, _operator, _operator, _constant, _constant, _wire, _name, _order, _set, _outputs, _dims,
]  # fmt: skip
