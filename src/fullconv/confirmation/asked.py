"""What is to be confirmed, as a person says it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any, Literal

from fullconv.confirmation.bound import least_sample
from fullconv.errors import BadInput
from fullconv.maps.labels import classes_named

What = Literal["winners", "detections", "reported"]
CONFIDENCE = 0.95
USUAL = 0.99  # level
_MOST = 0.99999  # above it more crops than any map has
_ROOM = 1000 / 299  # times the least sample: so many more let some of them be wrong
_SOME = 500  # crops that any map is worth


@dataclass(frozen=True, slots=True)
class Confirm:
    """What is to be confirmed.

    Attributes:
        what: ``winners``: of all cells, at least ``level`` have the class that wins their crop. ``detections``: every cell that scores at least
            ``threshold`` for one of the classes does so by its crop, and of the cells whose crops do, at least ``level`` are there. ``reported``: the
            same, but that those which are not there are at most 1 - ``level`` of all cells, which says less and costs little where they are rare.
        level: a share, below 1; None of ``reported``: as a sample of usual size has it.
        classes: by index, of detections.
        threshold: least score of detections, and the sides of a network with one class; None where the usual one is meant.
    """

    what: What
    level: float | None
    classes: tuple[int, ...] = ()
    threshold: float | None = None

    def __post_init__(self) -> None:
        if self.level is None and self.what != "reported":
            raise BadInput(f"confirm {self.what}: to which level?")
        if self.level is not None and not 0 < self.level <= _MOST:
            raise BadInput(
                f"confirm {self.level:g}: a share above 0 and at most {_MOST}, 0.99 say; where every cell must be its crop's own, take --by crops"
            )
        if self.what != "winners" and not self.classes:
            raise BadInput(f"confirm {self.what}: of which class? Name it with --class (confirm_class=)")
        if self.threshold is not None and not isfinite(self.threshold):
            raise BadInput(f"threshold {self.threshold}: not a finite number")

    @staticmethod
    def of(given: float | str, labels: Sequence[str], name: str | int | None, threshold: float | None) -> Confirm:
        """From what is given.

        Args:
            given: a level (``0.99``, ``"99%"``), ``"detections"``, ``"reported"``, or one of these with a level: ``"detections:0.95"``.
            labels: of all the network's classes.
            name: the class or classes of detections.
            threshold: their least score.
        """
        kind, _, text = str(given).strip().partition(":")
        if kind not in ("detections", "reported"):
            return Confirm("winners", _share(str(given), given), (), threshold if len(labels) == 1 else None)
        classes = () if name is None else classes_named(labels, name)
        level = _share(text, given) if text else USUAL if kind == "detections" else None
        return Confirm("detections" if kind == "detections" else "reported", level, classes, threshold)

    def __str__(self) -> str:
        level = "" if self.level is None else f"{self.level:g}"
        return level if self.what == "winners" else f"{self.what}{level and ':'}{level}"

    @property
    def wrong(self) -> float:
        """The share that may be wrong."""
        return 1 - (USUAL if self.level is None else self.level)

    @property
    def least(self) -> int:
        """Crops without an error that certify the level."""
        return least_sample(self.wrong, CONFIDENCE)

    @property
    def enough(self) -> int:
        """Crops of which more say little more."""
        return max(_SOME, round(self.least * _ROOM))

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "classes": list(self.classes)}


def _share(text: str, given: float | str) -> float:
    match = re.fullmatch(r"\s*([0-9.eE+-]+)\s*(%?)\s*", text)
    try:
        return float(match[1]) / (100 if match[2] else 1) if match else _no_share(given)
    except ValueError:
        return _no_share(given)


def _no_share(given: float | str) -> float:
    raise BadInput(
        f"confirm {given!r}: a level (0.99), detections or reported, or one of these with a level (detections:0.95)"
    )
