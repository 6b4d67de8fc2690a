"""Intervals against SciPy, against numbers in print, and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fullconv.trust.intervals import Mean, Share, wilson


@pytest.mark.parametrize(("count", "of"), [(0, 5), (5, 5), (1, 3), (50, 50), (81, 263), (931, 1000), (0, 1)])
@pytest.mark.parametrize("confidence", [0.95, 0.99])
def test_wilson_is_scipys(count: int, of: int, confidence: float) -> None:
    expected = stats.binomtest(count, of).proportion_ci(confidence, method="wilson")
    assert wilson(count / of, of, confidence) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_as_in_print() -> None:
    """Newcombe, Statistics in Medicine 17 (1998): 81 of 263 is .2553 to .3662."""
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [((56, 70), (48, 80), (0.0524, 0.3339)), ((9, 10), (3, 10), (0.1705, 0.8090)), ((10, 10), (0, 20), (0.6791, 1.0))],
)  # as above, the paper on differences, table II, method 10
def test_differences_as_in_print(first: tuple, second: tuple, expected: tuple) -> None:
    assert Share(*first).less(Share(*second)) == pytest.approx(expected, abs=5e-5)


def test_nothing_is_known_of_no_trial() -> None:
    assert Share(0, 0).share is None
    assert Share(0, 0).ends == (0, 1)
    assert Share(0, 0).less(Share(3, 4)) == (-1, 1)
    assert str(Share(0, 0)) == "no cell"
    for wrong in ((3, 2), (-1, 2), (1, 2, 3)):
        with pytest.raises(ValueError, match="of"):
            Share(*wrong)


def test_moves_of_one_crop_are_no_two_trials() -> None:
    """Pairs that always go together: the interval of a share of pairs holds the truth as often as it says."""
    rng = np.random.default_rng(0)
    together = rng.binomial(100, 0.9, 4000)
    held = [low <= 0.9 <= high for low, high in (Share(2 * int(k), 200, 100).ends for k in together)]
    narrow = [low <= 0.9 <= high for low, high in (Share(2 * int(k), 200).ends for k in together)]
    assert np.mean(held) > 0.92
    assert np.mean(narrow) < 0.9


def test_a_mean_and_its_interval() -> None:
    values = np.random.default_rng(0).normal(0.3, 2, 400)
    mean = Mean(400, float(values.sum()), float((values**2).sum()))
    low, high = stats.norm.interval(0.99, values.mean(), values.std(ddof=1) / 20)
    assert mean.mean == pytest.approx(values.mean())
    assert mean.half(0.99) == pytest.approx((high - low) / 2)
    assert Mean(29, 1.0, 1.0).half() is None
    assert Mean(29, 1.0, 1.0).to_json()["interval"] is None
