"""Blobs: arrays under pycaffe's names."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


class Blob:
    """A float32 array that may be written to; the next forward sees what was written."""

    def __init__(self, data: Array) -> None:
        self._data = data
        self._diff: Array | None = None

    @property
    def data(self) -> Array:
        """The values, writable in place."""
        return self._data

    @property
    def diff(self) -> Array:
        """Zeros of the blob's shape: nothing here computes gradients."""
        if self._diff is None or self._diff.shape != self._data.shape:
            self._diff = np.zeros_like(self._data)
        return self._diff

    @property
    def shape(self) -> tuple[int, ...]:
        return self._data.shape

    @property
    def count(self) -> int:
        return self._data.size

    def _legacy(self, axis: int) -> int:
        if self._data.ndim > 4:
            raise ValueError(f"a blob of {self._data.ndim} axes has no num, channels, height and width; use shape")
        return self._data.shape[axis] if axis < self._data.ndim else 1

    @property
    def num(self) -> int:
        return self._legacy(0)

    @property
    def channels(self) -> int:
        return self._legacy(1)

    @property
    def height(self) -> int:
        return self._legacy(2)

    @property
    def width(self) -> int:
        return self._legacy(3)

    def reshape(self, *shape: int) -> None:
        """Another shape; the values stay as far as they reach, as in Caffe."""
        if any(dim < 0 for dim in shape):
            raise ValueError(f"shape {shape} has a negative dimension")
        if tuple(shape) == self._data.shape:
            return
        size = prod(shape)
        fresh = np.zeros(size, np.float32)
        kept = min(size, self._data.size)
        fresh[:kept] = self._data.reshape(-1)[:kept]
        self._data = fresh.reshape(shape)

    def share(self, other: Blob) -> None:
        """Use the other blob's array: what is written to either is seen by both."""
        if self._data.shape != other._data.shape:
            raise ValueError(f"shapes differ: {self._data.shape} and {other._data.shape}")
        self._data = other._data

    def fill(self, values: Any) -> None:
        """Take values over in place, so that views that scripts hold stay valid."""
        if self._data.shape == values.shape:
            self._data[...] = values
        else:
            self._data = np.array(values, np.float32)
