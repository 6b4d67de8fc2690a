"""Clopper and Pearson's bound against SciPy's, and the promise that is made of it, held against what is true."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fullconv.confirmation.bound import best_level, least_sample, most_wrong, upper_bound
from fullconv.confirmation.threshold import ALL_SURE, threshold
from fullconv.errors import BadInput


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.999])
@pytest.mark.parametrize(("wrong", "of"), [(0, 1), (0, 299), (1, 299), (7, 1000), (40, 50), (300, 5000), (9, 9)])
def test_the_bound(wrong: int, of: int, confidence: float) -> None:
    expected = 1.0 if wrong == of else stats.beta.ppf(confidence, wrong + 1, of - wrong)
    assert upper_bound(wrong, of, confidence) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("share", [0.001, 0.01, 0.05, 0.3])
@pytest.mark.parametrize("of", [1, 29, 299, 300, 1000, 4000])
def test_as_many_wrong_as_the_bound_allows(of: int, share: float) -> None:
    most = most_wrong(of, share, 0.95)
    assert most < 0 or stats.beta.ppf(0.95, most + 1, of - most) <= share
    assert stats.beta.ppf(0.95, most + 2, of - most - 1) > share
    assert most < 0 or most <= of * share - 1, "what Hoeffding's theorem on unlike chances asks for"


def test_least_samples() -> None:
    assert [least_sample(share, 0.95) for share in (0.1, 0.05, 0.01, 0.001)] == [29, 59, 299, 2995]
    for of in (29, 299, 1000):
        level = best_level(of, 0.95)
        assert most_wrong(of, 1 - level + 1e-9, 0.95) == 0
        assert most_wrong(of, 1 - level - 1e-6, 0.95) == -1
    with pytest.raises(BadInput, match="nothing was looked at"):
        best_level(0, 0.95)


def test_the_threshold_leaves_as_many_wrong_as_may_be() -> None:
    sure = np.array([5.0, 4.0, 3.0, 2.0, 1.0, 6.0])
    wrong = np.array([False, True, False, True, True, False])
    assert threshold(sure, wrong, 0) == 4.0
    assert threshold(sure, wrong, 1) == 2.0
    assert threshold(sure, wrong, 3) == ALL_SURE
    ties = np.full(6, 2.0)
    assert threshold(ties, wrong, 1) == 2.0, "of cells that are equally sure all are run as crops"


def test_the_promise_holds_in_all_but_one_of_twenty_samples() -> None:
    """Of 100,000 cells those with small margins are wrong more often; the sample is stratified along them as along a map."""
    chance = np.random.default_rng(0)
    sure = np.abs(chance.normal(size=100_000)) * 3
    wrong = chance.random(len(sure)) < 0.4 * np.exp(-sure)
    share, size, broken, stands = 0.02, 400, 0, []
    for _ in range(200):
        drawn = chance.integers(len(sure), size=size)
        least = threshold(sure[drawn], wrong[drawn], most_wrong(size, share, 0.95))
        broken += (wrong & (sure > least)).mean() > share
        stands.append((sure > least).mean())
    assert broken <= stats.binom.ppf(0.999, 200, 0.05)
    assert broken >= 1, "a bound that is never broken is wider than it need be"
    assert 0.2 < np.mean(stands) < 0.9
