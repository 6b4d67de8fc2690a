"""A node with what it reads before the cast and after it."""

from __future__ import annotations

from dataclasses import dataclass

from fullconv.geometry.axis import output_length
from fullconv.geometry.lengths import joined
from fullconv.graph.axes import Axes
from fullconv.graph.nodes import Node, Touch, Window


@dataclass(frozen=True, slots=True)
class Step:
    """Attributes:
    node: as it was read.
    inputs: what it reads after the cast.
    old, new: their axes before the cast and after it.
    """

    node: Node
    inputs: tuple[str, ...]
    old: tuple[Axes, ...]
    new: tuple[Axes, ...]

    @property
    def became_map(self) -> bool:
        """Whether its first input was no map and is one after the cast."""
        return bool(self.new) and self.new[0].is_map and not self.old[0].is_map


def grown(step: Step, touch: Touch, out: Axes) -> Axes:
    """An output's axes where an input is a map of another size than it was: behind a local pool."""
    maps = [(old, new) for old, new in zip(step.old, step.new, strict=True) if old.is_map and new.is_map]
    if not out.is_map or all(old.map_size == new.map_size for old, new in maps):
        return out
    if isinstance(touch, Window):
        height, width = step.new[0].map_size
        return out.with_size(output_length(touch.y, height), output_length(touch.x, width))
    return out.with_size(*joined(new.map_size for _, new in maps))
