"""The ridge against least squares of the augmented system, and its two ways against each other."""

from __future__ import annotations

import numpy as np
import pytest

from fullconv.adaptation.ridge import Path, Scaled, weights


@pytest.mark.parametrize(("samples", "features"), [(40, 7), (12, 30), (20, 20)])
@pytest.mark.parametrize("strength", [1e-3, 1.0, 50.0])
def test_weights_are_the_least_squares_of_the_augmented_system(samples: int, features: int, strength: float) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((samples, features)), rng.standard_normal((samples, 3))
    augmented = np.vstack([x, np.sqrt(strength) * np.eye(features)])
    expected = np.linalg.lstsq(augmented, np.vstack([y, np.zeros((features, 3))]), rcond=None)[0]
    for dual in (False, True, None):
        np.testing.assert_allclose(weights(x, y, strength, dual), expected, atol=1e-9)
        other = rng.standard_normal((5, features))
        found = Path(x, y, dual).predictions(other, np.array([strength, 7.0]))
        np.testing.assert_allclose(found[0], other @ expected, atol=1e-8)


def test_features_are_scaled_by_what_they_were_learnt_on() -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((50, 3)) * [1, 100, 0] + [0, 5, 7]
    scaled = Scaled(x, np.array([1.0, 10.0, 1.0]))
    found = scaled.of(x)
    np.testing.assert_allclose(found.std(axis=0), [1, 10, 0], atol=1e-12)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-12)
    assert not scaled.of(x + 3)[:, 2].any()  # what is constant says nothing, whatever it becomes
