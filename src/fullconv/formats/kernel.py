"""A weight matrix as the kernel of a convolution, whatever the format."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fullconv.surgery.edit import LinearToConv


def kernel_of(matrix: Any, edit: LinearToConv, move: Callable[[Any, tuple[int, ...]], Any] = np.transpose) -> Any:
    """(K, flattened) as (K, C, kernel_h, kernel_w): a view where the flatten was channels, y, x.

    Args:
        matrix: an array, or a framework's tensor.
        move: orders its axes anew.
    """
    order = edit.order
    laid_out = matrix.reshape(matrix.shape[0], *order.sizes)
    return move(laid_out, (0, *(axis + 1 for axis in order.permutation))).reshape(edit.weights)


def without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without its leading ones, which broadcasting does not need."""
    first = next((i for i, size in enumerate(shape) if size != 1), len(shape))
    return shape[first:]
