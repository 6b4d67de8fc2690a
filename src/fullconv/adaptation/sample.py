"""Cells of images: which are taken, and what is known of each.

Of twice as many random ones as are asked for, those are taken that spread best: each image its share, each class that wins somewhere its own
part, half of it where the map is least sure, and within these evenly over the image. Cells near an image's border are drawn apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.adaptation.logits import Kind

Array = npt.NDArray[np.float32]
_UNSURE, _OF_UNSURE = 4, 0.5  # one cell in so many counts as unsure, and such a share of those taken are
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


def strata(logits: Array, kind: Kind) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64] | None]:
    """What a map says of cells (cells, K): which class wins, and how sure it is of that; of numbers neither."""
    if kind == "regression":
        return np.zeros(len(logits), np.int64), None
    if kind == "sigmoid":
        return (logits >= 0).sum(axis=1), np.abs(logits).min(axis=1).astype(np.float64)
    highest = np.sort(logits, axis=1)[:, -2:].astype(np.float64)
    return logits.argmax(axis=1), highest[:, -1] - highest[:, 0]


def spread(
    winners: npt.NDArray[np.int64], sure: npt.NDArray[np.float64] | None, wanted: int, seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Of candidates, in the order of the map, the numbers of those that spread best, and how many each stands for (1 on average).

    Args:
        winners: (cells,), the class that wins.
        sure: (cells,), how sure that is; None where nothing says it.
    """
    if len(winners) <= wanted:
        return np.arange(len(winners)), np.ones(len(winners))
    rng = np.random.default_rng(seed)
    parts, aims = _parts(winners, sure, wanted)
    taken, weight = [], []
    for part, aim in zip(parts, aims, strict=True):
        own = np.sort(part)
        taken.append(own[((np.arange(aim) + rng.random()) * len(own) / aim).astype(np.int64)])  # evenly, row by row
        weight.append(np.full(aim, len(own) / aim))
    numbers, weights = np.concatenate(taken), np.concatenate(weight)
    order = np.argsort(numbers)
    return numbers[order], (weights / weights.mean())[order]


def _parts(
    winners: npt.NDArray[np.int64], sure: npt.NDArray[np.float64] | None, wanted: int
) -> tuple[list[npt.NDArray[np.int64]], npt.NDArray[np.int64]]:
    """The cells of each class, the least sure apart, and how many of each part are taken."""
    classes, counts = np.unique(winners, return_counts=True)
    shares = np.maximum(counts / len(winners), 1 / (_LEAST_SHARE * len(classes)))
    parts, wants = [], []
    for winner, share in zip(classes, shares / shares.sum(), strict=True):
        own = np.flatnonzero(winners == winner)
        few = len(own) // _UNSURE if sure is not None else 0
        ordered = own if sure is None else own[np.argsort(sure[own], kind="stable")]
        for part, of_it in ((ordered[:few], _OF_UNSURE), (ordered[few:], 1 - _OF_UNSURE)) if few else ((ordered, 1.0),):
            parts.append(part)
            wants.append(wanted * share * of_it)
    sizes = np.array([len(part) for part in parts])
    aims = np.minimum(sizes, np.maximum(1, np.floor(wants))).astype(np.int64)
    while aims.sum() < wanted:
        aims[np.argmax(np.where(aims < sizes, np.array(wants) / aims, -1))] += 1
    while aims.sum() > max(wanted, len(parts)):
        aims[np.argmax(aims)] -= 1
    return parts, aims
