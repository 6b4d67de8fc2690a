"""What the card of a network says of its maps, which stay with them: they are read without the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any


@dataclass(frozen=True, slots=True)
class Advice:
    """What a card says of maps. What is None (or empty) it does not say.

    Attributes:
        threshold: least score that counts where nobody gives another; of scores as the map has them.
        background: classes that are no findings, by their place among the map's labels.
        licence, source: of the network, for people.
    """

    threshold: float | None = None
    background: tuple[int, ...] = ()
    licence: str | None = None
    source: str | None = None

    def __post_init__(self) -> None:
        if self.threshold is not None and not (
            isinstance(self.threshold, int | float)
            and not isinstance(self.threshold, bool)
            and isfinite(self.threshold)
        ):
            raise ValueError(f"a threshold of {self.threshold!r}")
        if not all(type(index) is int and index >= 0 for index in self.background):
            raise ValueError(f"a background of {self.background!r}")
        for text in (self.licence, self.source):
            if not isinstance(text, str | None):
                raise ValueError(f"a licence or source of {text!r}")

    def of(self, kept: tuple[int, ...]) -> Advice:
        """The same of a map that keeps some classes, by their numbers."""
        background = tuple(place for place, index in enumerate(kept) if index in self.background)
        return Advice(self.threshold, background, self.licence, self.source)

    def to_json(self) -> dict[str, Any]:
        """What it says, by name; nothing of what it does not."""
        said = {
            "threshold": self.threshold, "background": list(self.background) or None, "licence": self.licence, "source": self.source,
        }  # fmt: skip
        return {key: value for key, value in said.items() if value is not None}

    @staticmethod
    def from_json(data: Mapping[str, Any], classes: int) -> Advice:
        """What ``to_json`` gave, of a map with so many classes.

        Raises:
            ValueError: it is something else.
        """
        if not isinstance(data, Mapping) or not isinstance(data.get("background", []), list | tuple):
            raise ValueError(f"advice of {data!r}")
        found = Advice(
            data.get("threshold"), tuple(data.get("background", ())), data.get("licence"), data.get("source")
        )
        if any(index >= classes for index in found.background):
            raise ValueError(f"a background of {found.background!r} among {classes} classes")
        return found
