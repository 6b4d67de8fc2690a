"""Connected regions of cells that score at least a threshold, found in one pass over the rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fullconv.maps.classmap import ClassMap

Run = tuple[int, int, int]  # row, first column, last column (excluded)


@dataclass
class Region:
    """Cells that hang together by their sides."""

    runs: list[Run] = field(default_factory=list)
    cells: int = 0
    total: float = 0.0
    best: float = -np.inf

    def add(self, other: Region) -> None:
        self.runs += other.runs
        self.cells += other.cells
        self.total += other.total
        self.best = max(self.best, other.best)

    @property
    def mean(self) -> float:
        return self.total / self.cells


def regions_of(found: ClassMap, index: int, threshold: float) -> list[Region]:
    """Regions of one class, the highest score first."""
    every: list[Region] = []
    parent: list[int] = []
    before: list[tuple[int, int, int]] = []  # first and last column and number of the runs of the row above

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for row, scores in _rows(found, index):
        here: list[tuple[int, int, int]] = []
        at = 0
        for first, last in _runs(scores >= threshold):
            part = scores[first:last]
            region = Region([(row, first, last)], last - first, float(part.sum(dtype=np.float64)), float(part.max()))
            number = len(every)
            every.append(region)
            parent.append(number)
            while at < len(before) and before[at][1] <= first:
                at += 1
            touching = at
            while touching < len(before) and before[touching][0] < last:
                a, b = sorted((root(before[touching][2]), root(number)))
                parent[b] = a
                touching += 1
            here.append((first, last, number))
        before = here
    merged: dict[int, Region] = {}
    for i, region in enumerate(every):
        merged.setdefault(root(i), Region()).add(region)
    return sorted(merged.values(), key=lambda region: (-region.best, region.runs[0]))


def _rows(found: ClassMap, index: int) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
    """Rows of one class, read a row of chunks at a time."""
    high = 256 if found.record is None else found.record.tiles.chunk[0]
    for top in range(0, found.grid.rows, high):
        band = np.asarray(found.scores[index, top : min(top + high, found.grid.rows), :])
        yield from ((top + i, row) for i, row in enumerate(band))


def _runs(mask: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
