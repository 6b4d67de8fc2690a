"""SAME padding that a file computes from the image's size, as MATLAB's exporter writes it: a Pad before a convolution.

It is what ``auto_pad`` says in one word. Arithmetic of Ceil, Floor and Relu on a size is no constant that two sizes could prove, so what the
nodes compute is run by itself, on sizes over several of its steps and on large ones, and must be the formula on each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import onnxruntime as ort

Array = npt.NDArray[Any]
_MOST = 200  # nodes that compute paddings
_LARGE = (97, 128, 255, 300, 301, 500, 767, 1000, 1023, 1025, 4096, 5001, 20_011)
_FATAL_ONLY = 4


def padded_by_word(model: ir.Model) -> None:
    """Respell in place what is SAME padding."""
    for pad in list(model.graph):
        conv = _convolution_behind(pad)
        image = pad.inputs[0] if pad.inputs else None
        if conv is None or image is None or len(pad.inputs) < 2 or pad.inputs[1] is None:
            continue
        part = _from_shape(pad.inputs[1], image)
        word = None if part is None else _word(model, part, pad.inputs[1], conv)
        if word is None:
            continue
        conv.attributes.pop("pads", None)
        conv.attributes["auto_pad"] = ir.AttrString("auto_pad", word)
        conv.replace_input_with(0, image)
        model.graph.remove(pad, safe=True)


def _convolution_behind(pad: ir.Node) -> ir.Node | None:
    """The two-dimensional convolution that alone reads a Pad with zeros, and pads by nothing itself."""
    if pad.op_type != "Pad" or pad.domain or len(pad.outputs) != 1 or pad.outputs[0].is_graph_output():
        return None
    mode = pad.attributes.get("mode")
    value = pad.inputs[2] if len(pad.inputs) > 2 else None
    filled = None if value is None else ir.convenience.get_const_tensor(value)
    by_zeros = value is None or (filled is not None and not np.any(filled.numpy()))
    uses = list(pad.outputs[0].uses())
    if (mode is not None and mode.as_string() != "constant") or not by_zeros or len(uses) != 1 or len(pad.inputs) > 3:
        return None
    conv, index = uses[0]
    pads, auto = conv.attributes.get("pads"), conv.attributes.get("auto_pad")
    plain = (pads is None or not any(pads.as_ints())) and (auto is None or auto.as_string() == "NOTSET")
    return conv if conv.op_type == "Conv" and index == 0 and plain and not conv.domain else None


def _from_shape(value: ir.Value, image: ir.Value) -> list[ir.Node] | None:
    """The nodes that compute a value, in order, where they read the image's shape and constants and nothing else."""
    found: list[ir.Node] = []
    open_values, sized = [value], False
    while open_values:
        each = open_values.pop()
        node = each.producer()
        if each.is_initializer() or (node is not None and node.op_type == "Constant"):
            continue
        if node is None or node.domain or node.op_type == "If" or len(found) > _MOST:
            return None
        if node.op_type == "Shape":
            if node.inputs[0] is not image or node.attributes:
                return None
            sized = True
            continue
        if node not in found:
            found.append(node)
            open_values += [v for v in node.inputs if v is not None]
    order = {id(node): i for i, node in enumerate(value.producer().graph)} if found else {}  # type: ignore[union-attr, arg-type]
    return sorted(found, key=lambda node: order[id(node)]) if sized else None


def _word(model: ir.Model, part: Sequence[ir.Node], pads: ir.Value, conv: ir.Node) -> str | None:
    """SAME_UPPER or SAME_LOWER, where the paddings are that on every size tried."""
    weight = ir.convenience.get_const_tensor(conv.inputs[1]) if conv.inputs[1] is not None else None
    strides, dilations = (_ints(conv, name) or [1, 1] for name in ("strides", "dilations"))
    if weight is None or len(weight.shape) != 4 or len(strides) != 2 or any(d != 1 for d in dilations):
        return None
    kernel = list(weight.numpy().shape[2:])
    steps = range(max(kernel), max(kernel) + 4 * max(strides) + 2)
    sizes = [*steps, *_LARGE]
    try:
        run = _session(model, part, pads)
        computed = [(h, w, run(h, w)) for h, w in zip(sizes, reversed(sizes), strict=True)]
    except Exception:  # what does not run by itself is no such arithmetic; its own node tells what is wrong
        return None
    for word in ("SAME_UPPER", "SAME_LOWER"):
        expected = (_same((h, w), kernel, strides, word) for h, w, _ in computed)
        if all(np.array_equal(found, wanted) for (_, _, found), wanted in zip(computed, expected, strict=True)):
            return word
    return None


def _ints(node: ir.Node, name: str) -> list[int]:
    found = node.attributes.get(name)
    return [] if found is None else list(found.as_ints())


def _same(size: tuple[int, int], kernel: Sequence[int], strides: Sequence[int], word: str) -> list[int]:
    """A Pad's numbers, (n, c, h, w) in front and behind."""
    totals = [max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(size, kernel, strides, strict=True)]
    small, large = [total // 2 for total in totals], [total - total // 2 for total in totals]
    front, behind = (small, large) if word == "SAME_UPPER" else (large, small)
    return [0, 0, *front, 0, 0, *behind]


def _session(model: ir.Model, part: Sequence[ir.Node], pads: ir.Value) -> Any:
    """The arithmetic by itself, as a function of height and width."""
    constants: dict[str, onnx.TensorProto] = {}
    shapes: list[str] = []
    for value in (v for node in part for v in node.inputs if v is not None):
        producer = value.producer()
        if producer is not None and producer.op_type == "Shape":
            shapes.append(str(value.name))
        elif producer is None or producer.op_type == "Constant":
            tensor = ir.convenience.get_const_tensor(value)
            if tensor is None:
                raise ValueError(f"{value.name} is no constant")
            constants[str(value.name)] = onnx.numpy_helper.from_array(tensor.numpy(), str(value.name))
    names = sorted(set(shapes))
    inputs = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT64, [4]) for name in names]
    out = onnx.helper.make_tensor_value_info(str(pads.name), onnx.TensorProto.INT64, None)
    nodes = [ir.to_proto(node) for node in part]
    graph = onnx.helper.make_graph(nodes, "paddings", inputs, [out], list(constants.values()))
    imports = [onnx.helper.make_opsetid("", model.opset_imports.get("", 0))]
    message = onnx.helper.make_model(graph, opset_imports=imports, ir_version=model.ir_version)
    options = ort.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    session = ort.InferenceSession(message.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda h, w: session.run(None, {name: np.array([1, 1, h, w], np.int64) for name in names})[0]
