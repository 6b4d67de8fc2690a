"""A table of one row an image: what each map holds, and what became of images that have none."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fullconv.errors import BadInput
from fullconv.exports.table import plain
from fullconv.maps.classmap import ClassMap
from fullconv.maps.summary import leading
from fullconv.system.guard import require_writable

FIRST = (
    "image", "status", "error", "rules", "width", "height", "rows", "cols", "answered", "winner", "exactness", "seconds", "result", "request",
)  # fmt: skip
_OF_CLASS = ("share", "best", "x", "y")


@dataclass(frozen=True, slots=True)
class Overview:
    """Of one class: the cells that it wins (alone, those on its side of ``ClassMap.side``, or all) and their share of those with an answer, its highest score,
    and the pixel (x, y) at that cell's centre.

    ``over`` are the cells that score a threshold, None where none was given.
    """

    cells: int
    share: float
    best: float | None
    x: float | None
    y: float | None
    over: int | None = None


def overviews(result: ClassMap, threshold: float | None = None) -> tuple[int, list[Overview]]:
    """How many cells have an answer, and what each class shows, in one pass over the map."""
    count = len(result.labels)
    wins, over = np.zeros(count, np.int64), np.zeros(count, np.int64)
    best = np.full(count, -np.inf, np.float32)
    at = np.zeros((count, 2), np.int64)
    reached, side = 0, result.side
    for top, left, winners in result.winning():
        wins += np.bincount(winners[winners >= 0], minlength=count)
        part = np.asarray(result.scores[:, top : top + winners.shape[0], left : left + winners.shape[1]])
        if side is not None:
            reached += int((part[0] >= np.float32(side)).sum())
        if threshold is not None:
            over += (part >= threshold).sum(axis=(1, 2))  # false where there is no answer
        flat = np.where(np.isnan(part), -np.inf, part).reshape(count, -1)
        where = flat.argmax(axis=1)
        highest = flat[np.arange(count), where]
        better = highest > best
        best[better] = highest[better]
        rows, cols = np.divmod(where, winners.shape[1])
        at[better] = np.stack([rows + top, cols + left], axis=1)[better]
    answered = int(wins.sum())
    if side is not None:
        wins[0] = reached
    made = []
    for i in range(count):
        seen = not np.isneginf(best[i])
        x, y = result.centre(int(at[i, 0]), int(at[i, 1])) if seen else (None, None)
        cells, many = int(wins[i]), None if threshold is None else int(over[i])
        made.append(Overview(cells, cells / max(1, answered), float(best[i]) if seen else None, x, y, many))
    return answered, made


class ImageTable:
    """A CSV file that a row is added to for each image, there at once: what was mapped before a stop is in it."""

    def __init__(self, path: Path, labels: Sequence[str], *, goes_on: bool = False) -> None:
        """Open it.

        Args:
            labels: of the classes that have columns.
            goes_on: rows of an earlier run stay; else the table is begun anew.

        Raises:
            BadInput: the file must not be written, or holds other columns.
        """
        require_writable(path)
        self.path, self._labels = path, tuple(labels)
        columns = [*FIRST, *(f"{label} {name}" for label in labels for name in _OF_CLASS)]
        titles = _line([plain(name) for name in columns])
        if goes_on and path.exists() and path.stat().st_size:
            with path.open(encoding="utf-8-sig", newline="") as file:  # as a spreadsheet saves it
                if _line(next(csv.reader(file), [])) != titles:
                    raise BadInput(f"{path}: is a table of other classes; give another name, or move it away")
            _end_line(path)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(titles, encoding="utf-8", newline="")

    def rows(self) -> list[dict[str, str]]:
        """What it holds, by column; of a row that was cut off by a power cut what there is."""
        with self.path.open(encoding="utf-8-sig", newline="") as file:
            return [{key: value or "" for key, value in row.items() if key} for row in csv.DictReader(file)]

    def add(self, image: str, result: ClassMap, about: Mapping[str, Any]) -> None:
        """A row of an image that was mapped.

        Args:
            about: ``rules`` (those that hold), ``seconds``, ``result`` (what was written) and ``request`` (what it was made by), as far as known.
        """
        answered, every = overviews(result)
        height, width = result.grid.image
        shown = {label: every[i] for i, label in enumerate(result.labels)}
        first = {
            "image": image, "status": "mapped", "width": width, "height": height, "rows": result.grid.rows, "cols": result.grid.cols,
            "answered": answered, "winner": leading(result, [each.cells for each in every]), "exactness": result.exactness, **about,
        }  # fmt: skip
        classes: list[Any] = []
        for label in self._labels:
            each = None if result.score_kind == "winner" else shown.get(label)
            none = not result.has_winners and result.side is None  # no share says anything of one class
            classes += ["", "", "", ""] if each is None else ["" if none else each.share, each.best, each.x, each.y]
        self._add(first, classes)

    def add_failed(self, image: str, error: str, about: Mapping[str, Any] | None = None) -> None:
        """A row of an image that could not be mapped."""
        self._add(
            {"image": image, "status": "failed", "error": " ".join(error.split()), **(about or {})},
            [""] * len(self._labels) * len(_OF_CLASS),
        )

    def _add(self, first: Mapping[str, Any], classes: Sequence[Any]) -> None:
        line = _line([cell_text(first.get(name, "")) for name in FIRST] + [cell_text(value) for value in classes])
        with self.path.open("a", encoding="utf-8", newline="") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())


def cell_text(value: Any) -> str:
    """A number or text as a table holds it; nothing for None."""
    if value is None:
        return ""
    if isinstance(value, float | np.floating):
        return f"{value:.9g}"
    return plain(value) if isinstance(value, str) else str(value)


def _line(values: Sequence[str]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(values)
    return out.getvalue()


def _end_line(path: Path) -> None:
    """End a last line that was cut off, so that the next row stands on its own."""
    with path.open("rb+") as file:
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            file.write(b"\r\n")
