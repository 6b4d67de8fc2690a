"""What is known to end ONNX Runtime's process instead of raising an error.

ONNX Runtime 1.32 aborts at a Slice of a dimension below zero, which a Pad of negative amounts makes: such networks are tried in a process of
their own. It reads address 0 where one of several operands (Mean, Sum, Concat) is left out: no network may do that, and it is refused.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir

from fullconv.errors import BadInput

_SEVERAL = onnx.defs.OpSchema.FormalParameterOption.Variadic


def is_hazardous(model: ir.Model) -> bool:
    """Whether a Pad may take cells away, as far as its amounts can be read."""
    return any(_takes_away(node) for node in model.graph.all_nodes() if node.op_type == "Pad")


def _takes_away(node: ir.Node) -> bool:
    if "pads" in node.attributes:
        return min(node.attributes["pads"].as_ints(), default=0) < 0
    amounts = node.inputs[1] if len(node.inputs) > 1 else None
    tensor = ir.convenience.get_const_tensor(amounts) if amounts is not None else None
    return tensor is None or bool(np.any(tensor.numpy() < 0))


def require_operands(model: ir.Model, path: Path) -> None:
    """Refuse what leaves out one of several operands.

    Raises:
        BadInput: it names the node and the input.
    """
    for node in model.graph.all_nodes():
        given = onnx.defs.get_schema(node.op_type).inputs if not node.domain and onnx.defs.has(node.op_type) else ()
        if not given or given[-1].option != _SEVERAL:
            continue
        for at, value in enumerate(node.inputs):
            if value is None and at >= len(given) - 1:
                raise BadInput(
                    f"{path}: {node.op_type} {node.name or node.outputs[0].name!r} leaves out its input {at}, and none of several may be left out; "
                    "write the file anew"
                )
