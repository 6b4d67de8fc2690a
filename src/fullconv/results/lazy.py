"""Scores that lie in a store, and are read when they are asked for, and only those."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.results.encoding import decoded
from fullconv.results.store import NO_CLASS, Store

Array = npt.NDArray[Any]
_BLOCK = 16 << 20  # bytes of scores that are read at once


class StoredScores:
    """Scores (classes, rows, cols) of a store, float32; indexing reads them. ``numpy.asarray`` reads all."""

    dtype = np.dtype(np.float32)
    ndim = 3

    def __init__(self, store: Store) -> None:
        self._array = store.scores
        self._winners = store.top1
        self.name = store.storage.name
        self.shape: tuple[int, int, int] = (len(store.record.labels), *store.scores.shape[1:])

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    def __getitem__(self, key: Any) -> Array:
        key = (*key, *[slice(None)] * (3 - len(key))) if isinstance(key, tuple) else (key, slice(None), slice(None))
        if self._winners is None:
            return decoded(np.asarray(self._array[key]))
        score = decoded(np.asarray(self._array[(0, *key[1:])]))
        winner = np.asarray(self._winners[key[1:]])
        classes = np.arange(self.shape[0])[key[0]]
        along = classes.reshape(-1, *[1] * winner.ndim) if np.ndim(classes) else classes
        return np.where(winner == along, score, np.float32(np.nan))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        found = self[:, :, :]
        return found if dtype is None else found.astype(dtype)

    def winners(self, rows: slice, cols: slice) -> tuple[Array, Array]:
        """The winning class of each cell (-1: no answer) and its score."""
        if self._winners is not None:
            winner = np.asarray(self._winners[rows, cols]).astype(np.int64)
            return np.where(winner == NO_CLASS, -1, winner), decoded(np.asarray(self._array[0, rows, cols]))
        scores = self[:, rows, cols]
        empty = np.isnan(scores).all(axis=0)
        winner = np.where(np.isnan(scores), -np.inf, scores).argmax(axis=0)
        best = np.take_along_axis(scores, winner[None], axis=0)[0]
        return np.where(empty, -1, winner), best

    def blocks(self) -> Iterator[tuple[slice, slice]]:
        """The map in pieces of whole chunks, of some megabytes of all classes each."""
        _, rows, cols = self._array.chunks
        across = max(1, _BLOCK // (4 * self.shape[0] * rows * cols)) * cols
        for top in range(0, self.shape[1], rows):
            for left in range(0, self.shape[2], across):
                yield slice(top, min(top + rows, self.shape[1])), slice(left, min(left + across, self.shape[2]))
