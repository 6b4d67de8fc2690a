"""A network in the form that trains: as it is lowered, with what inference leaves out, and which of its numbers are whose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fullconv.runtimes.lowered import Lowered


@dataclass(frozen=True, slots=True)
class Trainable:
    """A lowered network and its numbers.

    Attributes:
        lowered: with dropout, and batch normalisation that can use its batch.
        names: constants and weights of ``lowered`` that belong to the network's file, and what they should be called: layer and role,
            with a dot between. All others are the lowering's own.
        parameters: those of ``names`` that train; the others are buffers.
        batch: the only size of a batch that it takes, None for any.
    """

    lowered: Lowered
    names: Mapping[str, str]
    parameters: frozenset[str]
    batch: int | None = None

    def __post_init__(self) -> None:
        stray = self.parameters - set(self.names)
        if stray:
            raise ValueError(f"parameters without a name: {sorted(stray)}")
