"""Whether scores are probabilities: what the network's head says, and what is put behind it where that is asked for.

``auto`` adds nothing. A softmax over a network of several labels a crop would hide all but one of them, and no file says which it is; so
numbers stay the network's own, what they are is said, and a threshold between 0 and 1 is refused where they are logits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from fullconv.errors import BadInput, CannotRun
from fullconv.model import Model
from fullconv.runtimes.activation import Activation, Head, class_axis, head_of, lists_classes, seen_head
from fullconv.runtimes.runtime import Precision

Asked = Literal["auto", "softmax", "sigmoid", "none"]
ASKED = ("auto", "softmax", "sigmoid", "none")
_OUT = {
    "probabilities": "its scores are probabilities already; leave --activation (activation=) out",
    "winner": "its numbers are winners, not scores",
}


def with_probabilities(
    model: Model,
    output: str,
    asked: Asked,
    notes: Callable[[str], None] = lambda note: None,
    runtime: str = "auto",
    precision: Precision = "fp32",
) -> tuple[Model, str]:
    """The network as it is run, and what its scores are: ``probabilities``, ``log-probabilities``, ``logits``, ``winner``, or empty.

    Args:
        model: the network that runs: the cast one, or the untouched one for crops.
        output: its output.
        asked: ``softmax`` (each crop is of one class), ``sigmoid`` (several may be there at once), ``none`` (scores are taken as they are),
            or ``auto``: as they are, and what they are is said.
        notes: told of scores that are no probabilities.
        runtime, precision: of a run on two crops of noise, where the head's operators do not say what its numbers are.

    Raises:
        BadInput: the head has such an activation already, or what was asked for makes no probabilities of it.
    """
    if asked not in ASKED:
        raise BadInput(f"activation {asked!r}: not one of {', '.join(ASKED)}")
    head = _head(model, output, runtime, precision)
    if asked in ("auto", "none"):
        if asked == "auto" and head in ("logits", "log-probabilities"):
            notes(_remark(head, _classes(model, output)))
        return model, "" if asked == "none" and head != "probabilities" else head
    where = f"{model.path or 'the network'}: output {output!r}"
    if head in _OUT:
        raise BadInput(f"activation {asked}: {where}: {_OUT[head]}")
    if head == "log-probabilities" and asked == "sigmoid":
        raise BadInput(f"activation sigmoid: {where}: its scores are logarithms of probabilities; take softmax")
    if asked == "softmax" and _classes(model, output) == 1:
        raise BadInput(f"activation softmax: {where}: of one class, which would score 1 everywhere; take sigmoid")
    return as_asked(model, output, asked), "probabilities"


def gives_winner(model: Model, output: str) -> bool:
    """Whether an output is the winner's number (ArgMax), and no score."""
    return _head(model, output, "auto", "fp32") == "winner"


def as_asked(model: Model, output: str, asked: Asked) -> Model:
    """The network with what was asked for behind an output of its, which was found good for its cast or crops."""
    return model if asked == "auto" or asked == "none" else model.activated(Activation(output, asked))


def _classes(model: Model, output: str) -> int:
    axes = model.graph.values[output]
    try:
        return axes.shape[class_axis(axes, output)]
    except BadInput:  # several axes; whether such an output can be mapped at all is not decided here
        return 0


def _remark(head: Head, classes: int) -> str:
    if head == "log-probabilities":
        return "scores are logarithms of probabilities, as the network ends in them; --activation softmax makes probabilities"
    softmax = "--activation softmax makes probabilities where a crop is of one class, " if classes != 1 else ""
    several = " where several may be there at once" if classes != 1 else " makes probabilities"
    return f"scores are logits, not probabilities: nothing is added to the network's own; {softmax}--activation sigmoid{several}"


def _head(model: Model, output: str, runtime: str, precision: Precision) -> Head:
    graph = model.graph
    shapes = {name: graph.values[name].shape for name in graph.inputs if graph.consumers(name)}
    try:
        lowered = model.lowered(shapes)
        head = head_of(lowered, output)
        ranked = lists_classes(lowered, output) and _classes(model, output) > 1
    except CannotRun:  # its own framework runs it
        head, ranked = "", False
    if ranked:
        raise BadInput(
            f"{model.path or 'the network'}: output {output!r} lists the best classes of each crop, and has no score for each class; choose what it is "
            "made of with --head (output=), by a layer's name as fullconv inspect lists them"
        )
    axes = graph.values[output]
    if head or (axes.is_map and axes.rank != 4):
        return head
    rng = np.random.default_rng(0)
    shape = (1, *model.image_shape)
    crops = [rng.integers(0, 128, shape).astype(np.float32), rng.integers(0, 2, shape).astype(np.float32)]
    answers = [model.run(crop, outputs=[output], runtime=runtime, precision=precision)[output] for crop in crops]
    if not all(np.issubdtype(answer.dtype, np.floating) for answer in answers):
        return "winner"
    return seen_head([answer.reshape(1, -1) if answer.ndim < 2 else answer for answer in answers])
