"""The public functions over models that are no class's own: plan, cast, receptive_field."""

from __future__ import annotations

from dataclasses import replace

from fullconv.geometry.field import Field
from fullconv.model import Model
from fullconv.surgery.plan import GlobalPooling, Plan


def plan(model: Model, *, stride: int | None = None, global_pooling: GlobalPooling | None = None) -> Plan:
    """What a cast would do: edits, refusals, the graph that comes out, and how exact its map is. Reads no weights.

    Args:
        model: as loaded.
        stride: pixels from cell to cell, a divisor of the network's own; with it the plan says which windows are dilated (and the
            network is made, to see that it can be had).
        global_pooling: ``local`` or ``global``, see ``fullconv.load``; the model's own by default.
    """
    asked = model if global_pooling is None else model.pooling(global_pooling)
    if stride is None or asked.plan.refusals:
        return asked.plan
    return replace(asked.plan, refinements=tuple(asked.refined(stride).refinements))


def cast(model: Model, *, stride: int | None = None, global_pooling: GlobalPooling | None = None) -> Model:
    """The fully convolutional network; ``model`` is not changed.

    Args:
        model: as loaded.
        stride: pixels from cell to cell, a divisor of the network's own, by dilation: a network of ONNX.
        global_pooling: as for ``plan``.

    Raises:
        CannotCast: naming every node that stands against it, with the reason.
    """
    asked = model if global_pooling is None else model.pooling(global_pooling)
    return asked.cast() if stride is None else asked.refined(stride)


def receptive_field(model: Model, output: str | None = None) -> Field:
    """Size, stride and offset of an output's cells in pixels of the image, per axis (y, x), exact."""
    return model.sampling(output).field
