"""The public functions over models that are no class's own: plan, cast, receptive_field."""

from __future__ import annotations

from fullconv.geometry.field import Field
from fullconv.model import Model
from fullconv.surgery.plan import Plan


def plan(model: Model) -> Plan:
    """What a cast would do: edits, refusals, the graph that comes out, and how exact its map is. Reads no weights."""
    return model.plan


def cast(model: Model) -> Model:
    """The fully convolutional network; ``model`` is not changed.

    Raises:
        CannotCast: naming every node that stands against it, with the reason.
    """
    return model.cast()


def receptive_field(model: Model, output: str | None = None) -> Field:
    """Size, stride and offset of an output's cells in pixels of the image, per axis (y, x), exact."""
    return model.sampling(output).field
