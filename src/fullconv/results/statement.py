"""What is promised of a map of which some cells were run as crops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from math import isfinite
from typing import Any

_TEXTS = {"what": str, "scale": str, "date": str}
_COUNTS = ("crops", "drawn", "wrong")
_SHARES = ("level", "confidence", "expected", "cost")


@dataclass(frozen=True, slots=True)
class Statement:
    """What is promised, and by what.

    Attributes:
        what: ``winners``, ``detections`` or ``reported``, see ``confirmation.asked``.
        level: the share that is promised.
        confidence: that the promise holds.
        labels: the classes of detections.
        threshold: least score of detections, and the sides of a network with one class.
        scale, surety: cells that are no surer than this were run as crops; see ``confirmation.surety``.
        drawn: random cells whose crops were run before the map, to find that out.
        crops: of these, those that count: all of winners; of detections the ones that their crops find.
        wrong: of these, those that stand and are wrong.
        expected: the share of cells that are run as crops, by that sample.
        cost: of the whole, as a share of what crops of all cells cost.
        date: of that sample (UTC).
        cells: that are their crops' own; None as long as the map is not finished.
    """

    what: str
    level: float
    confidence: float
    labels: tuple[str, ...]
    threshold: float | None
    scale: str
    surety: float
    drawn: int
    crops: int
    wrong: int
    expected: float
    cost: float
    date: str
    cells: int | None = None

    def finished(self, cells: int) -> Statement:
        return replace(self, cells=cells)

    @property
    def promise(self) -> str:
        """In words."""
        sure = f"with {_percent(self.confidence)} confidence"
        if self.what == "winners":
            if self.threshold is not None:
                return f"{sure} at least {_percent(self.level)} of the cells lie on their crop's side of {self.threshold:g}"
            return f"{sure} at least {_percent(self.level)} of the cells have the class that wins their crop"
        of = ", ".join(self.labels)
        own = f"every cell that scores {self.threshold:g} or more for {of} does so by its crop; {sure}"
        if self.what == "reported":
            return f"{own} at most {_percent(1 - self.level)} of all cells are others whose crops do"
        return f"{own} at least {_percent(self.level)} of those whose crops do are there"

    @property
    def short(self) -> str:
        """In a few words, for pictures."""
        sure = f"with {_percent(self.confidence)} confidence"
        if self.what == "winners":
            if self.threshold is not None:
                return f"{sure} at least {_percent(self.level)} of the cells lie on their crops' side of {self.threshold:g}"
            return f"{sure} at least {_percent(self.level)} of the winners are their crops' own"
        missed = f"{_percent(1 - self.level)} of {'all cells' if self.what == 'reported' else 'them'}"
        return f"every detection is its crop's own; {sure} at most {missed} are missed"

    def __str__(self) -> str:
        count = f"about {self.expected:.1%} of the cells" if self.cells is None else f"{self.cells:,} cells"
        which = "" if self.what != "detections" else f", of which their crops find {self.crops:,}"
        return f"{self.promise} ({count} by crops; from {self.drawn:,} random crops{which}, {self.date})"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "labels": list(self.labels)}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Statement:
        """ValueError, KeyError or TypeError where it is none: files come from anyone."""
        values = {name: data[name] for name in Statement.__dataclass_fields__}
        values["labels"] = tuple(values["labels"])
        made = Statement(**values)
        made._require_sound()
        return made

    def _require_sound(self) -> None:
        for name, kind in _TEXTS.items():
            if not isinstance(getattr(self, name), kind):
                raise ValueError(f"{name} is {getattr(self, name)!r}")
        counts = [getattr(self, name) for name in _COUNTS] + ([] if self.cells is None else [self.cells])
        if not all(type(count) is int and count >= 0 for count in counts):
            raise ValueError("counts that are none")
        numbers = [getattr(self, name) for name in _SHARES] + [self.surety]
        numbers += [] if self.threshold is None else [self.threshold]
        if not all(type(number) in (int, float) and isfinite(number) for number in numbers):
            raise ValueError("numbers that are none")
        if self.what not in ("winners", "detections", "reported") or self.scale not in ("plain", "log", "odds"):
            raise ValueError(f"what {self.what!r}, scale {self.scale!r}")
        if not all(isinstance(label, str) for label in self.labels):
            raise ValueError("labels that are no names")
        if self.what != "winners" and (self.threshold is None or not self.labels):
            raise ValueError("detections of nothing")


def _percent(share: float) -> str:
    return f"{share * 100:.6g} %"
