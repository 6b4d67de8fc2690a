"""What a coarser level of an image shows to be clear glass: cells there are blank, and their pixels are not read.

A level is asked whose pixels are at least four and at most half a cell's own square wide, so that what fills a tenth of that square is seen.
A cell lies on clear glass where every pixel of the level within its own square, and within as much again on every side, holds data, has all
channels at 230 or more, and these no more than 10 apart. All margins are on one side: what is dark (a level may lack tiles), transparent,
tinted, near to anything, or does not decode is left to the full pixels.

Levels made by others may be wrong. So a level is believed only where cells of up to 64 places that it calls clear, along borders first, are
blank in full too; one that is not is not used. Whatever is found depends on the image and its cells alone, not on how the map is cut.
"""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

import numpy as np
import numpy.typing as npt

from fullconv.geometry.grid import Grid
from fullconv.maps.missing import share_of
from fullconv.rasters.source import Array, Unreadable
from fullconv.rasters.view import View
from fullconv.stream.blank import blank, own_square

Mask = npt.NDArray[np.bool_]
Range = tuple[int, int]
_BRIGHT, _APART = 230, 10
_LEAST_FACTOR = 4  # pixels a side that one of the level stands for: a finer one is not worth reading twice
_SKEW = 0.01  # of a level's shape beside the image's
_BLOCK = 512  # pixels a side of the level that are looked at at once, on one grid whatever the tile
_KEPT = 32  # such blocks
_PLACES, _AROUND = 64, 4  # where a level is held against full pixels, and cells around each
_OVERVIEW = 512  # pixels a side of the picture on which borders are looked for


class Glass:
    """Clear glass by one level of an image.

    Args:
        view: the image as the network reads it.
        grid: its cells, in these pixels.
        level: of the image's levels.
    """

    def __init__(self, view: View, grid: Grid, level: int) -> None:
        self._view, self._grid, self._level = view, grid, level
        at = view.about.levels[level]
        self._size = at.height, at.width
        self._first, self._own = own_square(grid)
        self._kept: OrderedDict[tuple[int, int], Mask] = OrderedDict()
        self._lock = Lock()

    def clear(self, rows: Range, cols: Range) -> Mask:
        """Which of these cells lie on clear glass, (rows, cols)."""
        (y0, y1), (x0, x1) = (self._pixels(side, between) for side, between in enumerate((rows, cols)))
        top, left = int(y0[0]), int(x0[0])
        seen = self._seen((top, int(y1[-1])), (left, int(x1[-1])))
        sums = np.zeros((seen.shape[0] + 1, seen.shape[1] + 1), np.int64)
        sums[1:, 1:] = seen.cumsum(axis=0, dtype=np.int64).cumsum(axis=1)
        y0, y1, x0, x1 = y0 - top, y1 - top, x0 - left, x1 - left
        inside = sums[np.ix_(y1, x1)] - sums[np.ix_(y0, x1)] - sums[np.ix_(y1, x0)] + sums[np.ix_(y0, x0)]
        return np.asarray(inside == np.outer(y1 - y0, x1 - x0))

    def _pixels(self, side: int, cells: Range) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """First and last (excluded) pixel of the level along one side, for each cell: its own square and as much around it."""
        own, length, count = self._own[side], self._view.size[side], self._size[side]
        start = np.arange(*cells, dtype=np.int64) * int(self._grid.stride[side]) + self._first[side]
        first = np.clip(start - own, 0, length - 1) * count // length
        last = -(-np.clip(start + 2 * own, 1, length) * count // length)
        return first, np.maximum(last, first + 1)

    def _seen(self, rows: Range, cols: Range) -> Mask:
        """Which pixels of a window of the level are clear."""
        out = np.empty((rows[1] - rows[0], cols[1] - cols[0]), np.bool_)
        for top in range(rows[0] // _BLOCK * _BLOCK, rows[1], _BLOCK):
            for left in range(cols[0] // _BLOCK * _BLOCK, cols[1], _BLOCK):
                block = self._block(top, left)
                y = max(top, rows[0]), min(top + block.shape[0], rows[1])
                x = max(left, cols[0]), min(left + block.shape[1], cols[1])
                into = slice(y[0] - rows[0], y[1] - rows[0]), slice(x[0] - cols[0], x[1] - cols[0])
                out[into] = block[y[0] - top : y[1] - top, x[0] - left : x[1] - left]
        return out

    def _block(self, top: int, left: int) -> Mask:
        with self._lock:
            if (top, left) in self._kept:
                self._kept.move_to_end((top, left))
                return self._kept[top, left]
        rows, cols = (top, min(top + _BLOCK, self._size[0])), (left, min(left + _BLOCK, self._size[1]))
        try:
            found = clear_pixels(*self._view.at_level(self._level, rows, cols))
        except Unreadable:
            self._view.reopen()
            found = np.zeros((rows[1] - rows[0], cols[1] - cols[0]), np.bool_)
        with self._lock:
            self._kept[top, left] = found
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return found

    # Whether it is to be believed ----------------------------------------------------------------

    def holds(self, least: float) -> bool:
        """Whether cells that it calls clear are blank by their full pixels.

        Args:
            least: share of a cell's own square that shows something, from which it is none.
        """
        return all(self._holds_at(row, col, least) for row, col in self._places())

    def _places(self) -> list[tuple[int, int]]:
        """Cells to look around: along borders of what the image's picture shows to be clear, within it, and evenly over the map."""
        counts = self._grid.rows, self._grid.cols
        side = round(_PLACES**0.5)
        even = [tuple((2 * i + 1) * count // (2 * side) for i, count in zip((k // side, k % side), counts, strict=True)) for k in range(_PLACES)]  # fmt: skip
        try:
            picture = self._view.overview(_OVERVIEW)
        except Unreadable:
            self._view.reopen()
            picture = None
        if picture is None:
            return [(row, col) for row, col in even]
        seen = clear_pixels(picture, None)
        padded = np.pad(seen, 1, constant_values=True)
        border = seen & ~(padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:])
        places = [*_spread(border, _PLACES // 2), *_spread(seen & ~border, _PLACES // 4)]
        found = {(row, col) for row, col in even[:: 2 if places else 1]}
        for place in places:
            cell = []
            for side_, (at, count) in enumerate(zip(place, counts, strict=True)):
                pixel = (at + 0.5) * self._view.size[side_] / seen.shape[side_]
                cell.append(int(np.clip((pixel - float(self._grid.centre0[side_])) / float(self._grid.stride[side_]), 0, count - 1)))  # fmt: skip
            found.add((cell[0], cell[1]))
        return sorted(found)

    def _holds_at(self, row: int, col: int, least: float) -> bool:
        rows, cols = (
            (max(0, at - _AROUND), min(count, at + _AROUND))
            for at, count in zip((row, col), (self._grid.rows, self._grid.cols), strict=True)
        )
        clear = self.clear(rows, cols)
        if not clear.any():
            return True
        firsts = [
            np.arange(*between) * int(step) + first
            for between, step, first in zip((rows, cols), self._grid.stride, self._first, strict=True)
        ]
        window = [(int(each[0]), int(each[-1]) + own) for each, own in zip(firsts, self._own, strict=True)]
        try:
            pixels, _ = self._view.read(window[0], window[1])
        except Unreadable:  # a tile that lies there tells it
            self._view.reopen()
            return True
        shown = 1 - share_of(blank(pixels), firsts[0] - window[0][0], firsts[1] - window[1][0], self._own)
        return not (clear & (shown >= least)).any()


def glass_of(view: View, grid: Grid, least: float) -> Glass | None:
    """Clear glass by the coarsest level that may tell, and that holds; None where there is none.

    Args:
        least: as for ``Glass.holds``.
    """
    if not grid.rows or not grid.cols:
        return None
    level = level_for(view, grid)
    if level is None:
        return None
    found = Glass(view, grid, level)
    return found if found.holds(least) else None


def level_for(view: View, grid: Grid) -> int | None:
    """The coarsest level whose pixels are of a size to tell clear glass by."""
    _, own = own_square(grid)
    for level in range(len(view.about.levels) - 1, 0, -1):
        at = view.about.levels[level]
        factors = [length / count for length, count in zip(view.size, (at.height, at.width), strict=True)]
        rounding = max(1 / at.height, 1 / at.width)
        if abs(factors[0] / factors[1] - 1) > _SKEW + rounding:
            continue
        if min(factors) >= _LEAST_FACTOR - 0.1 and all(f <= o / 2 + 0.1 for f, o in zip(factors, own, strict=True)):
            return level
    return None


def clear_pixels(pixels: Array, missing: Mask | None) -> Mask:
    """Pixels (H, W, C) on 0..255 that are clear glass, by the rule above."""
    low = high = pixels[:, :, 0]
    for channel in range(1, pixels.shape[2]):
        low, high = np.minimum(low, pixels[:, :, channel]), np.maximum(high, pixels[:, :, channel])
    found: Mask = (low >= _BRIGHT) & (high - low <= _APART)
    return found if missing is None else found & ~missing


def _spread(mask: Mask, most: int) -> list[tuple[int, int]]:
    """Places of a mask, evenly along it."""
    rows, cols = np.nonzero(mask)
    if not len(rows):
        return []
    take = np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(np.intp))
    return [(int(rows[i]), int(cols[i])) for i in take]
