"""What is known to end ONNX Runtime's process instead of raising an error: such networks are tried in a process of their own.

ONNX Runtime 1.32 aborts at a Slice of a dimension below zero, which a Pad of negative amounts makes.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir


def is_hazardous(model: ir.Model) -> bool:
    """Whether a Pad may take cells away, as far as its amounts can be read."""
    return any(_takes_away(node) for node in model.graph.all_nodes() if node.op_type == "Pad")


def _takes_away(node: ir.Node) -> bool:
    if "pads" in node.attributes:
        return min(node.attributes["pads"].as_ints(), default=0) < 0
    amounts = node.inputs[1] if len(node.inputs) > 1 else None
    tensor = ir.convenience.get_const_tensor(amounts) if amounts is not None else None
    return tensor is None or bool(np.any(tensor.numpy() < 0))
