"""What a person says of cells and regions: accepted, rejected, or of another class, with a note; kept beside the result as GeoJSON that QuPath imports.

The file's outlines are the cells' crops, and the regions' cells, in pixels of the image. It is small, is read anew before each change, and is written whole.
A region is known by its best cell, its class, and how many cells it has: one that a threshold a little higher leaves as it is, is the same.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from threading import RLock
from typing import Any

from fullconv.errors import BadInput
from fullconv.exports.geojson import MEASUREMENTS
from fullconv.exports.outlines import rings_of
from fullconv.maps.areas import area_columns
from fullconv.maps.classmap import ClassMap
from fullconv.system.files import written_whole
from fullconv.system.guard import MARK, is_url
from fullconv.viewer.regions import Listing, crops_of, placed

VERDICTS = ("accept", "reject", "relabel")
_MOST = 16 << 20  # bytes of a file
_VALUES = 4_000_000  # of a file: each takes many times its letters of memory
_TEXT = 2000  # letters of a note
_TOLD = 300  # letters of what is wrong with a file
_CROPS = 1000  # of a region
_LAST = 1 << 40  # row or column
_OUTLINED = 100_000  # runs of a region that is kept
_COLUMNS = ("row", "col", "x0", "y0", "x1", "y1", "class", "score", "verdict", "label", "note", "time", "region")
_OWN = ("row", "col", "class", "score", "verdict", "label", "note", "box", "time", "cells")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Verdicts:
    """Of one result; one a cell or region, and class."""

    def __init__(self, source: str, kept: bool = True) -> None:
        """Of a result by its path or address; ``kept``: whether there is a place beside it, which a map in memory has not."""
        self._name = f"{source.rstrip('/')}.verdicts.geojson"
        self._far, self._kept = is_url(source), kept and not is_url(source)
        self._lock = RLock()  # one reads at a time: a file takes ten times its bytes of memory

    @property
    def path(self) -> Path:
        return Path(self._name)

    def all(self) -> list[dict[str, Any]]:
        """What was said, as properties of the file's features; ``cells`` is None of a cell.

        Raises:
            BadInput: the file is none of these.
        """
        with self._lock:
            return [{name: each[name] for name in _OWN} for each in self._read()]

    def _read(self) -> list[dict[str, Any]]:
        """The same with outline and crops of regions."""
        if not self._kept or not self.path.exists():
            return []
        try:
            with self.path.open("rb") as file:
                data = file.read(_MOST + 1)
            if not _is_bounded(data):
                raise ValueError(f"has more than {_MOST >> 20} MB, or {_VALUES:,} values")
            features = json.loads(data)["features"]
            del data
            return [_sound(feature) for feature in features]
        except (OSError, ArithmeticError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            told = repr(error)[:_TOLD]
            raise BadInput(f"{self.path}: is no file of verdicts, or damaged ({told}); move it away") from None

    def say(self, found: ClassMap, given: Mapping[str, Any], listing: Listing | None = None) -> list[dict[str, Any]]:
        """Keep a verdict (``accept``, ``reject``, ``relabel`` with a label), or take one back (``verdict`` None); all verdicts.

        Args:
            given: what a browser sends; with ``cells`` it is of a region.
            listing: the regions, of which it is one.

        Raises:
            BadInput: it is none, or cannot be written.
            IndexError: there is no such cell or region.
        """
        if self._far:
            raise BadInput("verdicts are kept beside a result on this machine; this one is at an address")
        if not self._kept:
            raise BadInput("verdicts are kept beside a result; save this map first, and view the file")
        about = _said(found, given)
        with self._lock:
            kept = [each for each in self._read() if _key(each) != _key(about)]
            if about["verdict"] is not None:
                kept.append(about if listing is None else about | _of_region(found, about, listing))
            self._write(found, kept)
            return [{name: each[name] for name in _OWN} for each in kept]

    def table(self) -> str:
        """All of them as CSV, each with its crop, a region with crops side by side: what a classifier can be trained on."""
        file = io.StringIO()
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        regions = 0
        with self._lock:
            kept = self._read()
        for each in kept:
            own = [[each["row"], each["col"], each["score"], *each["box"]]]
            regions += each["cells"] is not None
            said = [each[name] for name in _COLUMNS[8:-1]] + [None if each["cells"] is None else regions]
            for row, col, score, *box in own if each["cells"] is None else each["crops"]:
                writer.writerow([_cell(value) for value in (row, col, *box, each["class"], score, *said)])
        return file.getvalue()

    def _write(self, found: ClassMap, kept: Sequence[Mapping[str, Any]]) -> None:
        features = [_feature(found, about) for about in kept]
        head = json.dumps({"type": "FeatureCollection", "generator": MARK, "features": []}).removesuffix("]}")
        lines = ",\n".join(json.dumps(each, ensure_ascii=False, allow_nan=False) for each in features)
        data = f"{head}\n{lines}\n]}}\n".encode()
        if not _is_bounded(data):
            raise BadInput(
                f"{self.path}: would have more than {_MOST >> 20} MB, or {_VALUES:,} values; move it away, and go on in a new one"
            )
        with written_whole(self.path) as (part,):
            part.write_bytes(data)


def _is_bounded(data: bytes) -> bool:
    """Whether a file takes no more memory than there is for it: what cannot be read again is not written."""
    return len(data) <= _MOST and sum(map(data.count, (b",", b"[", b"{"))) + 3 * data.count(b"{") <= _VALUES


def _is_text(*texts: Any) -> bool:
    """Halves of pairs of UTF-16 are in no file."""
    return all(isinstance(text, str) and not any("\ud800" <= letter <= "\udfff" for letter in text) for text in texts)


def _score(value: Any) -> float | None:
    """JSON has no word for what is no number, or without end."""
    return float(value) if value is not None and isfinite(value) else None


def _said(found: ClassMap, given: Mapping[str, Any]) -> dict[str, Any]:
    """A verdict from what a browser sends."""
    row, col, number, verdict, cells = (given.get(name) for name in ("row", "col", "class", "verdict", "cells"))
    label, note = given.get("label", ""), given.get("note", "")
    if not (type(row) is int and type(col) is int and type(number) is int and 0 <= number < len(found.labels)):
        raise BadInput("a verdict is of a cell (row, col) and a class, by number")
    if cells is not None and type(cells) is not int:
        raise BadInput("a region is known by how many cells it has")
    if verdict is not None and verdict not in VERDICTS:
        raise BadInput(f"verdict {verdict!r}: not one of {', '.join(VERDICTS)}")
    if not _is_text(label, note) or len(label) > _TEXT or len(note) > _TEXT:
        raise BadInput(f"label and note are text of at most {_TEXT} letters of Unicode")
    if verdict == "relabel" and not label:
        raise BadInput("relabel: say as what")
    if not _is_text(found.labels[number]):
        raise BadInput(
            "this class's name is no Unicode: no file can hold a verdict on it; name the classes anew (--labels)"
        )
    box = [float(value) for value in found.box(row, col)]
    return {
        "row": row, "col": col, "class": found.labels[number], "score": _score(found.scores[number, row, col]), "verdict": verdict,
        "label": label, "note": note, "box": box, "time": datetime.now(UTC).isoformat(timespec="seconds"), "cells": cells,
    }  # fmt: skip


def _key(about: Mapping[str, Any]) -> tuple[Any, ...]:
    return about["row"], about["col"], about["class"], about["cells"]


def _of_region(found: ClassMap, about: Mapping[str, Any], listing: Listing) -> dict[str, Any]:
    """What is kept of a region besides."""
    i = listing.find(about["row"], about["col"], about["cells"])
    runs = listing.of_region(i)
    if len(runs) > _OUTLINED:
        raise BadInput(f"this region lies in more than {_OUTLINED:,} stretches of cells; choose a higher threshold")
    rings = [placed(found.grid, ring) for ring in rings_of(runs)]
    crops = crops_of(found, listing.plane, runs, (about["row"], about["col"]), _CROPS)
    numbers = {"score_max": float(listing.best[i]), "score_mean": float(listing.mean[i]), **area_columns(found, about["cells"])}  # fmt: skip
    return {
        "outline": [[*ring.tolist(), ring[0].tolist()] for ring in rings], "threshold": listing.threshold,
        "box": [*rings[0].min(axis=0).tolist(), *rings[0].max(axis=0).tolist()],
        "measurements": {MEASUREMENTS.get(name, name): float(value) for name, value in numbers.items() if isfinite(value)},
        "crops": [[row, col, _score(score), *map(float, found.box(row, col))] for row, col, score in crops],
    }  # fmt: skip


def _feature(found: ClassMap, about: Mapping[str, Any]) -> dict[str, Any]:
    x0, y0, x1, y1 = about["box"]
    name = about["label"] if about["verdict"] == "relabel" else about["class"]
    name = f"rejected: {name}" if about["verdict"] == "reject" else name
    colour = found.colour(found.labels.index(about["class"])) if about["class"] in found.labels else (128, 128, 128)
    rings = [[[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]] if about["cells"] is None else about["outline"]
    kept = {name: value for name, value in about.items() if name != "outline" and value is not None}
    shown = {"objectType": "annotation", "classification": {"name": name, "color": list(colour)}}
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": rings},
        "properties": {**kept, "score": about["score"], **shown},
    }


def _sound(feature: Mapping[str, Any]) -> dict[str, Any]:
    """ValueError or KeyError where they are none: files come from anyone."""
    properties = feature["properties"]
    about = {name: properties[name] for name in _OWN[:-1]} | {"cells": properties.get("cells")}
    own = [about[name] for name in ("verdict", "label", "note", "time")]
    texts = _is_text(about["class"], *own) and all(len(text) <= _TEXT for text in own)  # a class's name is the map's
    box = [float(value) for value in about["box"]]
    places = all(type(about[name]) is int and 0 <= about[name] <= _LAST for name in ("row", "col"))
    numbers = places and len(box) == 4 and all(map(isfinite, box))
    if not (texts and numbers and about["verdict"] in VERDICTS and isinstance(about["score"], float | int | None)):
        raise ValueError(f"a verdict of {str(about)[:_TOLD]}")
    about["box"], about["score"] = box, _score(about["score"])
    if about["cells"] is None:
        return about
    rings = [[[float(x), float(y)] for x, y in ring] for ring in feature["geometry"]["coordinates"]]
    crops = [[int(row), int(col), _score(score), *map(float, box)] for row, col, score, *box in properties["crops"]]  # fmt: skip
    measured = {str(name)[:_TEXT]: float(value) for name, value in properties["measurements"].items()}
    sound = type(about["cells"]) is int and rings and all(len(ring) > 3 for ring in rings) and all(len(crop) == 7 for crop in crops)  # fmt: skip
    threshold = float(properties["threshold"])
    corners = (value for ring in rings for point in ring for value in point)
    boxes = (value for crop in crops for value in crop[3:] if value is not None)
    if not sound or not all(map(isfinite, (threshold, *measured.values(), *corners, *boxes))):
        raise ValueError(f"a region of {str(about)[:_TOLD]}")
    return {**about, "outline": rings, "crops": crops, "measurements": measured, "threshold": threshold}


def _cell(value: Any) -> Any:
    """What no program that opens tables takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
