"""Coarser levels of a map, each made of the one before while its cells are in memory.

Level k holds means of 2 × 2 cells of level k - 1 as they are stored, of those that have an answer; so a chunk of it follows from four chunks of that level
at most, whichever tiles these are of and in whatever order they come. A chunk is made as soon as its four are written: those of the tile that has just been
done are in memory, others' means are where there is room for them, and else these are read back. What no tile of this run completes (a run that goes on, workers that know their own tiles alone) is made at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy as np
import numpy.typing as npt

from fullconv.geometry.grid import Grid
from fullconv.results.chunks import Array, Chunks, Index, at_once
from fullconv.results.commonest import commonest
from fullconv.results.encoding import decoded, encoded
from fullconv.results.failures import reading

Spot = tuple[int, int]  # a chunk's row and column
_BETWEEN = 1 << 18  # cells of a level that are made to the next one's at once
_WAITING = 4 << 20  # bytes of means that are kept until the others of their chunk are there


def name_of(level: int) -> str:
    """A level's array. Coarser ones have a group of their own: arrays of a group whose axes have the same names have the same sizes."""
    return f"levels/{level}" if level else "0"


def levels_of(grid: Grid, least: int) -> list[tuple[int, int]]:
    """(rows, cols) of every level, the finest first."""
    sizes = [(grid.rows, grid.cols)]
    while max(sizes[-1]) > least:
        rows, cols = sizes[-1]
        sizes.append((-(-rows // 2), -(-cols // 2)))
    return sizes


class Levels:
    """The coarser levels of a store that is written.

    Args:
        arrays: the scores and every coarser level, the finest first.
        stored: the type of scores.
        name: of the store, for people.
        kind: what scores are, as ``ClassMap.score_kind``.
    """

    def __init__(self, arrays: list[Chunks], stored: str, name: str, kind: str) -> None:
        self._coarser = coarser(kind)
        self._arrays, self._stored, self._name = arrays, stored, name
        self._known = [np.zeros(array.counts[1:], np.bool_) for array in arrays]
        self._made: dict[str, int] = {}  # bytes of each chunk, by key
        self._waiting: dict[tuple[int, Spot], Array] = {}  # means of chunks, by these, whose neighbours are not there
        self._room = _WAITING

    def note(self, made: Mapping[str, int]) -> None:
        """Chunks that another process made, with their bytes."""
        self._made.update(made)

    def add(
        self, spots: Iterable[Spot], piece: Callable[[Spot], Array], pool: ThreadPoolExecutor | None
    ) -> dict[str, int]:
        """Make what follows from chunks of the finest level that are now written.

        Args:
            spots: these.
            piece: (classes, rows, cols) of each, as stored.

        Returns:
            Bytes of each chunk that was made, by key.
        """
        made: dict[str, int] = {}
        own = set(spots)
        for level in range(1, len(self._arrays)):
            for spot in own:
                self._known[level - 1][spot] = True
            ready = [spot for spot in {(row // 2, col // 2) for row, col in own} if self._is_ready(level, spot)]
            pieces = {spot: np.empty(self._shape(level, spot), self._arrays[level].array.dtype) for spot in ready}
            made |= self._make(level, ready, own, piece, pool, pieces)
            self._keep(level, [spot for spot in own if (spot[0] // 2, spot[1] // 2) not in pieces], piece)
            own, piece = set(ready), pieces.__getitem__
        self._made |= made
        return made

    def finish(self, size: Callable[[str], int], pool: ThreadPoolExecutor | None) -> list[str]:
        """Make all that is not there yet, and give its keys.

        Args:
            size: bytes of a key as it is now.
        """
        fresh: dict[str, int] = {}
        for level in range(1, len(self._arrays)):
            array = self._arrays[level]
            keys = {at: array.key(at) for at in np.ndindex(*array.counts)}
            gone = {(at[1], at[2]) for at, key in keys.items() if self._made.get(key, -1) != size(key)}
            fresh |= self._make(level, sorted(gone), set(), self._never, pool, {})
        return list(fresh)

    def _is_ready(self, level: int, spot: Spot) -> bool:
        row, col = spot
        return bool(self._known[level - 1][2 * row : 2 * row + 2, 2 * col : 2 * col + 2].all())

    def _shape(self, level: int, spot: Spot) -> Index:
        _, rows, cols = self._arrays[level].box((0, *spot))
        return self._arrays[level].shape[0], rows.stop - rows.start, cols.stop - cols.start

    def _keep(self, level: int, spots: list[Spot], piece: Callable[[Spot], Array]) -> None:
        """Keep the means of these chunks of the level before, which wait for their neighbours, where they have room."""
        fine = self._arrays[level - 1]
        for spot in spots:
            cells = self._shape(level - 1, spot)
            shape = cells[0], -(-cells[1] // 2), -(-cells[2] // 2)
            size = int(np.prod(shape)) * fine.array.dtype.itemsize
            if fine.sides[1] % 2 or fine.sides[2] % 2 or (level, spot) in self._waiting or size > self._room:
                continue
            means = self._waiting[level, spot] = np.empty(shape, fine.array.dtype)
            self._room -= size
            self._into(means, piece(spot))

    def _make(
        self, level: int, spots: list[Spot], own: set[Spot], piece: Callable[[Spot], Array], pool: ThreadPoolExecutor | None, kept: dict[Spot, Array],
    ) -> dict[str, int]:  # fmt: skip
        """Make chunks of a level, all planes of each; from pieces of the level before where these are the run's own, else from what is stored."""
        coarse, fine = self._arrays[level], self._arrays[level - 1]

        def make(at: Index) -> tuple[str, int]:
            planes, spot = coarse.box(at)[0], (at[1], at[2])

            def source(of: Spot) -> Array:
                if of in own:
                    return piece(of)[planes]
                _, rows, cols = fine.box((0, *of))
                with reading(self._name):
                    return np.asarray(fine.array[planes, rows, cols])

            found = self._halved(source, spot, level, planes)
            if spot in kept:
                kept[spot][planes] = found
            return coarse.put(at, found)

        made = dict(at_once(pool, make, [(plane, *spot) for spot in spots for plane in range(coarse.counts[0])]))
        for row, col in spots:
            for of in product((2 * row, 2 * row + 1), (2 * col, 2 * col + 1)):
                means = self._waiting.pop((level, of), None)
                self._room += 0 if means is None else means.nbytes
        return made

    def _halved(self, source: Callable[[Spot], Array], spot: Spot, level: int, planes: slice) -> Array:
        """A chunk's cells in some planes, from those of the level before."""
        coarse, fine = self._arrays[level], self._arrays[level - 1]
        rows, cols = (range(2 * at, min(2 * at + 2, count)) for at, count in zip(spot, fine.counts[1:], strict=True))
        (_, high, wide), step = self._shape(level, spot), (fine.sides[1] // 2, fine.sides[2] // 2)
        out = np.empty((planes.stop - planes.start, high, wide), coarse.array.dtype)
        if fine.sides[1] % 2 or fine.sides[2] % 2:  # cells lie across the edges of chunks
            whole = np.concatenate(
                [np.concatenate([source((row, col)) for col in cols], axis=2) for row in rows], axis=1
            )
            self._into(out, whole)
            return out
        for row in rows:
            for col in cols:
                _, inside, along = (slice(0, -(-side // 2)) for side in self._shape(level - 1, (row, col)))
                top, left = (row - rows[0]) * step[0], (col - cols[0]) * step[1]
                into = out[:, top : top + inside.stop, left : left + along.stop]
                means = self._waiting.get((level, (row, col)))
                if means is None:
                    self._into(into, source((row, col)))
                else:
                    into[...] = means[planes]
        return out

    def _into(self, out: Array, part: Array) -> None:
        """A few planes at a time: what lies between is a fraction of what is read."""
        step = max(1, _BETWEEN // max(1, part[0].size))
        for i in range(0, len(part), step):
            out[i : i + step] = encoded(self._coarser(decoded(part[i : i + step])), self._stored)

    def _never(self, spot: Spot) -> Array:
        raise AssertionError("nothing is in memory at the end")


def coarser(kind: str) -> Callable[[Array], Array]:
    """How cells of scores of a kind (``ClassMap.score_kind``) become those of the next level."""
    return commonest if kind == "winner" else halved


def halved(part: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Means of 2 × 2 cells, of those that are no NaN; a last row or column stands for itself."""
    classes, rows, cols = part.shape
    if rows % 2 or cols % 2:
        padded = np.full((classes, rows + rows % 2, cols + cols % 2), np.nan, np.float32)
        padded[:, :rows, :cols] = part
        part = padded
    blocks = part.reshape(classes, (rows + 1) // 2, 2, (cols + 1) // 2, 2)
    found: npt.NDArray[np.float32] = blocks[:, :, 0, :, 0] + blocks[:, :, 0, :, 1]
    found += blocks[:, :, 1, :, 0]
    found += blocks[:, :, 1, :, 1]
    found *= np.float32(0.25)
    left = np.isnan(found)
    if not left.any():
        return found
    some = blocks.transpose(0, 1, 3, 2, 4)[left].reshape(-1, 4)
    known = ~np.isnan(some)
    some[~known] = 0
    total = some[:, 0] + some[:, 1]  # in this order for every cell: numpy's own depends on how many there are
    total += some[:, 2]
    total += some[:, 3]
    count = known.sum(axis=1, dtype=np.float32)
    found[left] = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
    return found
