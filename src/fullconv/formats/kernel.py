"""A weight matrix as the kernel of a convolution, whatever the format."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from fullconv.surgery.edit import LinearToConv

Array = npt.NDArray[Any]


def kernel_of(matrix: Array, edit: LinearToConv) -> Array:
    """(K, flattened) as (K, C, kernel_h, kernel_w): a view where the flatten was channels, y, x."""
    order = edit.order
    laid_out = matrix.reshape(matrix.shape[0], *order.sizes)
    return laid_out.transpose(0, *(axis + 1 for axis in order.permutation)).reshape(edit.weights)


def without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without its leading ones, which broadcasting does not need."""
    first = next((i for i, size in enumerate(shape) if size != 1), len(shape))
    return shape[first:]
