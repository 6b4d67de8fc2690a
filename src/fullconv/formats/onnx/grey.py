"""An image of rows and columns alone, (n, h, w), as networks of handwritten digits take it, becomes one of a single channel, (n, 1, h, w).

The network itself stays as it is, behind a Squeeze of that channel.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

_STEM = "fullconv/grey"
_AXES_AS_INPUT = 13  # the operator set from which on Squeeze reads its axes from an input
_CHANNEL = 1
_RANK = 3
NOTE = "its input has rows and columns and no channels: images go in as grey, (n, 1, h, w)"


def with_channel(model: ir.Model) -> bool:
    """Give the model's one input such a channel; False, and nothing done, where it is no image without one."""
    graph = model.graph
    if len(graph.inputs) != 1:
        return False
    image = graph.inputs[0]
    numbers = image.dtype is None or image.dtype.is_floating_point()
    if image.shape is None or len(image.shape) != _RANK or not numbers or not image.uses():
        return False
    if isinstance(image.shape[0], int) and image.shape[0] != 1:
        return False  # colours or rows, without a batch
    axes = np.array([_CHANNEL], np.int64)
    readers = [(use.node, use.idx) for use in image.uses()]
    if model.opset_imports.get("", 0) < _AXES_AS_INPUT:
        squeeze = ir.node("Squeeze", [image], {"axes": [_CHANNEL]}, name=_STEM)
    else:
        value = ir.Value(name=f"{_STEM}/axes", const_value=ir.tensor(axes, name=f"{_STEM}/axes"))
        value.shape, value.type = ir.Shape(axes.shape), ir.TensorType(ir.DataType.INT64)
        graph.register_initializer(value)
        squeeze = ir.node("Squeeze", [image, value], name=_STEM)
    plane = squeeze.outputs[0]
    plane.name, plane.type, plane.shape = f"{_STEM}/out", image.type, image.shape
    image.shape = ir.Shape([image.shape[0], 1, *image.shape[1:]])
    for node, i in readers:
        node.replace_input_with(i, plane)
    graph.insert_before(graph[0], squeeze)
    return True
