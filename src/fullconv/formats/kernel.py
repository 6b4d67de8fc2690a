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


def along_channels(shape: tuple[int, ...], behind: int) -> tuple[int, ...]:
    """The shape of a constant along a vector's axes, as it lies along a map's channels: height and width last.

    Its leading ones go, which broadcasting does not need, and ``behind`` ones of axes that held positions, which the map has last.
    """
    kept = shape[: len(shape) - behind]
    first = next((i for i, size in enumerate(kept) if size != 1), len(kept))
    return *kept[first:], 1, 1
