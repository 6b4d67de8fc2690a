"""A network in a console and in a notebook: what it is, and what a cast would make of it. No weight is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fullconv.errors import FullconvError
from fullconv.system.notebook import as_html

if TYPE_CHECKING:
    from fullconv.model import Model


def in_short(model: Model) -> str:
    """``Model(net.onnx, onnx, 3×224×224 -> prob 1000, classifier)``."""
    known = _known(model)
    return f"Model({', '.join(known[key] for key in ('network', 'format', 'answers', 'is') if known[key])})"


def in_html(model: Model) -> str:
    """What it is, what its cells are, and what a cast does."""
    known = _known(model)
    if not known["answers"]:
        return as_html("Model", known)
    plan = model.plan
    rows = {**known, "cells": _cells(model), "cells and crops": plan.exactness if plan.predicted else ""}
    table = [("cannot be cast", "why"), *((each.node, each.reason) for each in plan.refusals)]
    return as_html("Model", rows, table)


def _known(model: Model) -> dict[str, str]:
    try:
        return _named(model) | _answers(model)
    except FullconvError:  # whatever keeps it from being read is said where it is used, not where it is looked at
        return _named(model) | {"answers": "", "is": ""}


def _named(model: Model) -> dict[str, str]:
    return {"network": "" if model.path is None else str(model.path), "format": model.format.name}


def _answers(model: Model) -> dict[str, str]:
    graph = model.graph
    image = "" if graph.image is None else "×".join(map(str, model.image_shape))
    answers = ", ".join(f"{name} {'×'.join(map(str, graph.values[name].shape[1:]))}" for name in graph.outputs)
    return {
        "answers": f"{image or 'no image'} -> {answers}",
        "is": "fully convolutional" if model.is_fully_convolutional else "classifier",
        "head fitted to crops": f"{len(model.heads)}" if model.heads else "",
    }


def _cells(model: Model) -> str:
    """Of its last output, once cast."""
    if model.plan.predicted is None:
        return ""
    try:
        sampling = model.sampling()
    except FullconvError:  # an output of no place, of a network that is no classifier of images
        return ""
    (down, right), (height, width) = sampling.stride, sampling.crop
    return f"one every {float(right):g} × {float(down):g} px, for a crop of {float(width):g} × {float(height):g} px"
