"""What a study is asked for, the same for all its images: a value that other processes get."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from fullconv.errors import BadInput
from fullconv.exports.export import HOLDS
from fullconv.results.advice import Advice

EXPORTS = ("geojson", "csv")
_NONE = "none"
PAGE = ".html"
_SEVERAL = (
    ".ome.tif",
    ".tif",
    ".geojson",
    ".gpkg",
    ".fgb",
    ".csv",
    ".parquet",
    ".svg",
    ".pdf",
    PAGE,
)  # beside the store and its picture


@dataclass(frozen=True)
class Asked:
    """A study.

    Attributes:
        out: the folder that it fills.
        classes: by index; none: all of them count, and none is looked for.
        threshold: of the scores, None where none means anything.
        exports: suffixes of what is written of each map.
        by_class: whether a GeoJSON of each class is written beside that of all.
        verify: whether some cells of a map that is not exact are compared with their crops.
        rules: of ``fail_if``, as text.
        memory: bytes that a process may take.
        restart: maps of other requests are made anew.
        options: of ``map_raster``.
        advice: what the network's card says of maps.
    """

    out: Path
    classes: tuple[int, ...] = ()
    threshold: float | None = None
    exports: tuple[str, ...] = EXPORTS
    by_class: bool = False
    verify: bool = True
    rules: tuple[str, ...] = ()
    memory: int | None = None
    restart: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    advice: Advice = field(default_factory=Advice)

    def base(self, image: str) -> Path:
        """Path of an image's files, without their suffix."""
        return self.out / Path(image.rstrip("/")).stem

    def request(self, of_map: Mapping[str, Any]) -> str:
        """What tells an image's outcome from every other."""
        told = [of_map, self.classes, self.threshold, self.exports, self.by_class, self.verify, self.rules]
        told += [self.advice.to_json()] if self.advice.to_json() else []
        return sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:16]


def exports_of(given: str) -> tuple[str, ...]:
    """Suffixes from text with commas between, ``geojson,csv``; ``none`` for none.

    Raises:
        BadInput: one that a study does not write.
    """
    names = [name.strip().lower().lstrip(".") for name in given.split(",") if name.strip()]
    if names == [_NONE]:
        return ()
    wrong = [name for name in names if f".{name}" not in _SEVERAL or f".{name}" not in (*HOLDS, PAGE)]
    if wrong or not names:
        have = ", ".join(each.lstrip(".") for each in _SEVERAL)
        raise BadInput(f"--export {given!r}: of each map are written {have}, with commas between, or none")
    return tuple(dict.fromkeys(names))
