"""What other tools leave in a file and no engine needs: labels behind the scores, and an operator that ONNX has dropped."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

_CLASSICAL = "ai.onnx.ml"
_SEQUENCES = ("SequenceConstruct", "SplitToSequence", "SequenceInsert")


def tidy(model: ir.Model) -> tuple[str, ...]:
    """Make the model one of tensors; what was left out, in words."""
    for node in list(model.graph):
        if node.op_type == "ImageScaler" and not node.domain:
            _scale(model.graph, node)
    return _scores_alone(model.graph)


def _scale(graph: ir.Graph, node: ir.Node) -> None:
    """ImageScaler, of CoreML and WinML: scale · x + bias, a bias a channel."""
    scale = node.attributes["scale"].as_float() if "scale" in node.attributes else 1.0
    bias = node.attributes["bias"].as_floats() if "bias" in node.attributes else [0.0]
    source, out = node.inputs[0], node.outputs[0]
    numbers = []
    for name, values in (("scale", np.float32(scale)), ("bias", np.array(bias, np.float32).reshape(-1, 1, 1))):
        value = ir.Value(
            name=f"{out.name}/{name}", const_value=ir.tensor(np.asarray(values), name=f"{out.name}/{name}")
        )
        graph.register_initializer(value)
        numbers.append(value)
    scaled = ir.node("Mul", [source, numbers[0]], name=f"{out.name}/scaled")
    moved = ir.node("Add", [scaled.outputs[0], numbers[1]], name=node.name)
    scaled.outputs[0].name = f"{out.name}/scaled"
    moved.outputs[0].type, moved.outputs[0].shape = out.type, out.shape
    ir.convenience.replace_all_uses_with(out, moved.outputs[0], replace_graph_outputs=True)
    name = str(out.name)
    graph.insert_before(node, [scaled, moved])
    graph.remove(node, safe=True)
    moved.outputs[0].name = name


def _scores_alone(graph: ir.Graph) -> tuple[str, ...]:
    """Outputs that are maps or sequences give way to the tensors that they are made of; labels are left out."""
    kept: list[ir.Value] = []
    notes = []
    labels = []
    for value in graph.outputs:
        node = value.producer()
        if node is not None and (node.op_type == "ZipMap" or node.op_type in _SEQUENCES):
            tensors = [v for v in node.inputs if v is not None]
            notes.append(
                f"output {value.name!r} is made of {', '.join(str(v.name) for v in tensors)} by {node.op_type}; read are the tensors"
            )
            kept += [v for v in tensors if v not in kept]
        elif node is not None and (node.domain == _CLASSICAL or value.dtype == ir.DataType.STRING):
            labels.append(value)
        elif value.is_initializer():  # says nothing of an image, and may be changed by a cast
            notes.append(f"output {value.name!r} is a weight, and is left out")
        elif value not in kept:
            kept.append(value)
    if not kept:  # a label is all there is: what it is looked up by
        kept = [v for value in labels for v in value.producer().inputs if v is not None and v.producer() is not None]  # type: ignore[union-attr]
    if not kept or kept == list(graph.outputs):
        return ()
    notes += [f"output {value.name!r} names a label, and is left out" for value in labels]
    graph.outputs[:] = kept
    _remove_unread(graph)
    return tuple(notes)


def _remove_unread(graph: ir.Graph) -> None:
    for node in reversed(list(graph)):
        if not any(value.uses() or value.is_graph_output() for value in node.outputs):
            graph.remove(node, safe=True)
