"""Cells and peaks of a map as rows, a block of the map at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.maps.classmap import ClassMap

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Cells:
    """Some cells.

    Attributes:
        rows, cols: (n,) which they are.
        classes: (n,) the class that each is of.
        scores: (n,) float32, of that class.
        confirmed: (n,) bool, whether they are their crops' own, of a map that crops confirm; None of others.
        each: (n, classes) float32 scores of all classes that are chosen; None where one alone is kept or asked for.
        centres: (n, 2) x and y of the centre of what it sees, as pixel indices.
        boxes: (n, 4) crops in pixels (x0, y0, x1, y1), half-open.
    """

    rows: Array
    cols: Array
    classes: Array
    scores: Array
    centres: Array
    boxes: Array
    each: Array | None = field(default=None)
    confirmed: Array | None = field(default=None)

    def part(self, some: slice) -> Cells:
        """Some of these cells."""
        sides = (self.rows, self.cols, self.classes, self.scores, self.centres, self.boxes, self.each, self.confirmed)
        return Cells(*(None if side is None else side[some] for side in sides))  # type: ignore[arg-type]


def cells_of(found: ClassMap, classes: tuple[int, ...], threshold: float | None) -> Iterator[Cells]:
    """Cells with an answer; where a threshold is given those of which one of the classes scores that. A cell is of its best class of these."""
    top1 = found.record is not None and found.record.keep == "top1"
    chosen = np.array(classes)
    for top, left, winners, best in found.winners():
        rows, cols = slice(top, top + winners.shape[0]), slice(left, left + winners.shape[1])
        if top1 or len(classes) == len(found.labels):
            of, score = np.where(np.isin(winners, chosen), winners, -1), best
            scores = None if top1 else np.asarray(found.scores[list(classes), rows, cols])
        else:
            scores = np.asarray(found.scores[list(classes), rows, cols])
            missing = np.isnan(scores)
            at = np.where(missing, -np.inf, scores).argmax(axis=0)
            score = np.take_along_axis(scores, at[None], axis=0)[0]
            of = np.where(missing.all(axis=0), -1, chosen[at])
        known = of >= 0 if threshold is None else (of >= 0) & (score >= threshold)
        r, c = np.nonzero(known)
        yield Cells(
            r + top,
            c + left,
            of[known],
            score[known],
            _centres(found, r + top, c + left),
            _boxes(found, r + top, c + left),
            None if scores is None else scores[:, known].T,
            None if found.confirmed is None else np.asarray(found.confirmed[rows, cols])[known],
        )


def peaks_of(
    found: ClassMap, classes: tuple[int, ...], threshold: float | None, distance: float | None
) -> Iterator[Cells]:
    """Local maxima, class by class, the best first."""
    for index in classes:
        peaks = found.peaks(index, threshold, distance)
        boxes = np.array([peak.box for peak in peaks], np.float64).reshape(-1, 4)
        rows, cols = (np.array([getattr(peak, side) for peak in peaks], np.intp) for side in ("row", "col"))
        centres = _centres(found, rows, cols)
        if found.parts:  # a peak's cell is one of its own scale's grid, and there is no such cell in the map
            centres = (boxes[:, :2] + boxes[:, 2:] - 1) / 2
            height, width = found.grid.image
            near = [found.grid.nearest(min(max(x, 0), width - 1), min(max(y, 0), height - 1)) for x, y in centres]
            rows, cols = np.array(near, np.intp).reshape(-1, 2).T
        scores = np.array([peak.score for peak in peaks], np.float32)
        confirmed = None if found.confirmed is None else _at(found, rows, cols)
        yield Cells(rows, cols, np.full(len(peaks), index), scores, centres, boxes, confirmed=confirmed)


def _at(found: ClassMap, rows: Array, cols: Array) -> Array:
    """Whether some cells are their crops' own, a row of the map at a time."""
    known = np.zeros(len(rows), np.bool_)
    for row in np.unique(rows):
        line = np.asarray(found.confirmed[slice(int(row), int(row) + 1), slice(0, found.grid.cols)])[0]
        known[rows == row] = line[cols[rows == row]]
    return known


def _centres(found: ClassMap, rows: Array, cols: Array) -> Array:
    (y, x), (dy, dx) = found.grid.centre0, found.grid.stride
    return np.stack([float(x) + cols * float(dx), float(y) + rows * float(dy)], axis=1)


def _boxes(found: ClassMap, rows: Array, cols: Array) -> Array:
    if found.won is not None:  # of several scales the crop at the one that won
        return np.array([found.box(int(r), int(c)) for r, c in zip(rows, cols, strict=True)], np.float64).reshape(-1, 4)
    grid = found.grid
    y0, x0 = rows * float(grid.stride[0]), cols * float(grid.stride[1])
    return np.stack([x0, y0, x0 + float(grid.crop[1]), y0 + float(grid.crop[0])], axis=1)
