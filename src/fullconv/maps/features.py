"""A layer's value as a map: features, of which much that is asked of scores of classes means nothing, and is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fullconv.errors import BadInput
from fullconv.maps.probabilities import Asked
from fullconv.model import Model
from fullconv.surgery.plan import Plan

# What asks for classes, and what it is where nobody asks; with the reason.
_OF_CLASSES: Mapping[str, tuple[Any, str]] = {
    "keep": ("top1", "the highest of its channels wins nothing; keep all, or channels by number"),
    "stored": ("uint8", "it holds scores of 0..1; store them as float16 or float32"),
}
_UNASKED: Mapping[str, str] = {
    "confirm": "crops confirm which class wins, or who reaches a threshold",
    "scales": "scores of classes are fused, not features; map the layer at each --mpp, or of resized images",
}


def at_layer(model: Model, output: str | None) -> Model:
    """The model itself, or, where a layer is asked for instead of one of its outputs, the network up to that.

    Raises:
        BadInput: none is called so, or its value is no map.
    """
    if output is None or output in model.graph.outputs:
        return model
    known = model.plan.outputs
    return model if output in known or output in known.values() else model.layer(output)


def require_for_features(options: Mapping[str, Any]) -> None:
    """BadInput where something is asked for that only classes have."""
    require_no_activation(options.get("activation", "auto"))
    for key, (refused, why) in _OF_CLASSES.items():
        if options.get(key) == refused:
            raise BadInput(f"{key} {refused}: of a layer's features {why}")
    for key, why in _UNASKED.items():
        if options.get(key) is not None:
            raise BadInput(f"{key}: not of a layer's features: {why}")


def require_classes(model: Model, output: str | None, what: str) -> None:
    """BadInput where a layer is asked for instead of an output with classes."""
    if at_layer(model, output) is not model:
        raise BadInput(
            f"{what}: of a network's answers, and {output!r} is a layer of it, whose features decide nothing; choose an output"
        )


def require_no_activation(activation: Asked) -> None:
    """BadInput where a softmax or sigmoid is asked for."""
    if activation not in ("auto", "none"):
        raise BadInput(
            f"activation {activation}: makes probabilities of scores of classes; a layer's features are taken as they are"
        )


def told_of_layer(plan: Plan) -> str:
    """What the cells of a layer equal."""
    if not plan.inexact:
        return "exact: every cell is the layer's value on its crop alone to floating-point noise"
    pooled = any(cause.kind in ("local pooling", "global pooling", "statistics") for cause in plan.inexact)
    of = "the cast network's" if pooled else "the layer's"
    through = plan.exactness.partition(" through ")[2]
    return f"not exact: every cell is {of} value on the whole image, not on its crop alone, through {through}"
