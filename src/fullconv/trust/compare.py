"""Two answers that should be one: how far they part, and how much of that is rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.graph.axes import Axes, size_of

Array = npt.NDArray[Any]
# Above this many times the measured rounding a difference is none of rounding's: every layer adds its own, and the
# sample is small. On LeNet a map differs from its crops by twice the measured rounding.
MARGIN = 32
LAST_BIT = float(np.finfo(np.float32).eps)


def gaps(a: Array, b: Array) -> npt.NDArray[np.float64]:
    """|a - b| elementwise, (shape of a and b); 0 where both are NaN or the same infinity, infinite where one is."""
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    same = (x == y) | (np.isnan(x) & np.isnan(y))
    with np.errstate(invalid="ignore"):
        apart = np.abs(x - y)
    return np.where(same, 0.0, np.where(np.isfinite(apart), apart, np.inf))


def scale_of(values: Array) -> float:
    """The largest finite magnitude, at least the smallest normal float32."""
    finite = np.abs(np.asarray(values, np.float64))
    finite = finite[np.isfinite(finite)]
    return max(float(finite.max(initial=0.0)), float(np.finfo(np.float32).tiny))


def nudged(values: Array, seed: int) -> npt.NDArray[np.float32]:
    """The same numbers with their last bits changed, as sums in another order change them in every layer."""
    signs = np.random.default_rng(seed).choice(np.array([-1, 1], np.float32), values.shape)
    return np.asarray(values * (1 + signs * np.finfo(np.float32).eps), np.float32)


def as_cells(axes: Axes, array: Array) -> Array:
    """A value of these axes as (N, K, rows, cols); what is no map is one cell of (N, K, 1, 1)."""
    y, x = axes.space_axis("h"), axes.space_axis("w")
    if y is None or x is None or array.ndim != axes.rank or _hides_space(axes, y, x):
        return array.reshape(len(array) if array.ndim else 1, -1, 1, 1)
    rows, cols = array.shape[y], array.shape[x]
    return np.moveaxis(array, (y, x), (-2, -1)).reshape(len(array), -1, rows, cols)


def _hides_space(axes: Axes, y: int, x: int) -> bool:
    """Whether another axis holds positions as well, so that the last two are not all of space."""
    rest = (atoms for i, atoms in enumerate(axes.axes) if i not in (y, x))
    return any(size_of(a for a in atoms if a.is_space) > 1 for atoms in rest)
