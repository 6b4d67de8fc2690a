"""Which cells are taken: every class its part, the unsure more than theirs, and each weighs what it stands for."""

from __future__ import annotations

import numpy as np
import pytest

from fullconv.adaptation.asked import images_drawn
from fullconv.adaptation.sample import spread, strata


def test_cells_are_spread_over_winners_and_what_is_unsure() -> None:
    rng = np.random.default_rng(0)
    winners = np.where(np.arange(1600) < 20, 2, (rng.random(1600) < 0.1).astype(int))
    rng.shuffle(winners)
    sure = rng.random(1600)
    taken, weight = spread(winners, sure, 400, 0)
    assert len(taken) == len(set(taken)) == 400
    counts = np.bincount(winners[taken])
    assert counts[2] == 20  # the rare class has more than its share
    shares = np.bincount(winners[taken], weights=weight) / weight.sum()
    np.testing.assert_allclose(shares, np.bincount(winners) / 1600, atol=1e-9)  # and counts for no more
    most = taken[winners[taken] == 0]
    lowest = sure[winners == 0] <= np.quantile(sure[winners == 0], 0.25)
    assert (sure[most] <= sure[winners == 0][lowest].max()).mean() == pytest.approx(0.5, abs=0.02)
    assert float(np.average(sure[taken], weights=weight)) == pytest.approx(sure.mean(), abs=0.02)
    assert np.histogram(taken, bins=4, range=(0, 1600))[0].min() > 80  # all over the map


def test_what_is_not_sure_of_anything_is_spread_evenly() -> None:
    winners, sure = strata(np.zeros((100, 1), np.float32), "regression")
    taken, weight = spread(winners, sure, 25, 0)
    assert set(np.diff(taken)) == {4}
    assert set(weight) == {1.0}
    every, alike = spread(winners, sure, 100, 0)
    assert list(every) == list(range(100))
    assert set(alike) == {1.0}


def test_more_parts_than_cells_are_no_more_cells_than_parts() -> None:
    winners = np.arange(300) // 2
    taken, _ = spread(winners, np.zeros(300), 50, 0)
    assert 150 <= len(taken) <= 300


@pytest.mark.parametrize(
    ("kind", "winners", "sure"), [("softmax", [0, 2], [1.0, 2.0]), ("sigmoid", [2, 1], [1.0, 1.0])]
)
def test_strata(kind, winners: list[int], sure: list[float]) -> None:
    found = strata(np.array([[3.0, 2, -1], [-2, -1, 1]], np.float32), kind)
    assert list(found[0]) == winners
    np.testing.assert_allclose(found[1], sure)


def test_of_many_images_as_many_are_drawn_as_crops() -> None:
    assert images_drawn(3, 100, 0) == [0, 1, 2]
    drawn = images_drawn(1000, 100, 0)
    assert len(set(drawn)) == 100
    assert drawn == sorted(drawn) == images_drawn(1000, 100, 0) != images_drawn(1000, 100, 1)
