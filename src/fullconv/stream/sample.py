"""Which cells of a map are compared: drawn at random among those that may have an answer, whatever the size of the map."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from fullconv.geometry.grid import Grid
from fullconv.stream.where import Where

Cell = tuple[int, int]
_AT_ONCE = 1 << 20  # cells whose places are looked at at once
_LISTED = 1 << 22  # cells up to which those that are left are listed
_LOOKED_AT, _TIMES = 2000, 40  # cells that are drawn at most, and for each that is asked for


class Admitted:
    """The cells that ``where`` admits, by their number among them, in the order of the map.

    Args:
        grid: in pixels of the image's finest level.
        where: a rule that needs no pixel; None admits all.
    """

    def __init__(self, grid: Grid, where: Where | None) -> None:
        self._grid, self._where = grid, where
        step = max(1, _AT_ONCE // grid.cols)
        self._bands = [(row, min(row + step, grid.rows)) for row in range(0, grid.rows, step)]
        counts = [self._count(*band) for band in self._bands]
        self._ends = np.cumsum(counts)

    def _count(self, first: int, last: int) -> int:
        whole = (last - first) * self._grid.cols
        return whole if self._where is None else int(self._mask(first, last).sum())

    def _mask(self, first: int, last: int) -> npt.NDArray[np.bool_]:
        assert self._where is not None, "without a rule nobody asks for a mask"
        return self._where.cells(self._grid, (first, last), (0, self._grid.cols))

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, numbers: npt.NDArray[np.int64]) -> list[Cell]:
        """The cells of these numbers, in the order of the map."""
        numbers = np.sort(numbers)
        cols = self._grid.cols
        if self._where is None:
            return [(int(i) // cols, int(i) % cols) for i in numbers]
        found: list[Cell] = []
        bands = np.searchsorted(self._ends, numbers, side="right")
        for band in np.unique(bands):
            first, last = self._bands[band]
            before = int(self._ends[band - 1]) if band else 0
            flat = np.flatnonzero(self._mask(first, last))[numbers[bands == band] - before]
            found += [(first + int(i) // cols, int(i) % cols) for i in flat]
        return found


class Draw:
    """Cells in random order, none twice.

    What a cell's pixels say is known once they are read, so that more are drawn than are compared where many have no answer; no more than
    some thousands, of a map that has hardly any.
    """

    def __init__(self, cells: Admitted, wanted: int, seed: int) -> None:
        self._cells, self._rng = cells, np.random.default_rng(seed)
        self._left = min(len(cells), max(_LOOKED_AT, _TIMES * wanted))
        self._drawn = np.empty(0, np.int64)

    def next(self, count: int) -> list[Cell]:
        """So many more, in the order of the map; fewer where no more are left."""
        count = min(count, self._left)
        if not count:
            return []
        numbers = self._numbers(count)
        self._left -= count
        self._drawn = np.concatenate([self._drawn, numbers])
        return self._cells[numbers]

    @property
    def looked_at(self) -> int:
        """How many were drawn."""
        return len(self._drawn)

    def _numbers(self, count: int) -> npt.NDArray[np.int64]:
        total = len(self._cells)
        if not len(self._drawn):
            return np.asarray(self._rng.choice(total, count, replace=False), np.int64)
        if total <= _LISTED:
            left = np.setdiff1d(np.arange(total), self._drawn)
            return np.asarray(self._rng.choice(left, count, replace=False), np.int64)
        fresh = np.empty(0, np.int64)
        while len(fresh) < count:  # of millions hardly any is drawn twice
            more = self._rng.integers(total, size=count - len(fresh))
            fresh = np.unique(np.concatenate([fresh, more[~np.isin(more, self._drawn)]]))
        return fresh


class Spread:
    """Cells drawn from equal parts of a map, one from each: every cell with the same chance.

    Parts are squares, as near as whole cells come, where all cells may be drawn; else runs of the admitted ones in the order of the map.
    """

    def __init__(self, cells: Admitted, grid: Grid, wanted: int, seed: int) -> None:
        self._cells, self._grid, self._wanted, self._seed = cells, grid, wanted, seed

    def cells(self) -> list[Cell]:
        """A cell may be there twice, where parts meet within it."""
        total = len(self._cells)
        at = np.arange(self._wanted) + np.random.default_rng(self._seed).random(self._wanted)
        numbers = np.minimum((at * (total / self._wanted)).astype(np.int64), total - 1)
        if total < self._grid.rows * self._grid.cols:
            return self._cells[numbers]
        high = max(1, round((total / self._wanted) ** 0.5))  # rows of a band, which is gone along column by column
        band, within = np.divmod(numbers, high * self._grid.cols)
        rows = np.minimum(high, self._grid.rows - band * high)
        col, row = np.divmod(within, rows)
        return sorted(zip((band * high + row).tolist(), col.tolist(), strict=True))


def near(cells: Iterable[Cell], rows: int, cols: int) -> Iterator[list[Cell]]:
    """Cells in groups that lie in one block of so many rows and columns of the map."""
    groups: dict[Cell, list[Cell]] = {}
    for row, col in cells:
        groups.setdefault((row // rows, col // cols), []).append((row, col))
    for key in sorted(groups):
        yield groups[key]
