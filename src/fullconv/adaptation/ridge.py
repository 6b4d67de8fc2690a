"""Ridge regression, in as many dimensions as there are features, or samples, whichever is less.

With X of samples by features, the weights are (XᵀX + λI)⁻¹XᵀY = Xᵀ(XXᵀ + λI)⁻¹Y; one decomposition of the smaller matrix serves every λ.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
_LEAST_SPREAD = 1e-6  # of a feature's magnitude: below it the feature is constant but for rounding


class Scaled:
    """Features with a mean of 0 and a spread of ``weighing`` in the samples that they were learnt on; what is constant there is nothing."""

    def __init__(self, features: npt.NDArray[np.floating], weighing: Array | float = 1.0) -> None:
        wide = np.asarray(features, np.float64)
        self.mean: Array = wide.mean(axis=0)
        spread = wide.std(axis=0)
        varies = spread > _LEAST_SPREAD * np.maximum(np.abs(wide).max(axis=0, initial=0.0), 1e-30)
        self.factor: Array = np.where(varies, weighing / np.where(varies, spread, 1), 0.0)

    def of(self, features: npt.NDArray[np.floating]) -> Array:
        return (np.asarray(features, np.float64) - self.mean) * self.factor


def weights(features: Array, targets: Array, strength: float, dual: bool | None = None) -> Array:
    """(features, outputs), of one strength.

    Args:
        features: (samples, features), with a mean of 0.
        targets: (samples, outputs), with a mean of 0.
        strength: above 0.
        dual: whether they are found among the samples; where features outnumber them by default.
    """
    samples, count = features.shape
    if count > samples if dual is None else dual:
        gram = features @ features.T
        return np.asarray(features.T @ np.linalg.solve(gram + strength * np.eye(samples), targets))
    gram = features.T @ features
    return np.asarray(np.linalg.solve(gram + strength * np.eye(count), features.T @ targets))


class Path:
    """The same for many strengths at once, where only predictions of other samples are wanted."""

    def __init__(self, features: Array, targets: Array, dual: bool | None = None) -> None:
        samples, count = features.shape
        self._dual = count > samples if dual is None else dual
        gram = features @ features.T if self._dual else features.T @ features
        values, vectors = np.linalg.eigh(gram)
        self._values: Array = np.maximum(values, 0)
        self._basis: Array = features.T @ vectors if self._dual else vectors  # (features, rank)
        self._targets: Array = vectors.T @ (targets if self._dual else features.T @ targets)

    def predictions(self, features: Array, strengths: npt.NDArray[np.floating]) -> list[Array]:
        """(samples, outputs) of other features, for each strength."""
        along = features @ self._basis
        return [along @ (self._targets / (self._values + strength)[:, None]) for strength in strengths]
