"""What a person says of cells: accepted, rejected, or of another class, with a note; kept beside the result as GeoJSON that QuPath imports.

The file's outlines are the cells' crops in pixels of the image. It is small, is read anew before each change, and is written whole.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

from fullconv.errors import BadInput
from fullconv.maps.classmap import ClassMap
from fullconv.system.files import written_whole
from fullconv.system.guard import MARK, is_url

VERDICTS = ("accept", "reject", "relabel")
_MOST = 64 << 20  # bytes of a file
_TEXT = 2000  # letters of a note
_COLUMNS = ("row", "col", "x0", "y0", "x1", "y1", "class", "score", "verdict", "label", "note", "time")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Verdicts:
    """Of one result; one a cell and class."""

    def __init__(self, source: str, kept: bool = True) -> None:
        """Of a result by its path or address; ``kept``: whether there is a place beside it, which a map in memory has not."""
        self._name = f"{source.rstrip('/')}.verdicts.geojson"
        self._far, self._kept = is_url(source), kept and not is_url(source)
        self._lock = Lock()

    @property
    def path(self) -> Path:
        return Path(self._name)

    def all(self) -> list[dict[str, Any]]:
        """What was said, as properties of the file's features.

        Raises:
            BadInput: the file is none of these.
        """
        if not self._kept or not self.path.exists():
            return []
        if self.path.stat().st_size > _MOST:
            raise BadInput(f"{self.path}: has more than {_MOST >> 20} MB; no file of verdicts has")
        try:
            features = json.loads(self.path.read_bytes())["features"]
            return [_sound(feature["properties"]) for feature in features]
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise BadInput(f"{self.path}: is no file of verdicts, or damaged ({error!r}); move it away") from None

    def say(self, found: ClassMap, given: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Keep a verdict (``accept``, ``reject``, ``relabel`` with a label), or take one back (``verdict`` None); all verdicts.

        Raises:
            BadInput: it is none, or cannot be written.
            IndexError: there is no such cell.
        """
        if self._far:
            raise BadInput("verdicts are kept beside a result on this machine; this one is at an address")
        if not self._kept:
            raise BadInput("verdicts are kept beside a result; save this map first, and view the file")
        about = _said(found, given)
        with self._lock:
            key = about["row"], about["col"], about["class"]
            kept = [each for each in self.all() if (each["row"], each["col"], each["class"]) != key]
            if about["verdict"] is not None:
                kept.append(about)
            self._write(found, kept)
            return kept

    def table(self) -> str:
        """All of them as CSV, each with its crop: what a classifier can be trained on."""
        file = io.StringIO()
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for each in self.all():
            writer.writerow(
                [
                    _cell(value)
                    for value in (each["row"], each["col"], *each["box"], *(each[name] for name in _COLUMNS[6:]))
                ]
            )
        return file.getvalue()

    def _write(self, found: ClassMap, kept: Sequence[Mapping[str, Any]]) -> None:
        features = [_feature(found, about) for about in kept]
        whole = {"type": "FeatureCollection", "generator": MARK, "features": features}
        with written_whole(self.path) as (part,):
            part.write_text(json.dumps(whole, indent=1, ensure_ascii=False), encoding="utf-8")


def _said(found: ClassMap, given: Mapping[str, Any]) -> dict[str, Any]:
    """A verdict from what a browser sends."""
    row, col, number, verdict = (given.get(name) for name in ("row", "col", "class", "verdict"))
    label, note = given.get("label", ""), given.get("note", "")
    if not (type(row) is int and type(col) is int and type(number) is int and 0 <= number < len(found.labels)):
        raise BadInput("a verdict is of a cell (row, col) and a class, by number")
    if verdict is not None and verdict not in VERDICTS:
        raise BadInput(f"verdict {verdict!r}: not one of {', '.join(VERDICTS)}")
    if not (isinstance(label, str) and isinstance(note, str)) or len(label) > _TEXT or len(note) > _TEXT:
        raise BadInput(f"label and note are text of at most {_TEXT} letters")
    if verdict == "relabel" and not label:
        raise BadInput("relabel: say as what")
    box = [float(value) for value in found.box(row, col)]
    score = float(found.scores[number, row, col])
    return {
        "row": row, "col": col, "class": found.labels[number], "score": score if score == score else None, "verdict": verdict,
        "label": label, "note": note, "box": box, "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }  # fmt: skip


def _feature(found: ClassMap, about: Mapping[str, Any]) -> dict[str, Any]:
    x0, y0, x1, y1 = about["box"]
    name = about["label"] if about["verdict"] == "relabel" else about["class"]
    name = f"rejected: {name}" if about["verdict"] == "reject" else name
    colour = found.colour(found.labels.index(about["class"])) if about["class"] in found.labels else (128, 128, 128)
    ring = [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]
    shown = {"objectType": "annotation", "classification": {"name": name, "color": list(colour)}}
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {**about, **shown},
    }


def _sound(properties: Mapping[str, Any]) -> dict[str, Any]:
    """ValueError or KeyError where they are none: files come from anyone."""
    about = {
        name: properties[name] for name in ("row", "col", "class", "score", "verdict", "label", "note", "box", "time")
    }
    texts = all(
        isinstance(about[name], str) and len(about[name]) <= _TEXT
        for name in ("class", "verdict", "label", "note", "time")
    )
    box = [float(value) for value in about["box"]]
    numbers = type(about["row"]) is int and type(about["col"]) is int and len(box) == 4
    if not (texts and numbers and about["verdict"] in VERDICTS and isinstance(about["score"], float | int | None)):
        raise ValueError(f"a verdict of {about}")
    return {**about, "box": box}


def _cell(value: Any) -> Any:
    """What no program that opens tables takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
