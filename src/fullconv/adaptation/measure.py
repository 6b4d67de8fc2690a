"""How far moved logits are from those of crops: divergence and agreement, by what is made of logits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fullconv.adaptation.logits import Kind

Array = npt.NDArray[np.float64]
_TOLERANCE = 0.1  # of the spread of the crops' numbers, within which two agree


@dataclass(frozen=True, slots=True)
class Measure:
    """What is compared.

    Attributes:
        kind: what is made of logits.
        tolerance: of a regression, the difference within which two numbers agree.
    """

    kind: Kind
    tolerance: float = 0.0

    @staticmethod
    def of(kind: Kind, crops: npt.NDArray[np.floating]) -> Measure:
        """For these logits of crops (cells, K)."""
        return Measure(kind, _TOLERANCE * float(np.std(crops)) if kind == "regression" else 0.0)

    @property
    def divergence(self) -> str:
        """Its name."""
        return "squared error" if self.kind == "regression" else "KL"

    def target(self, crops: npt.NDArray[np.floating], logits: npt.NDArray[np.floating]) -> Array:
        """(cells, K), by how much logits must be moved; of a softmax less what all classes of a cell share, which moves nothing."""
        gap = np.asarray(crops, np.float64) - logits
        return np.asarray(gap - gap.mean(axis=1, keepdims=True) if self.kind == "softmax" else gap)

    def divergences(self, crops: npt.NDArray[np.floating], logits: npt.NDArray[np.floating]) -> Array:
        """(cells,): Kullback-Leibler's, of the crops' probabilities from the logits'; of a regression the squared difference."""
        theirs, own = np.asarray(crops, np.float64), np.asarray(logits, np.float64)
        if self.kind == "regression":
            return np.asarray(((theirs - own) ** 2).mean(axis=1))
        if self.kind == "sigmoid":
            yes, no = _log_sigmoid(theirs), _log_sigmoid(-theirs)
            return np.asarray(
                (np.exp(yes) * (yes - _log_sigmoid(own)) + np.exp(no) * (no - _log_sigmoid(-own))).sum(axis=1)
            )
        log, log_own = _log_softmax(theirs), _log_softmax(own)
        return np.asarray((np.exp(log) * (log - log_own)).sum(axis=1))

    def agreements(self, crops: npt.NDArray[np.floating], logits: npt.NDArray[np.floating]) -> Array:
        """(cells,): 1 where the same class wins; of several labels the share of those that are said alike; of numbers, whether they are near."""
        if self.kind == "softmax":
            alike = (crops.argmax(axis=1) == logits.argmax(axis=1))[:, None]
        elif self.kind == "sigmoid":
            alike = (crops >= 0) == (logits >= 0)
        else:
            alike = np.abs(crops - logits) <= self.tolerance
        return np.asarray(alike.mean(axis=1), np.float64)


def _log_softmax(logits: Array) -> Array:
    low = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(low - np.log(np.exp(low).sum(axis=1, keepdims=True)))


def _log_sigmoid(logits: Array) -> Array:
    return np.asarray(np.minimum(logits, 0) - np.log1p(np.exp(-np.abs(logits))))
