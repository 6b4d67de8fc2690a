"""The weights of a head (``surgery.head``), and what it answers by plain arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.graph.axes import require
from fullconv.surgery.head import Head

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class FittedHead:
    """A head with its weights, float32.

    Attributes:
        head: how it lies.
        bias: (K,), added to every cell's logits.
        mixing: (K, K), of which the product with a cell's logits is added to them; None for none.
        kernels: for each level (K, C, rows, cols), the weight of each region's mean.
        spread: (K, R) of a head of rank R: by which the sum of all that, then of (R, K) and (R, C, rows, cols), is multiplied; else None.
        about: what it was fitted on, how, and what that gave; as JSON holds it.
    """

    head: Head
    bias: Array
    mixing: Array | None = None
    kernels: tuple[Array, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)
    spread: Array | None = None

    def __post_init__(self) -> None:
        classes, width = self.head.classes, self.head.width
        require(self.bias.shape == (classes,), f"a bias of {self.bias.shape} for {classes} classes")
        mixes = self.mixing is None or self.mixing.shape == (width, classes)
        require(mixes, f"a mixing of other than {classes} classes")
        require(len(self.kernels) == len(self.head.levels), "a kernel a level")
        for level, kernel in zip(self.head.levels, self.kernels, strict=True):
            shape = (width, level.channels, len(level.rows), len(level.cols))
            require(kernel.shape == shape, f"{level.value}: a kernel of {kernel.shape}, not {shape}")
        spreads = None if self.spread is None else self.spread.shape
        require(spreads == (None if self.head.rank is None else (classes, width)), f"a spread of {spreads}")
        arrays = [self.bias, *(each for each in (self.mixing, self.spread) if each is not None), *self.kernels]
        require(
            all(a.dtype == np.float32 and np.isfinite(a).all() for a in arrays), "weights that are no float32 numbers"
        )

    def window(self, i: int) -> Array:
        """The convolution over a level's blocks, (K, C, rows, cols): a region's weight is shared by its blocks."""
        level, kernel = self.head.levels[i], self.kernels[i]
        shares = kernel / np.outer(level.rows, level.cols).astype(np.float32)
        return np.repeat(np.repeat(shares, level.rows, axis=2), level.cols, axis=3)

    def moved(self, logits: Array, means: Sequence[Array]) -> npt.NDArray[np.float64]:
        """The logits of cells with this head.

        Args:
            logits: (cells, K), of the cast network.
            means: for each level (cells, C, rows, cols), the mean of each region.
        """
        wide = np.asarray(logits, np.float64)
        move = np.zeros((len(wide), self.head.width))
        if self.mixing is not None:
            move = move + wide @ self.mixing.T.astype(np.float64)
        for kernel, mean in zip(self.kernels, means, strict=True):
            move = move + np.einsum("kcrs,ncrs->nk", kernel.astype(np.float64), np.asarray(mean, np.float64))
        if self.spread is not None:
            move = move @ self.spread.T.astype(np.float64)
        return np.asarray(wide + self.bias + move)
