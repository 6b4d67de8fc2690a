"""The ladder: nothing, a mixing of logits, the means of the last level, those of all levels; cross-validation says which is taken.

A step is taken only where it brings probabilities nearer (KL) and makes more winners agree: with few crops one may rise while the other
falls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.adaptation.folds import Folds, Numbers
from fullconv.adaptation.measure import Measure
from fullconv.adaptation.ridge import Path, Scaled, weights

STRENGTHS = np.logspace(-3, 5, 17)  # for each sample
_LOGITS = (
    10.0  # by how much more than means logits weigh: a mixing is learnt from few cells, and means add what it leaves
)
_NEAR = 1.1  # times the least divergence, within which steps count as equally near
_FEWEST = 20  # cells that a fold is fitted on
Array = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Rung:
    """A step of the ladder, as cross-validation saw it.

    Attributes:
        name: what it is made of.
        levels: how many levels, from the last.
        features: how many numbers of a cell it reads.
        strength: of its ridge, for each sample; 0 for none.
        divergence, agreement: of the crops' answers, mean over cells that were not fitted on.
    """

    name: str
    levels: int
    features: int
    strength: float
    divergence: float
    agreement: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """What is fitted.

    Attributes:
        logits, crops: (cells, K), of the map and of crops.
        means: of each level, (cells, C, rows, cols).
        weight: how many cells each stands for.
        rank: through how many numbers a head goes; None for none.
    """

    logits: Array
    means: Sequence[Array]
    crops: Array
    weight: Array
    rank: int | None = None

    @property
    def classes(self) -> int:
        return int(self.logits.shape[1])

    def read(self, levels: int) -> Array:
        """(cells, features): logits, and the means of so many levels from the last."""
        chosen = self.means[len(self.means) - levels :] if levels else ()
        return np.concatenate([self.logits, *(part.reshape(len(part), -1) for part in chosen)], axis=1)


def climb(samples: Samples, folds: Folds, measure: Measure, steps: Sequence[tuple[str, int]]) -> list[Rung]:
    """Every step, from nothing on, each with the strength that cross-validation found best.

    Args:
        steps: names and how many levels, from the last.
    """
    every = np.concatenate([tested for _, tested in folds.parts])
    start = _seen(samples, measure, every, [samples.logits[tested] for _, tested in folds.parts])
    rungs = [Rung("nothing", 0, 0, 0.0, *start)]
    for name, levels in steps:
        features = samples.read(levels)
        moved = [_moved(samples, features, measure, fitted, tested) for fitted, tested in folds.parts]
        seen = [_seen(samples, measure, every, [part[i] for part in moved]) for i in range(len(STRENGTHS))]
        best = int(np.argmin([divergence for divergence, _ in seen]))
        rungs.append(Rung(name, levels, features.shape[1], float(STRENGTHS[best]), *seen[best]))
    return rungs


def chosen(rungs: Sequence[Rung]) -> Rung:
    """The step that is taken: of those that improve both on nothing and come about as near as the nearest, the one with most agreement; else nothing."""
    start = rungs[0]
    better = [r for r in rungs if r.divergence < start.divergence and r.agreement > start.agreement]
    nearest = min((r.divergence for r in better), default=0.0)
    return max((r for r in better if r.divergence <= _NEAR * nearest), key=lambda rung: rung.agreement, default=start)


def weights_of(
    samples: Samples, measure: Measure, rung: Rung
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64] | None]:
    """A step fitted on all cells: weights (features, K) and a bias (K,); of a rank R (features, R), and (K, R) that spreads them."""
    features = samples.read(rung.levels)
    target = measure.target(samples.crops, samples.logits)
    scaled, mean = Scaled(features, _weighing(samples, features)), target.mean(axis=0)
    spread = _spread(target - mean, samples.rank)
    fewer = target - mean if spread is None else (target - mean) @ spread
    own = weights(scaled.of(features), fewer, rung.strength * len(features)) * scaled.factor[:, None]
    start = scaled.mean @ own
    return own, mean - (start if spread is None else spread @ start), spread


def _spread(moves: npt.NDArray[np.float64], rank: int | None) -> npt.NDArray[np.float64] | None:
    """(K, rank): the directions in which moves (cells, K) with a mean of 0 vary most."""
    return None if rank is None else np.ascontiguousarray(np.linalg.svd(moves, full_matrices=False)[2][:rank].T)


def _moved(
    samples: Samples, features: Array, measure: Measure, fitted: Numbers, tested: Numbers
) -> list[npt.NDArray[np.float64]]:
    """The logits of cells as heads fitted on others move them, for each strength."""
    if len(fitted) < _FEWEST:
        return [np.asarray(samples.logits[tested], np.float64)] * len(STRENGTHS)
    target = measure.target(samples.crops[fitted], samples.logits[fitted])
    scaled, mean = Scaled(features[fitted], _weighing(samples, features)), target.mean(axis=0)
    spread = _spread(target - mean, samples.rank)
    fewer = target - mean if spread is None else (target - mean) @ spread
    moves = Path(scaled.of(features[fitted]), fewer).predictions(scaled.of(features[tested]), STRENGTHS * len(fitted))
    return [samples.logits[tested] + mean + (move if spread is None else move @ spread.T) for move in moves]


def _weighing(samples: Samples, features: Array) -> npt.NDArray[np.float64]:
    """How much each feature weighs in the ridge."""
    return np.where(np.arange(features.shape[1]) < samples.classes, _LOGITS, 1.0)


def _seen(samples: Samples, measure: Measure, every: Numbers, parts: Sequence[Array]) -> tuple[float, float]:
    """Mean divergence and agreement of cells, as many as each stands for."""
    moved, crops, weight = np.concatenate(parts), samples.crops[every], samples.weight[every]
    return (
        float(np.average(measure.divergences(crops, moved), weights=weight)),
        float(np.average(measure.agreements(crops, moved), weights=weight)),
    )
