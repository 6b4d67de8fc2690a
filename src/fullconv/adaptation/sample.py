"""Cells of images: which are taken, and what is known of each.

Of twice as many random ones as are asked for, those are taken that spread best: each image its share, each class that wins somewhere its own
part, and within these evenly over the image. Cells near an image's border are drawn apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
_LEAST_SHARE = 4  # a class that wins somewhere gets at least one part in so many of an even share


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Cells, a row each.

    Attributes:
        features: (cells, features), of the map.
        crops: (cells, K), logits of the untouched network for their crops.
        moved: (cells, K), the same of crops one pixel further down and to the right, of some cells; NaN of the others.
        image: (cells,), which image.
        at: (cells, 2), row and column.
        weight: (cells,), how many cells of the map each stands for, 1 on average.
        border: (cells,), whether it lies near the image's border.
    """

    features: Array
    crops: Array
    moved: Array
    image: npt.NDArray[np.int64]
    at: npt.NDArray[np.int64]
    weight: npt.NDArray[np.float64]
    border: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.features)

    def of(self, chosen: npt.NDArray[Any]) -> Sample:
        """Some of the cells, by number or mask."""
        return Sample(*(getattr(self, name)[chosen] for name in self.__slots__))

    @staticmethod
    def joined(parts: Sequence[Sample]) -> Sample:
        return Sample(*(np.concatenate([getattr(part, name) for part in parts]) for name in Sample.__slots__))


def spread(
    cells: Sequence[tuple[int, int]], logits: Array, wanted: int, seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Of candidates the numbers of those that spread best, and how many candidates each stands for (1 on average).

    Args:
        cells: in the order of the map.
        logits: (cells, K), of the map.
    """
    if len(cells) <= wanted:
        return np.arange(len(cells)), np.ones(len(cells))
    rng = np.random.default_rng(seed)
    winners = logits.argmax(axis=1)
    classes, counts = np.unique(winners, return_counts=True)
    even = wanted / len(classes)
    aims = np.minimum(counts, np.maximum(counts * wanted / len(cells), even / _LEAST_SHARE))
    aims = np.maximum(1, np.floor(aims * min(1.0, wanted / aims.sum()))).astype(np.int64)
    while aims.sum() < wanted:
        aims[np.argmax(counts - aims)] += 1
    while aims.sum() > max(wanted, len(classes)):
        aims[np.argmax(aims)] -= 1
    taken, weight = [], []
    for winner, count, aim in zip(classes, counts, aims, strict=True):
        own = np.flatnonzero(winners == winner)
        picked = own[((np.arange(aim) + rng.random()) * count / aim).astype(np.int64)]  # every so-manieth, row by row
        taken.append(picked)
        weight.append(np.full(aim, count / aim))
    numbers, weights = np.concatenate(taken), np.concatenate(weight)
    order = np.argsort(numbers)
    return numbers[order], (weights / weights.mean())[order]
