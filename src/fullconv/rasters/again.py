"""Memory of windows that nobody holds any more, for the next ones: fresh memory costs a system more than what is written into it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
_LEAST = 1 << 20  # bytes of a window from which it is worth it
KEPT = 6  # windows: more than a stream has at once, before a GPU too, whose three tiles under way keep their pixels
_IDLE = 3  # references to what nobody uses: the list's, a loop's, and the count's own


class Reused(np.ndarray[Any, Any]):
    """Bytes that windows are made in one after the other; a window's ``base``, so that it is known as its reader's own."""


class Again:
    """The memory of a source's windows."""

    def __init__(self) -> None:
        self._all: list[Reused] = []
        self._lock = Lock()

    def empty(self, shape: Sequence[int], dtype: npt.DTypeLike, order: Sequence[int] | None = None) -> Array:
        """An array whose numbers are anything.

        Args:
            order: of its axes in memory, the slowest first; as they come by default.
        """
        kind, axes = np.dtype(dtype), list(range(len(shape)) if order is None else order)
        laid = [shape[axis] for axis in axes]
        size = int(np.prod(laid)) * kind.itemsize
        back = np.argsort(axes)
        memory = self._free(size) if size >= _LEAST else None
        if memory is None:
            return np.empty(laid, kind).transpose(back)
        return memory[:size].view(kind).reshape(laid).transpose(back).view(np.ndarray)

    def _free(self, size: int) -> Reused | None:
        with self._lock:
            for i in range(len(self._all)):
                memory = self._all[i]
                if sys.getrefcount(memory) > _IDLE:
                    continue
                if not size <= memory.nbytes <= 4 * size:
                    del self._all[i]
                    break
                return memory
            if len(self._all) == KEPT:
                return None
            fresh = np.empty(size, np.uint8).view(Reused)
            self._all.append(fresh)
            return fresh


def is_own(pixels: Array) -> bool:
    """Whether a window may be written to by whoever read it: nobody else sees its memory."""
    return pixels.flags.writeable and (pixels.base is None or isinstance(pixels.base, Reused))
