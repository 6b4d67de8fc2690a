"""Which results are shown: those that were named, and all of a folder that ``fullconv run`` filled, with what its table says of them.

A table comes from anyone: of its paths only the name counts, and only of what lies in the folder itself.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from fullconv.errors import BadInput
from fullconv.maps.classmap import ClassMap
from fullconv.results.lazy import StoredScores
from fullconv.system.guard import is_folder, is_url, reads
from fullconv.system.text import read_text

SUMMARY = "summary.csv"
_ENDS = (".zarr", ".npz")
_MOST = 20_000  # results of a folder


@dataclass(frozen=True, slots=True)
class Entry:
    """One result, or an image that has none.

    Attributes:
        source: its path or address, empty where there is none.
        image: the name of its image, where the table says it.
        error: why there is none.
        values: what the table says of it, by column.
        held: a map in memory, which ``source`` is no path of.
        own: the image that a map has at hand: a path, or pixels.
    """

    source: str
    image: str
    error: str
    values: Mapping[str, str]
    held: ClassMap | None = None
    own: Any = None

    @property
    def name(self) -> str:
        """For people."""
        return last_part(self.source) or self.image


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All results.

    Attributes:
        columns: of the tables, in their order.
        is_study: whether a folder was named: they are of different images.
    """

    entries: tuple[Entry, ...]
    columns: tuple[str, ...]
    is_study: bool

    @staticmethod
    def of(sources: Sequence[str | ClassMap]) -> Catalogue:
        """What was named, or is given.

        Raises:
            BadInput: a folder holds no result, or its table is none.
        """
        entries: list[Entry] = []
        columns: dict[str, None] = {}
        folders = 0
        for source in sources:
            if isinstance(source, ClassMap):
                entries.append(_given(source))
                continue
            if is_url(source) or not is_plain_folder(Path(source)):
                entries.append(Entry(source, "", "", {}))
                continue
            folders += 1
            own = list(_of_folder(Path(source)))
            entries += own
            columns |= dict.fromkeys(name for each in own for name in each.values)
        return Catalogue(tuple(entries), tuple(columns), folders > 0)


def is_plain_folder(path: Path) -> bool:
    """Whether a folder holds files, and is no Zarr of any version itself."""
    return is_folder(path) and not any(
        (path / name).exists() for name in ("zarr.json", ".zgroup", ".zattrs", ".zarray")
    )


def last_part(name: str) -> str:
    """What a path or address ends with, whichever system wrote it; nothing where that leads elsewhere."""
    name = PureWindowsPath(name.rstrip("/")).name
    return "" if name in (".", "..") else name


def _given(found: ClassMap) -> Entry:
    """A map as a result: of a store the store itself, which may still be written."""
    own = found.image if found.image is not None else found.pixels
    if isinstance(own, Path):
        own = str(own)
    elif own is found.pixels and own is not None:
        own = np.clip(np.rint(own), 0, 255).astype(np.uint8)
    source = store_of(found)
    return Entry("map in memory", "", "", {}, found, own) if source is None else Entry(source, "", "", {}, own=own)


def store_of(found: ClassMap) -> str | None:
    """Where a map's store lies, None of one in memory."""
    scores: Any = found.scores
    return scores.name if isinstance(scores, StoredScores) else None


def _of_folder(folder: Path) -> Iterator[Entry]:
    reads(folder)
    there = {path.name: path for path in sorted(folder.iterdir()) if path.name.endswith(_ENDS)}
    rows = _rows(folder / SUMMARY) if (folder / SUMMARY).exists() else []
    if not there and not rows:
        raise BadInput(f"{folder}: holds no result (x.zarr, x.npz) and no {SUMMARY} of fullconv run")
    if len(there) + len(rows) > _MOST:
        raise BadInput(f"{folder}: holds more than {_MOST:,} results; name those that are to be seen")
    for row in rows:
        values = {name: value for name, value in row.items() if name not in ("result", "error")}
        path = there.pop(last_part(row.get("result", "")), None)
        gone = "" if row.get("status") == "failed" else f"{last_part(row.get('result', '')) or 'its map'} is not there"
        error = "" if path is not None else row.get("error", "") or gone or "failed"
        yield Entry("" if path is None else str(path), last_part(row.get("image", "")), error, values)
    for path in there.values():  # a study that still runs, or none at all
        yield Entry(str(path), "", "", {})


def _rows(path: Path) -> list[dict[str, str]]:
    """The table's rows by column."""
    try:
        lines = csv.reader(io.StringIO(read_text(path, "table of a study")), strict=True)
        head = next(lines, [])
        if head[:2] != ["image", "status"]:
            raise BadInput(f"{path}: is no table of a study: it begins with {', '.join(head[:2])!r}")
        return [dict(zip(head, line, strict=False)) for line in lines]
    except csv.Error as error:
        raise BadInput(f"{path}: is no table ({error})") from None
