"""What became of one image of a study: what is kept beside its map, and becomes a row of the table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from fullconv.system.files import written_whole
from fullconv.system.guard import MARK

_MARK = "fullconv outcome 1"


@dataclass(frozen=True, slots=True)
class OfClass:
    """One class on one image.

    Attributes:
        cells, share: that it wins, and their share of the cells with an answer.
        area: of these in the table's large unit (mm² or km²), None where pixels have no size.
        best, x, y: its highest score, and the pixel at that cell's centre; None where it has no score.
        over: cells that score the threshold, None where there is none; ``over_area`` theirs.
        peaks: local maxima above the threshold, None of a class that was not asked for.
    """

    label: str
    cells: int
    share: float
    area: float | None = None
    best: float | None = None
    x: float | None = None
    y: float | None = None
    over: int | None = None
    over_area: float | None = None
    peaks: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """One image.

    Attributes:
        image: its name as it was given.
        error: why it has no map; empty where it has one.
        request: what tells this map, and what is written of it, from every other; an outcome of the same is taken as it is.
        files: what was written, the map first.
        width, height: of the image in pixels.
        rows, cols, answered: cells, and those with an answer.
        winner: the class of most cells.
        rules: those of ``fail_if`` that hold.
        agreement: (share, low, high) of the cells that have the class which wins their crop, with a 95 % interval, by some that were
            compared; None of an exact map, where nothing was compared, or no class wins over another.
        unit: of areas, ``mm2`` or ``km2``; empty where there are none.
        failed_tiles: tiles with pixels that do not decode.
    """

    image: str
    error: str = ""
    request: str = ""
    files: tuple[str, ...] = ()
    width: int = 0
    height: int = 0
    rows: int = 0
    cols: int = 0
    answered: int = 0
    winner: str = ""
    rules: tuple[str, ...] = ()
    exactness: str = ""
    agreement: tuple[float, float, float] | None = None
    seconds: float = 0.0
    unit: str = ""
    failed_tiles: int = 0
    classes: tuple[OfClass, ...] = ()

    @property
    def mapped(self) -> bool:
        return not self.error

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and names."""
        return asdict(self)

    def save(self, path: Path) -> None:
        """Write it, whole or not at all."""
        text = json.dumps({"format": _MARK, "by": MARK, **self.to_json()}, indent=1)
        with written_whole(path) as (part,):
            part.write_text(text, encoding="utf-8")

    @staticmethod
    def load(path: Path) -> Outcome | None:
        """What ``save`` wrote; None where nothing is there, or something else: it is made anew then."""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            return Outcome._of(data) if data.get("format") == _MARK else None
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None

    @staticmethod
    def _of(data: Mapping[str, Any]) -> Outcome:
        """ValueError, KeyError or TypeError where it is none: files come from anyone."""
        found = Outcome(**{name: data[name] for name in Outcome.__dataclass_fields__})
        made = replace(
            found,
            files=tuple(map(str, found.files)),
            rules=tuple(map(str, found.rules)),
            agreement=None if found.agreement is None else _agreement(found.agreement),
            classes=tuple(OfClass(**each) for each in data["classes"]),
        )
        parts: tuple[Outcome | OfClass, ...] = made, *made.classes
        for each in parts:
            _require_sound(each)
        return made


def _agreement(given: Any) -> tuple[float, float, float]:
    share, low, high = (float(value) for value in given)
    return share, low, high


_KINDS: Mapping[str, Any] = {
    **dict.fromkeys(("image", "error", "request", "winner", "exactness", "unit", "label"), str),
    **dict.fromkeys(("width", "height", "rows", "cols", "answered", "failed_tiles", "cells"), int),
    **dict.fromkeys(("seconds", "share"), int | float),
    **dict.fromkeys(("area", "best", "x", "y", "over_area"), int | float | None),
    **dict.fromkeys(("over", "peaks"), int | None),
}


def _require_sound(found: Outcome | OfClass) -> None:
    """ValueError where a value is of another kind."""
    for name, kind in _KINDS.items():
        if hasattr(found, name) and not isinstance(getattr(found, name), kind):
            raise ValueError(f"{name} is {getattr(found, name)!r}")
