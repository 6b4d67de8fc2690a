"""Channels picked by a list, as slices side by side.

OpenVINO 2026.4 moves a Gather by a list into the weights of the convolution behind it, in the wrong order. Slices it computes rightly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from fullconv.errors import BadInput
from fullconv.runtimes.lowered import Lowered

Array = npt.NDArray[Any]
_END = 2**31 - 1
_MOST = 4096  # slices
_BY_INPUT = 10  # the operator set from which on Slice reads where it cuts from inputs


def without_gathers(lowered: Lowered) -> Lowered:
    """The network with every Gather of the image's data by a list of positions as slices.

    Raises:
        BadInput: a list is not constant, or too long.
    """
    lists = {tensor.name: tensor for tensor in lowered.constants}
    flowing, nodes, constants = set(lowered.inputs), [], list(lowered.constants)
    for node in lowered.nodes:
        if node.op_type == "Constant":
            for given in node.attribute:
                if given.name == "value":
                    lists[node.output[0]] = given.t
                elif given.name == "value_ints":
                    lists[node.output[0]] = numpy_helper.from_array(np.array(given.ints, np.int64))
        elif node.op_type == "Identity" and node.input[0] in lists:
            lists[node.output[0]] = lists[node.input[0]]
        if node.op_type not in ("Shape", "Size") and flowing.intersection(node.input):
            flowing.update(node.output)
        if node.op_type == "Gather" and node.input[0] in flowing:
            made, numbers = _slices(node, lists, lowered.opsets.get("", 0))
            nodes += made
            constants += numbers
        else:
            nodes.append(node)
    return replace(lowered, nodes=nodes, constants=constants)


def _slices(
    node: onnx.NodeProto, lists: Mapping[str, TensorProto], opset: int
) -> tuple[list[onnx.NodeProto], list[TensorProto]]:
    if node.input[1] not in lists:
        raise BadInput(
            f"OpenVINO may compute {node.name or 'a Gather'} (positions picked by a list that is no constant) wrongly; use --runtime onnxruntime"
        )
    tensor = lists[node.input[1]]
    if len(tensor.dims) != 1:
        return [node], []
    axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
    runs = list(_runs([int(i) for i in numpy_helper.to_array(tensor)]))
    if not 0 < len(runs) <= _MOST:
        raise BadInput(
            f"OpenVINO: {node.name or 'a Gather'} picks {tensor.dims[0]} positions; use --runtime onnxruntime"
        )
    nodes, numbers, parts = [], [], []
    for i, (start, end) in enumerate(runs):
        part = f"{node.output[0]}/picked{i}"
        parts.append(part)
        if opset < _BY_INPUT:
            nodes.append(helper.make_node("Slice", [node.input[0]], [part], starts=[start], ends=[end], axes=[axis]))
            continue
        given = [
            numpy_helper.from_array(np.array([n], np.int64), f"{part}/{k}") for k, n in enumerate((start, end, axis))
        ]
        numbers += given
        nodes.append(helper.make_node("Slice", [node.input[0], *(g.name for g in given)], [part]))
    nodes.append(helper.make_node("Concat", parts, [node.output[0]], name=node.name, axis=axis))
    return nodes, numbers


def _runs(positions: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Starts and ends of positions that follow one another."""
    first = last = None
    for position in (*positions, None):
        if first is not None and last is not None:
            if position is not None and position == last + 1 != 0:
                last = position
                continue
            yield first, _END if last == -1 else last + 1
        first = last = position
