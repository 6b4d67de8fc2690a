"""Scores that lie in a store, and are read when they are asked for, and only those."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.results.encoding import decoded
from fullconv.results.failures import reading
from fullconv.results.layout import NO_CLASS
from fullconv.results.still import Still
from fullconv.results.store import Store

Array = npt.NDArray[Any]
_BLOCK = 16 << 20  # bytes of scores that are read at once


def winners_of(scores: Array) -> tuple[Array, Array]:
    """The winning class of each cell of (classes, rows, cols), -1 where no class has an answer, and its score."""
    missing = np.isnan(scores)
    winner = np.where(missing, -np.inf, scores).argmax(axis=0) if missing.any() else scores.argmax(axis=0)
    best = np.take_along_axis(scores, winner[None], axis=0)[0]
    return np.where(missing.all(axis=0), -1, winner), best


class HeldScores:
    """Scores (classes, rows, cols) in memory, as ``StoredScores`` has those of a store."""

    def __init__(self, scores: Array) -> None:
        self._scores = scores

    def __getitem__(self, key: Any) -> Array:
        part: Array = self._scores[key]
        return part

    def winners(self, rows: slice, cols: slice) -> tuple[Array, Array]:
        """The winning class of each cell (-1: no answer) and its score."""
        return winners_of(self._scores[:, rows, cols])

    def blocks(self) -> Iterator[tuple[slice, slice]]:
        """The map in pieces: one."""
        yield slice(0, self._scores.shape[1]), slice(0, self._scores.shape[2])


class Sized:
    """What arrays that are read when they are indexed say of their size, as NumPy's do."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]


class StoredScores(Sized):
    """Scores (classes, rows, cols) of a store, float32, indexed as a NumPy array is; indexing reads them. ``numpy.asarray`` reads all."""

    dtype = np.dtype(np.float32)
    ndim = 3

    def __init__(self, store: Store, level: int = 0) -> None:
        """Those of the map, or of a coarser level: of all cells that its arrays have, which begin before the map's; not of a store of winners."""
        self._array = store.level(level)
        self._winners = store.top1
        self._still = Still(store)
        self._lead = (0, 0) if level else store.record.tiles.lead
        self.name = store.storage.name
        grid = store.record.stored_grid.coarser(1 << level) if level else store.record.grid
        self.shape: tuple[int, int, int] = (len(store.record.labels), grid.rows, grid.cols)

    def __iter__(self) -> Iterator[Array]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"<scores {self.shape} float32 in {self.name}>"

    def __getitem__(self, key: Any) -> Array:
        """What NumPy gives for this key: the block around it is read, and NumPy itself indexes that."""
        parts = _expanded(key, self.shape)
        arrays = [part for part in parts if isinstance(part, np.ndarray)]
        if len(arrays) > 1 or any(part.ndim > 1 for part in arrays):
            return self._scattered(parts)
        chosen, within = zip(*_each(parts, self.shape), strict=True)
        block = self._block(chosen)
        inner: list[Any] = []
        left = iter(within)
        for part in parts:
            inner.append(None if part is None else next(left))
        found: Array = block[tuple(inner)]
        return found

    def _block(self, chosen: tuple[Any, ...]) -> Array:
        """(classes, rows, cols): a slice or ascending indices of each axis."""
        classes, *cells = chosen
        rows, cols = map(_behind, cells, self._lead)
        with reading(self.name):
            if self._winners is None:
                return self._there(decoded(np.asarray(self._array.oindex[classes, rows, cols])))
            score = decoded(np.asarray(self._array.oindex[slice(0, 1), rows, cols]))
            winner = np.asarray(self._winners.oindex[rows, cols])
        self._there(score)
        along = np.arange(self.shape[0])[classes].reshape(-1, 1, 1)
        return np.where(winner[None] == along, score, np.float32(np.nan))

    def _there(self, read: Array) -> Array:
        """What was read of a result that is still the one that was opened."""
        self._still.require(answered=read.size > 0 and not np.isnan(read).all())
        return read

    def _scattered(self, parts: list[Any]) -> Array:
        """Cells of several index arrays: each cell's own place is worked out by NumPy, and these are read."""
        at = [
            np.ascontiguousarray(np.broadcast_to(np.arange(length).reshape(shape), self.shape)[tuple(parts)])
            for length, shape in zip(self.shape, ((-1, 1, 1), (1, -1, 1), (1, 1, -1)), strict=True)
        ]
        if at[0].size == 0:
            return np.empty(at[0].shape, np.float32)
        rows, cols = at[1] + self._lead[0], at[2] + self._lead[1]
        with reading(self.name):
            if self._winners is None:
                return self._there(decoded(np.asarray(self._array.vindex[at[0], rows, cols])))
            score = decoded(np.asarray(self._array.vindex[np.zeros_like(at[0]), rows, cols]))
            winner = np.asarray(self._winners.vindex[rows, cols])
        self._there(score)
        return np.where(winner == at[0], score, np.float32(np.nan))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError(f"{self.name}: scores in a store are read, so that an array of them is always a copy")
        whole = self[:, :, :]
        return whole if dtype is None else whole.astype(dtype, copy=False)

    def winners(self, rows: slice, cols: slice) -> tuple[Array, Array]:
        """The winning class of each cell (-1: no answer) and its score."""
        if self._winners is None:
            return winners_of(self[:, rows, cols])
        rows, cols = (
            _behind(slice(*part.indices(length)[:2]), lead)
            for part, length, lead in zip((rows, cols), self.shape[1:], self._lead, strict=True)
        )
        with reading(self.name):
            winner = np.asarray(self._winners[rows, cols]).astype(np.int64)
            if ((winner >= self.shape[0]) & (winner != NO_CLASS)).any():
                raise ValueError("winning classes that the map does not have")
            best = self._there(decoded(np.asarray(self._array[0:1, rows, cols]))[0])
        return np.where(winner == NO_CLASS, -1, winner), best

    def blocks(self) -> Iterator[tuple[slice, slice]]:
        """The map in pieces of whole chunks, of some megabytes of all classes each."""
        _, rows, cols = self._array.chunks
        across = max(1, _BLOCK // (4 * self.shape[0] * rows * cols)) * cols
        for down in self._pieces(1, rows):
            for along in self._pieces(2, across):
                yield down, along

    def _pieces(self, axis: int, size: int) -> Iterator[slice]:
        """An axis of the map, cut where the array is cut every ``size`` cells."""
        lead, length = self._lead[axis - 1], self.shape[axis]
        for first in range(lead // size * size - lead, length, size):
            yield slice(max(0, first), min(first + size, length))


class StoredCells:
    """Which cells (rows, cols) of a store's map are their crops' own, read when they are asked for. ``numpy.asarray`` reads all."""

    dtype = np.dtype(np.bool_)
    ndim = 2

    def __init__(self, store: Store) -> None:
        self._array = store.confirmed
        self._still = Still(store)
        self._lead = store.record.tiles.lead
        self.name = store.storage.name
        self.shape: tuple[int, int] = (store.record.grid.rows, store.record.grid.cols)

    def __getitem__(self, key: tuple[slice, slice]) -> Array:
        """Some rows and columns."""
        rows, cols = (
            _behind(slice(*part.indices(length)[:2]), lead)
            for part, length, lead in zip(key, self.shape, self._lead, strict=True)
        )
        with reading(self.name):
            found = np.asarray(self._array[rows, cols])
        self._still.require(answered=bool(found.any()))
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        whole = self[:, :]
        return whole if dtype is None else whole.astype(dtype, copy=False)


def _behind(part: Any, lead: int) -> Any:
    """A slice or indices of the map's cells as those of the array, which has so many more before them."""
    return slice(part.start + lead, part.stop + lead, part.step) if isinstance(part, slice) else part + lead


def _expanded(key: Any, shape: tuple[int, ...]) -> list[Any]:
    """A key with something for every axis: numbers, slices, index arrays, and None for a new axis.

    Raises:
        IndexError: as NumPy's, for what is no key of an array of this shape.
    """
    given = [_part(part) for part in (key if isinstance(key, tuple) else (key,))]
    if sum(part is Ellipsis for part in given) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    taken = sum(_axes(part) for part in given)
    if taken > len(shape):
        raise IndexError(f"too many indices: the scores have {len(shape)} axes, and {taken} were indexed")
    if not any(part is Ellipsis for part in given):
        given.append(Ellipsis)
    parts: list[Any] = []
    axis = 0
    for part in given:
        if part is Ellipsis:
            parts += [slice(None)] * (len(shape) - taken)
            axis += len(shape) - taken
        elif isinstance(part, np.ndarray) and part.dtype == np.bool_:
            if part.shape != shape[axis : axis + part.ndim]:
                raise IndexError(f"a mask of {part.shape} for axes of {shape[axis : axis + part.ndim]}")
            parts += [*np.nonzero(part)]
            axis += part.ndim
        else:
            parts.append(part)
            axis += _axes(part)
    return parts


def _part(part: Any) -> Any:
    """One part of a key: None, Ellipsis, a slice, a whole number, an array of whole numbers, or a mask."""
    if part is None or part is Ellipsis or isinstance(part, slice):
        return part
    if isinstance(part, int | np.integer) and not isinstance(part, bool):
        return int(part)
    array = np.asarray(part)
    if array.size == 0 and not isinstance(part, np.ndarray):
        return array.astype(np.intp)
    if array.dtype == np.bool_ and array.ndim:
        return array
    if array.dtype.kind not in "iu":
        raise IndexError(
            "only integers, slices (`:`), ellipsis (`...`), None and integer or boolean arrays are valid indices"
        )
    return array.astype(np.intp)


def _axes(part: Any) -> int:
    """How many axes of the scores a part of a key is for."""
    if part is None or part is Ellipsis:
        return 0
    return part.ndim if isinstance(part, np.ndarray) and part.dtype == np.bool_ else 1


def _each(parts: list[Any], shape: tuple[int, ...]) -> Iterator[tuple[Any, Any]]:
    """For every axis what is read of it, and what that is indexed with."""
    axes = iter(enumerate(shape))
    for part in parts:
        if part is None:
            continue
        axis, length = next(axes)
        if isinstance(part, slice):
            start, stop, step = part.indices(length)
            places = range(start, stop, step)
            if not places:
                yield slice(0, 0), slice(None)
            elif abs(step) == 1:
                yield slice(min(places), max(places) + 1), slice(None, None, step)
            else:
                yield np.sort(np.array(places)), slice(None, None, 1 if step > 0 else -1)
            continue
        array = np.asarray(part)
        if ((array < -length) | (array >= length)).any():
            raise IndexError(f"index {part} is out of bounds for axis {axis} with size {length}")
        if isinstance(part, int):
            at = part % length
            yield slice(at, at + 1), 0
        else:
            unique, inverse = np.unique(array % length, return_inverse=True)
            yield (unique if unique.size else slice(0, 0)), inverse.reshape(array.shape)
