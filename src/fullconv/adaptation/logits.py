"""Where an output's logits are: the output itself, or what its softmax or sigmoid reads, found behind it in the form that engines run."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Literal

from fullconv.errors import BadInput, CannotRun
from fullconv.maps.probabilities import Asked, with_probabilities
from fullconv.model import Model
from fullconv.runtimes.activation import MOVES, class_axis
from fullconv.runtimes.lowered import Lowered

Kind = Literal["softmax", "sigmoid", "regression"]
_WEIGHING = ("Conv", "Gemm", "MatMul")
_KINDS: dict[str, Kind] = {"Softmax": "softmax", "LogSoftmax": "softmax", "Sigmoid": "sigmoid"}


@dataclass(frozen=True, slots=True)
class Logits:
    """The logits of an output.

    Attributes:
        value: their name in the network.
        classes: how many.
        kind: what is made of them: of classes of which a crop has one, of labels of which it may have several, or nothing: they are numbers.
    """

    value: str
    classes: int
    kind: Kind


def logits_of(model: Model, output: str, asked: Asked = "auto") -> Logits:
    """The logits of an output of a network, cast or untouched.

    Args:
        asked: what logits are made into, where the network ends in them: ``sigmoid`` for several labels a crop; else a softmax, or of one number nothing.

    Raises:
        BadInput: the output is a winner, or probabilities that come of no softmax or sigmoid.
    """
    where = f"{model.path or 'the network'}: output {output!r}"
    _, head = with_probabilities(model, output, "none" if asked == "none" else "auto")
    lowered = _lowered(model)
    if head == "winner" or _picks(lowered, output):
        raise BadInput(
            f"{where}: says the winner alone, and a head moves scores; choose an output of scores with --head (output=)"
        )
    axes = model.graph.values[output]
    try:
        classes = axes.shape[class_axis(axes, output)]
    except BadInput:
        classes = prod(axes.shape[1:])
    found = _behind_activation(model, lowered, output, classes)
    if found is not None:
        return found
    if head == "probabilities":
        raise BadInput(
            f"{where}: its probabilities come of no softmax or sigmoid that can be seen, so that there are no logits for a head to move; "
            "choose another output with --head (output=), or map by crops"
        )
    single: Kind = "regression" if classes == 1 and asked != "softmax" else "softmax"
    return Logits(output, classes, "sigmoid" if asked == "sigmoid" else single)


def _lowered(model: Model) -> Lowered:
    graph = model.graph
    try:
        return model.lowered({name: graph.values[name].shape for name in graph.inputs if graph.consumers(name)})
    except CannotRun as error:
        raise BadInput(
            f"{model.path or 'the network'}: its own framework alone can run it, and what a head reads is added to the form that other "
            f"engines run: {error}"
        ) from None


def _picks(lowered: Lowered, output: str) -> bool:
    """Whether an output is made of which class is the highest, however that is laid out."""
    makers = {value: node for node in lowered.nodes for value in node.output}
    left, seen = [lowered.outputs[output]], set()
    while left:
        node = makers.get(left.pop())
        if node is None or node.op_type in _WEIGHING or id(node) in seen:
            continue
        if node.op_type in ("ArgMax", "ArgMin", "TopK"):
            return True
        seen.add(id(node))
        left += node.input
    return False


def _behind_activation(model: Model, lowered: Lowered, output: str, classes: int) -> Logits | None:
    """What an output's softmax or sigmoid reads; None where there is none."""
    makers = {value: node for node in lowered.nodes for value in node.output}
    names = _names(model, lowered, classes)
    node = makers.get(lowered.outputs.get(output, ""))
    while node is not None and node.op_type in MOVES:
        node = makers.get(node.input[0])
    if node is None or node.op_type not in _KINDS:
        return None
    kind, value = _KINDS[node.op_type], node.input[0]
    while value not in names:
        before = makers.get(value)
        if before is None or before.op_type not in MOVES:
            raise BadInput(
                f"{model.path or 'the network'}: output {output!r}: what its {node.op_type} reads has no name in the network"
            )
        value = before.input[0]
    return Logits(names[value], classes, kind)


def _names(model: Model, lowered: Lowered, classes: int) -> dict[str, str]:
    """Values of so many classes by what they are called in the lowered form."""
    values = model.graph.values
    plain = {
        name: axes
        for name, axes in values.items()
        if (axes.rank == 4 and axes.is_map and axes.channel_axis == 1 and axes.shape[1] == classes)
        or (not axes.is_map and prod(axes.shape[1:]) == classes)
    }
    return {lowered.outputs[name]: name for name in plain if name in lowered.outputs}
