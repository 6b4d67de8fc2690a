"""Colours of classes from files: QuPath's classes, QGIS's palettes, JSON and tables of names and colours."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from fullconv.errors import BadInput
from fullconv.maps.labels import class_index
from fullconv.system.text import read_text

Rgb = tuple[int, int, int]
Given = str | Path | Mapping[str, Any] | None
_HEX = re.compile(r"#?([0-9a-fA-F]{6})(?:[0-9a-fA-F]{2})?")
_TITLES = ("color", "colour", "hex", "rgb")


def colours_of(given: Given, labels: Sequence[str]) -> dict[int, Rgb]:
    """Colours by the classes' numbers; classes without one keep their own.

    Args:
        given: a mapping of names (or numbers) to ``#rrggbb`` or (red, green, blue), or a file: JSON of such, QuPath's ``classes.json``, a table of names and
            colours (``.csv``), QGIS's palette of a raster (``.qml``, by its labels, or its values as numbers of classes) or its colour map (``.clr``, ``.txt``).
        labels: of the classes.

    Raises:
        BadInput: the file is no such, or a colour is none; or it names no class of the map.
    """
    if given is None:
        return {}
    where = "colours" if isinstance(given, Mapping) else str(given)
    named = dict(given) if isinstance(given, Mapping) else _of_file(Path(given))
    found = {}
    for name, colour in named.items():
        index = _index(labels, name)
        if index is not None:
            found[index] = _rgb(colour, f"{where}: the colour of {name!r}")
    if not found:
        shown = ", ".join(repr(str(name)) for name in list(named)[:5]) or "nothing"
        raise BadInput(
            f"{where}: names no class of the map (it names {shown}; the classes are {', '.join(map(repr, labels[:5]))}, ...)"
        )
    return found


def _index(labels: Sequence[str], name: Any) -> int | None:
    """The class of a name as it stands, whatever its case, or of a number; None of none."""
    text = str(name)
    if text in labels:
        return list(labels).index(text)
    alike = [i for i, label in enumerate(labels) if label.casefold() == text.casefold()]
    if len(alike) == 1:
        return alike[0]
    try:
        return class_index(labels, int(text)) if text.isascii() and text.isdigit() else None
    except BadInput:
        return None


def _rgb(colour: Any, where: str) -> Rgb:
    parts: Any = colour
    if isinstance(colour, str):
        match = _HEX.fullmatch(colour.strip())
        if match:
            red, green, blue = bytes.fromhex(match[1])
            return red, green, blue
        numbers = re.split(r"[,;\s]+", colour.strip())
        parts = [int(part) for part in numbers] if all(re.fullmatch(r"[0-9]{1,3}", part) for part in numbers) else ()
    if (
        isinstance(parts, int) and not isinstance(parts, bool) and -(1 << 31) <= parts < 1 << 32
    ):  # as QuPath packs it: alpha, red, green, blue
        return (parts >> 16) & 255, (parts >> 8) & 255, parts & 255
    if (
        isinstance(parts, Sequence)
        and len(parts) in (3, 4)
        and all(type(each) is int and 0 <= each <= 255 for each in parts)
    ):
        return parts[0], parts[1], parts[2]
    raise BadInput(f"{where} is {str(colour)[:60]!r}: #rrggbb, or three numbers from 0 to 255, are meant")


def _of_file(path: Path) -> dict[Any, Any]:
    text = read_text(path, "list of colours")
    readers = {".json": _of_json, ".qml": _of_qml, ".csv": _of_table, ".clr": _of_map, ".txt": _of_map}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise BadInput(f"{path}: colours are read from {', '.join(readers)}")
    return reader(text, path)


def _of_json(text: str, path: Path) -> dict[Any, Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: not valid JSON: {error}") from None
    for key in ("pathClasses", "classes"):  # QuPath's project
        if isinstance(data, Mapping) and isinstance(data.get(key), list):
            data = data[key]
    if isinstance(data, list) and all(isinstance(each, Mapping) and isinstance(each.get("name"), str) for each in data):
        return {each["name"]: each.get("color", each.get("colorRGB", each.get("colour"))) for each in data}
    if isinstance(data, Mapping):
        return dict(data)
    raise BadInput(f"{path}: holds no colours: names to colours, or QuPath's list of classes, are read")


def _of_qml(text: str, path: Path) -> dict[Any, Any]:
    if "<!ENTITY" in text:
        raise BadInput(f"{path}: defines entities, which no style of QGIS does")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, RecursionError) as error:
        raise BadInput(f"{path}: not valid XML: {error}") from None
    entries = root.findall(".//paletteEntry")
    if not entries:
        raise BadInput(f"{path}: is no style of a raster by palette (it has no paletteEntry)")
    return {entry.get("label") or entry.get("value", ""): entry.get("color", "") for entry in entries}


def _of_table(text: str, path: Path) -> dict[Any, Any]:
    try:
        rows = [
            [cell.strip() for cell in row] for row in csv.reader(text.splitlines()) if any(cell.strip() for cell in row)
        ]
    except csv.Error as error:
        raise BadInput(f"{path}: not a readable table ({error})") from None
    titles = [title.lower() for title in rows[0]] if rows else []
    colour = next((titles.index(name) for name in _TITLES if name in titles), None)
    if colour is not None:
        name = next(
            (i for i, title in enumerate(titles) if title in ("name", "label", "class", "class_name")),
            1 if colour == 0 else 0,
        )
        rows = rows[1:]
    else:
        name, colour = 0, 1
    if any(len(row) <= max(name, colour) for row in rows):
        raise BadInput(f"{path}: a row has too few columns; a name and a colour (#rrggbb) are meant")
    return {row[name]: row[colour] for row in rows}


def _of_map(text: str, path: Path) -> dict[Any, Any]:
    """QGIS's colour map: value, red, green, blue, alpha and label, with commas or blanks between."""
    found: dict[Any, Any] = {}
    for line in text.splitlines():
        if not line.strip() or line.startswith(("#", "INTERPOLATION", "ncols")):
            continue
        parts = [part.strip() for part in (line.split(",", 5) if "," in line else line.split(None, 5))]
        if len(parts) < 4 or not all(part.isascii() and part.isdigit() for part in parts[:4]):
            raise BadInput(f"{path}: its line {line[:60]!r} is no value with three numbers of a colour")
        named = len(parts) == 6 and bool(parts[5])
        found[parts[5] if named else parts[0]] = [int(part) for part in parts[1:4]]
    return found
