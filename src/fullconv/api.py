"""The public functions over models that are no class's own: plan, cast, receptive_field."""

from __future__ import annotations

from fullconv.geometry.field import Field
from fullconv.model import Model
from fullconv.surgery.plan import GlobalPooling, Plan


def plan(model: Model, *, global_pooling: GlobalPooling | None = None) -> Plan:
    """What a cast would do: edits, refusals, the graph that comes out, and how exact its map is. Reads no weights.

    Args:
        model: as loaded.
        global_pooling: ``local`` or ``global``, see ``fullconv.load``; the model's own by default.
    """
    return (model if global_pooling is None else model.pooling(global_pooling)).plan


def cast(model: Model, *, global_pooling: GlobalPooling | None = None) -> Model:
    """The fully convolutional network; ``model`` is not changed.

    Raises:
        CannotCast: naming every node that stands against it, with the reason.
    """
    return (model if global_pooling is None else model.pooling(global_pooling)).cast()


def receptive_field(model: Model, output: str | None = None) -> Field:
    """Size, stride and offset of an output's cells in pixels of the image, per axis (y, x), exact."""
    return model.sampling(output).field
