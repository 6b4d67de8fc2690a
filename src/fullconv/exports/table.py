"""Cells, peaks or areas as a table: CSV, or Parquet by pyarrow (extra ``parquet``)."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fullconv.errors import BadInput, MissingExtra
from fullconv.exports.cells import Cells, cells_of, peaks_of
from fullconv.exports.coordinates import apply
from fullconv.exports.names import names_of, number_of
from fullconv.exports.projection import Projection
from fullconv.maps.areas import area_columns
from fullconv.maps.classmap import ClassMap
from fullconv.maps.summary import answered_of, shares_of
from fullconv.system.files import written_whole
from fullconv.system.guard import MARK

Columns = dict[str, Any]
Rows = Iterator[Columns]
_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")
_OWN = (
    "image",
    "row",
    "col",
    "x",
    "y",
    "x0",
    "y0",
    "x1",
    "y1",
    "crs_x",
    "crs_y",
    "class",
    "label",
    "score",
    "confirmed",
)


def rows_of(
    image: str,
    found: ClassMap,
    projection: Projection,
    classes: tuple[int, ...],
    what: str,
    threshold: float | None,
    distance: float | None,
) -> Rows:
    """One row a cell or peak (or, of ``areas``, a class), a part of the map at a time: the image's name, the cell's place in the map, the pixel at
    its centre, its crop; class, label and score, and the scores of all classes where all are kept.

    An image with a place on the earth adds ``crs_x`` and ``crs_y`` of the centre. Cells without an answer are left out.
    """
    names = names_of(found.labels)
    if what == "areas":
        yield _areas(image, found, classes, names)
        return
    columns = names_of(found.labels, _OWN)
    each = tuple(columns[i] for i in classes)
    for cells in (
        cells_of(found, classes, threshold) if what == "cells" else peaks_of(found, classes, threshold, distance)
    ):
        yield _row(image, found, projection, cells, names, each)


def write_table(rows: Rows, out: Path) -> int:
    """Write rows whose columns are the same; how many there are."""
    rows = alike(rows, out)
    with written_whole(out) as (part,):
        return _parquet(rows, part, out) if out.suffix.lower() == ".parquet" else _csv(rows, part)


def alike(rows: Rows, out: Path) -> Rows:
    """The same rows; BadInput where columns of a later map are others, which would end up below the wrong names."""
    first: list[str] | None = None
    for columns in rows:
        first = list(columns) if first is None else first
        if list(columns) != first:
            differ = ", ".join(sorted(set(first) ^ set(columns)))
            raise BadInput(f"{out}: the maps do not all have the same columns ({differ}); export them one by one")
        yield columns


def _row(
    image: str, found: ClassMap, projection: Projection, cells: Cells, names: tuple[str, ...], each: tuple[str, ...]
) -> Columns:
    x, y = cells.centres.T
    sides = (cells.rows, cells.cols, x, y, *cells.boxes.T)
    columns: Columns = {"image": [image] * len(x), **dict(zip(_OWN[1:9], sides, strict=True))}
    if projection.placed.on_earth:
        columns["crs_x"], columns["crs_y"] = projection.points(*apply(projection.placed.pixels, x + 0.5, y + 0.5))
    chosen = cells.classes.tolist()
    if found.score_kind == "winner":  # the network's own numbers, which the one channel holds
        columns["class"] = cells.scores.astype(np.int64)
        columns["label"] = [str(number) for number in columns["class"].tolist()]
    else:
        columns["class"] = np.array([number_of(found, i) for i in chosen], np.int64)
        columns["label"] = [names[i] for i in chosen]
    columns["score"] = cells.scores
    if cells.confirmed is not None:
        columns["confirmed"] = cells.confirmed
    if cells.each is not None:
        columns |= dict(zip(each, cells.each.T, strict=True))
    return columns


def _areas(image: str, found: ClassMap, classes: tuple[int, ...], names: tuple[str, ...]) -> Columns:
    """One row a class: the cells that it wins (see ``wins_of``), their share of those with an answer, their area where a pixel has a size, its highest score."""
    every = shares_of(found)
    answered = answered_of(found, sum(share.cells for share in every))
    chosen = [every[i] for i in classes]
    cells = np.array([share.cells for share in chosen], np.int64)
    highest = np.array([np.nan if share.highest is None else share.highest for share in chosen], np.float32)
    return {
        "image": [image] * len(classes),
        "class": np.array([number_of(found, i) for i in classes], np.int64),
        "label": [names[i] for i in classes],
        "cells": cells,
        "share": cells / max(1, answered),
        **area_columns(found, cells),
        "highest": highest,
    }


def plain(text: str) -> str:
    """A label or name as text: a spreadsheet would take one that begins like a formula for one, and an apostrophe before it says that it is none."""
    return f"'{text}" if text.startswith(_FORMULAS) else text


def _csv(rows: Rows, part: Path) -> int:
    count = 0
    with part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        for i, columns in enumerate(rows):
            if i == 0:
                writer.writerow([plain(name) for name in columns])
            values = [_texts(column) for column in columns.values()]
            writer.writerows(zip(*values, strict=True))
            count += len(values[0])
    return count


def _texts(column: Any) -> list[Any]:
    """Numbers as numbers, words as words, nothing where there is no number."""
    kind = getattr(getattr(column, "dtype", None), "kind", "")
    if kind == "f":
        small = (
            column.dtype.itemsize <= 4
        )  # nine digits say which float32 it is, and the shortest that do which float64
        return ["" if value != value else f"{value:.9g}" if small else repr(value) for value in column.tolist()]
    return [plain(value) if isinstance(value, str) else value for value in column]


def _parquet(rows: Rows, part: Path, out: Path) -> int:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtra(f"{out}: Parquet needs pyarrow; install it with: pip install 'fullconv[parquet]'") from None
    writer, count = None, 0
    try:
        for columns in rows:
            table = pa.table({name: _array(values, pa) for name, values in columns.items()})
            writer = writer or pq.ParquetWriter(part, table.schema.with_metadata({"software": MARK}))
            writer.write_table(table.cast(writer.schema))
            count += len(table)
    finally:
        if writer is not None:
            writer.close()
    return count


def _array(values: Any, pa: Any) -> Any:
    return pa.array(values, pa.string()) if isinstance(values, list) else pa.array(values)
