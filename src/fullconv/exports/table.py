"""Cells or peaks as a table: CSV, or Parquet by pyarrow (extra ``parquet``)."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fullconv.errors import MissingExtra
from fullconv.exports.coordinates import Coordinates, apply
from fullconv.maps.classmap import ClassMap
from fullconv.maps.summary import cell_area, shares_of
from fullconv.system.files import written_whole
from fullconv.system.guard import MARK

Columns = dict[str, Any]
_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")
_AREA = {"micrometer": "area_um2", "meter": "area_m2"}
_PLACE = ("row", "col", "x", "y", "x0", "y0", "x1", "y1")


def write_table(
    found: ClassMap, out: Path, classes: tuple[int, ...], what: str, threshold: float | None, distance: float | None
) -> None:
    """One row a cell or peak (or, of ``areas``, a class): its place in the map, the pixel at its centre, its crop; its scores, or label and score.

    An image with a place on the earth adds ``crs_x`` and ``crs_y`` of the centre. Cells without an answer are left out.
    """
    if what == "areas":
        rows = iter([_areas(found, classes)])
    else:
        rows = (
            _cells(found, classes, threshold) if what == "cells" else _peaks(found, classes, threshold or 0.0, distance)
        )
    with written_whole(out) as (part,):
        if out.suffix.lower() == ".parquet":
            _parquet(rows, part, out)
        else:
            _csv(rows, part)


def _cells(found: ClassMap, classes: tuple[int, ...], threshold: float | None) -> Iterator[Columns]:
    only = found.record is not None and found.record.keep == "top1"
    for top, left, winners in found.winning():
        rows, cols = slice(top, top + winners.shape[0]), slice(left, left + winners.shape[1])
        scores = (
            np.asarray(found.scores[list(classes), rows, cols]) if not only else np.asarray(found.scores[:, rows, cols])
        )
        best = np.fmax.reduce(scores, axis=0) if scores.shape[0] > 1 else scores[0]
        known = ~np.isnan(best) if threshold is None else best >= threshold
        r, c = np.nonzero(known)
        columns = _place(found, r + top, c + left)
        if only:
            columns["label"] = [found.labels[i] for i in winners[known]]
            columns["score"] = best[known]
        else:
            columns |= {found.labels[index]: scores[i][known] for i, index in enumerate(classes)}
        yield columns


def _peaks(found: ClassMap, classes: tuple[int, ...], threshold: float, distance: float | None) -> Iterator[Columns]:
    for index in classes:
        peaks = found.peaks(index, threshold, distance)
        columns = _place(found, np.array([p.row for p in peaks], int), np.array([p.col for p in peaks], int))
        columns["label"] = [p.label for p in peaks]
        columns["score"] = np.array([p.score for p in peaks], np.float32)
        yield columns


def _areas(found: ClassMap, classes: tuple[int, ...]) -> Columns:
    """One row a class: the cells that it wins, their share of those with an answer, their area where a pixel has a size, its highest score."""
    every = shares_of(found)
    answered, chosen = sum(share.cells for share in every), [every[i] for i in classes]
    cells = np.array([share.cells for share in chosen])
    columns: Columns = {"label": [share.label for share in chosen], "cells": cells, "share": cells / max(1, answered)}
    area = cell_area(found)
    if area is not None:
        columns[_AREA.get(found.place.unit, "area")] = cells * area
    columns["highest"] = np.array([np.nan if share.highest is None else share.highest for share in chosen], np.float32)
    return columns


def _place(found: ClassMap, rows: Any, cols: Any) -> Columns:
    grid = found.grid
    sides = [(grid.stride[i], grid.centre0[i], grid.crop[i], at) for i, at in ((1, cols), (0, rows))]
    (x, x0, x1), (y, y0, y1) = (
        (float(first) + at * float(step), at * float(step), at * float(step) + float(crop))
        for step, first, crop, at in sides
    )
    columns = dict(zip(_PLACE, (rows, cols, x, y, x0, y0, x1, y1), strict=True))
    placed = Coordinates.of(found)
    if placed.on_earth:
        columns["crs_x"], columns["crs_y"] = apply(placed.pixels, x + 0.5, y + 0.5)
    return columns


def plain(label: str) -> str:
    """A label as text: a spreadsheet would take one that begins like a formula for one, and an apostrophe before it says that it is none."""
    return f"'{label}" if label.startswith(_FORMULAS) else label


def _csv(rows: Iterator[Columns], part: Path) -> None:
    with part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        for i, columns in enumerate(rows):
            if i == 0:
                writer.writerow([plain(name) for name in columns])
            values = [_texts(column) for column in columns.values()]
            writer.writerows(zip(*values, strict=True))


def _texts(column: Any) -> list[Any]:
    """Numbers as numbers, words as words."""
    kind = getattr(getattr(column, "dtype", None), "kind", "")
    if kind == "f":
        return [f"{value:.9g}" for value in column]
    return [plain(value) if isinstance(value, str) else value for value in column]


def _parquet(rows: Iterator[Columns], part: Path, out: Path) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtra(f"{out}: Parquet needs pyarrow; install it with: pip install 'fullconv[parquet]'") from None
    writer = None
    for columns in rows:
        table = pa.table(
            {
                name: pa.array(values) if len(values) else pa.array(values, _kind(name, values, pa))
                for name, values in columns.items()
            }
        )
        writer = writer or pq.ParquetWriter(part, table.schema.with_metadata({"software": MARK}))
        writer.write_table(table.cast(writer.schema))
    if writer is not None:
        writer.close()


def _kind(name: str, values: Any, pa: Any) -> Any:
    """The type of a column without rows."""
    return pa.string() if name == "label" else pa.from_numpy_dtype(np.asarray(values).dtype)
