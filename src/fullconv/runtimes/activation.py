"""Probabilities of a network that ends in logits: a softmax or a sigmoid behind one output, in the form that engines run.

What an output says already is read off the lowered form too, which has one vocabulary for every format.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from fullconv.errors import BadInput
from fullconv.graph.axes import Axes
from fullconv.runtimes.lowered import Lowered
from fullconv.runtimes.runtime import Session

Array = npt.NDArray[Any]
Function = Literal["softmax", "sigmoid"]
Head = Literal["probabilities", "log-probabilities", "logits", "winner", ""]
_ALONG_ONE = 13  # the operator set from which on a Softmax runs along one axis, instead of over all behind it
MOVES = frozenset({
    "Cast", "DequantizeLinear", "Dropout", "Flatten", "Identity", "QuantizeLinear", "Reshape", "Squeeze", "Transpose", "Unsqueeze",
})  # fmt: skip
_HEADS: dict[str, Head] = {
    "Softmax": "probabilities", "Sigmoid": "probabilities", "HardSigmoid": "probabilities", "LogSoftmax": "log-probabilities",
    "Conv": "logits", "Gemm": "logits", "MatMul": "logits", "ArgMax": "winner",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Activation:
    """A function behind one output.

    Attributes:
        output: its name in the network that runs.
        function: ``softmax`` along the classes, or ``sigmoid``.
    """

    output: str
    function: Function

    def behind(self, lowered: Lowered, axes: Axes) -> Lowered:
        """The lowered network with this behind the output, in float32 whatever the network computes in."""
        value, made = lowered.outputs[self.output], f"{lowered.outputs[self.output]}:{self.function}"
        wide = f"{made}:float32"
        nodes = [helper.make_node("Cast", [value], [wide], name=wide, to=TensorProto.FLOAT)]
        if self.function == "sigmoid":
            nodes.append(helper.make_node("Sigmoid", [wide], [made], name=made))
        else:
            nodes += _softmax(wide, made, class_axis(axes, self.output), axes.rank, _opset(lowered))
        return replace(lowered, nodes=[*lowered.nodes, *nodes], outputs={**lowered.outputs, self.output: made})

    def of(self, scores: Array, axes: Axes) -> Array:
        """The same of an output that the network's own framework computed."""
        values = scores.astype(np.float32)
        if self.function == "sigmoid":
            small = np.exp(-np.abs(values))
            return np.asarray(np.where(values >= 0, 1, small) / (1 + small), np.float32)
        axis = class_axis(axes, self.output)
        values -= values.max(axis=axis, keepdims=True)
        np.exp(values, out=values)
        values /= values.sum(axis=axis, keepdims=True)
        return values


@dataclass(frozen=True, slots=True)
class ActivatedSession:
    """A framework's own session with an activation behind one output."""

    session: Session
    activation: Activation
    axes: Axes

    @property
    def engine(self) -> str:
        return self.session.engine

    def run(self, feeds: Mapping[str, Array], names: Sequence[str]) -> list[Array]:
        given = zip(names, self.session.run(feeds, names), strict=True)
        return [self.activation.of(a, self.axes) if name == self.activation.output else a for name, a in given]


def class_axis(axes: Axes, output: str) -> int:
    """The axis of an output's classes.

    Raises:
        BadInput: there are several such axes.
    """
    if axes.is_map and axes.rank == 4:
        return axes.channel_axis
    if axes.rank == 1:
        return 0
    wide = [i for i, size in enumerate(axes.shape) if i and size > 1] or [1]
    if len(wide) > 1 or prod(axes.shape[1:]) != axes.shape[wide[0]]:
        raise BadInput(f"output {output!r} of {axes.shape} has no one axis of classes, along which a softmax would run")
    return wide[0]


def head_of(lowered: Lowered, output: str) -> Head:
    """What an output's numbers are by the operator that makes them, layout apart; empty where that does not say."""
    makers = {value: node for node in lowered.nodes for value in node.output}
    known = {*lowered.weights, *(tensor.name for tensor in lowered.constants)}
    node, moved = makers.get(lowered.outputs.get(output, "")), False
    while node is not None and (node.op_type in MOVES or _shifts(node, known)):
        moved = moved or node.op_type not in MOVES
        node = makers.get(next((value for value in node.input if value not in known), ""))
    head: Head = "" if node is None else _HEADS.get(node.op_type, "")
    return "" if moved and head != "logits" else head  # probabilities with something added are none


def lists_classes(lowered: Lowered, output: str) -> bool:
    """Whether an output lists the best of the classes (TopK), their numbers or their scores: no place of it stands for a class."""
    makers = {value: node for node in lowered.nodes for value in node.output}
    known = {*lowered.weights, *(tensor.name for tensor in lowered.constants)}
    node = makers.get(lowered.outputs.get(output, ""))
    while node is not None and (node.op_type in MOVES or _counts_back(node, known)):
        node = makers.get(next((value for value in node.input if value not in known), ""))
    return node is not None and node.op_type == "TopK"


def seen_head(answers: Sequence[Array]) -> Head:
    """What numbers are by some answers, (1, classes, ...) each: of one class in each crop, none of that, or not to be told."""
    if any(np.isnan(answer).any() or (answer == np.inf).any() for answer in answers):
        return ""
    if answers[0].shape[1] > 1 and all(answer.max() <= 1e-6 and _are_shares(np.exp(answer)) for answer in answers):
        return "log-probabilities"  # as a softmax and a logarithm behind it make them, which may be minus infinity
    if not all(np.isfinite(answer).all() for answer in answers):
        return ""
    if any(answer.min() < 0 or answer.max() > 1 + 1e-6 for answer in answers):
        return "logits"
    return "probabilities" if answers[0].shape[1] > 1 and all(map(_are_shares, answers)) else ""


def _are_shares(answer: Array) -> bool:
    return bool(np.allclose(answer.sum(axis=1), 1, rtol=0, atol=1e-3))


def _shifts(node: onnx.NodeProto, known: set[str]) -> bool:
    """Whether a node adds a bias or scales: what comes out of a matrix stays logits."""
    return node.op_type in ("Add", "BatchNormalization") and len([v for v in node.input if v and v not in known]) == 1


def _counts_back(node: onnx.NodeProto, known: set[str]) -> bool:
    """Whether a node is arithmetic of one value and numbers, as indices are counted from the other end by."""
    return node.op_type in ("Add", "Sub", "Mul", "Neg") and len([v for v in node.input if v and v not in known]) == 1


def _opset(lowered: Lowered) -> int:
    return lowered.opsets.get("", lowered.opsets.get("ai.onnx", 1))


def _softmax(value: str, made: str, axis: int, rank: int, opset: int) -> list[onnx.NodeProto]:
    if opset >= _ALONG_ONE or axis == rank - 1:
        return [helper.make_node("Softmax", [value], [made], name=made, axis=axis)]
    order = [i for i in range(rank) if i != axis] + [axis]
    back = [order.index(i) for i in range(rank)]
    last, soft = f"{made}:last", f"{made}:along"
    return [
        helper.make_node("Transpose", [value], [last], name=last, perm=order),
        helper.make_node("Softmax", [last], [soft], name=soft, axis=rank - 1),
        helper.make_node("Transpose", [soft], [made], name=made, perm=back),
    ]
