"""The ladder finds what was put there, takes nothing where there is nothing, and measures as SciPy does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import log_softmax, rel_entr, softmax

from fullconv.adaptation.folds import Folds
from fullconv.adaptation.ladder import Rung, Samples, chosen, climb, weights_of
from fullconv.adaptation.measure import Measure

STEPS = [("mixing", 0), ("last", 1), ("all", 2)]


def made(depth: int, noise: float = 0.05, cells: int = 300) -> tuple[Samples, Folds]:
    """Crops' logits that follow from the map's and so many levels."""
    rng = np.random.default_rng(depth)
    logits = rng.standard_normal((cells, 4)).astype(np.float32)
    means = [rng.standard_normal((cells, 3, 3, 3)).astype(np.float32) for _ in range(2)]
    read = [logits, *(m.reshape(cells, -1) for m in reversed(means))]
    moves = sum(part @ rng.standard_normal((part.shape[1], 4)) / np.sqrt(part.shape[1]) for part in read[:depth])
    crops = (logits + moves + noise * rng.standard_normal((cells, 4))).astype(np.float32)
    number = np.arange(cells)
    parts = tuple((number[number % 4 != i], number[number % 4 == i]) for i in range(4))
    return Samples(logits, means, crops, np.ones(cells)), Folds(parts, "draws", None)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_step_that_was_put_there_is_found_and_undone(depth: int) -> None:
    samples, folds = made(depth)
    rungs = climb(samples, folds, Measure("softmax"), STEPS)
    rung = chosen(rungs)
    assert rung.levels >= depth - 1
    assert rung.agreement > 0.9 > rungs[0].agreement
    assert rung.divergence < 0.1 * rungs[0].divergence
    weights, bias, spread = weights_of(samples, Measure("softmax"), rung)
    assert spread is None
    moved = samples.logits + samples.read(rung.levels) @ weights + bias
    assert Measure("softmax").agreements(samples.crops, moved).mean() > 0.9


def test_moves_along_a_few_directions_lose_nothing_through_a_few_numbers() -> None:
    samples, folds = made(2, noise=0)
    directions = np.linalg.qr(np.random.default_rng(5).standard_normal((4, 2)))[0]
    moves = (samples.crops - samples.logits) @ directions @ directions.T
    samples = replace(samples, crops=(samples.logits + moves).astype(np.float32))
    whole, through = (chosen(climb(replace(samples, rank=r), folds, Measure("softmax"), STEPS)) for r in (None, 2))
    assert through.divergence == pytest.approx(whole.divergence, rel=0.05, abs=1e-6)
    weights, bias, spread = weights_of(replace(samples, rank=2), Measure("softmax"), through)
    assert weights.shape[1] == 2
    moved = samples.logits + samples.read(through.levels) @ weights @ spread.T + bias
    assert Measure("softmax").agreements(samples.crops, moved).mean() > 0.95
    one = chosen(climb(replace(samples, rank=1), folds, Measure("softmax"), STEPS))
    assert one.divergence > 2 * through.divergence


def test_noise_is_no_step() -> None:
    samples, folds = made(1)
    rng = np.random.default_rng(9)
    noisy = Samples(samples.logits, samples.means, samples.logits, samples.weight)
    assert chosen(climb(noisy, folds, Measure("softmax"), STEPS)).name == "nothing"  # no crop differs from the map
    far = (samples.logits + 0.3 * rng.standard_normal(samples.logits.shape)).astype(np.float32)
    rung = chosen(climb(Samples(samples.logits, samples.means, far, samples.weight), folds, Measure("softmax"), STEPS))
    assert rung.name == "nothing" or rung.agreement > 0.8


def test_a_step_must_improve_both() -> None:
    rungs = [Rung(*each) for each in (
        ("nothing", 0, 0, 0.0, 1.0, 0.8), ("near", 0, 4, 1.0, 0.2, 0.8), ("both", 1, 9, 1.0, 0.9, 0.81), ("far", 2, 9, 1.0, 1.1, 0.9),
    )]  # fmt: skip
    assert chosen(rungs).name == "both"
    assert chosen([rungs[0], rungs[1], rungs[3]]).name == "nothing"
    alike = Rung("alike", 2, 9, 1.0, 0.95, 0.85)
    assert chosen([*rungs, alike]).name == "alike"  # as near, and more agree


def test_divergences_are_those_of_scipy() -> None:
    rng = np.random.default_rng(0)
    crops, own = rng.standard_normal((2, 20, 5)) * 4
    found = Measure("softmax").divergences(crops, own)
    np.testing.assert_allclose(found, rel_entr(softmax(crops, axis=1), softmax(own, axis=1)).sum(axis=1), atol=1e-12)
    np.testing.assert_allclose(found, Measure("softmax").divergences(crops + 3, own - 7), atol=1e-9)
    p, q = 1 / (1 + np.exp(-crops)), 1 / (1 + np.exp(-own))
    both = (rel_entr(p, q) + rel_entr(1 - p, 1 - q)).sum(axis=1)
    np.testing.assert_allclose(Measure("sigmoid").divergences(crops, own), both, atol=1e-12)
    np.testing.assert_allclose(Measure("regression").divergences(crops, own), ((crops - own) ** 2).mean(axis=1))
    moved = own + Measure("softmax").target(crops, own)
    np.testing.assert_allclose(log_softmax(moved, axis=1), log_softmax(crops, axis=1), atol=1e-12)


def test_agreement_is_of_winners_labels_or_near_numbers() -> None:
    crops, own = np.array([[2.0, -1, 1], [0, 3, 1]]), np.array([[1.0, -3, -1], [4, 3, -1]])
    assert list(Measure("softmax").agreements(crops, own)) == [1, 0]
    np.testing.assert_allclose(Measure("sigmoid").agreements(crops, own), [2 / 3, 2 / 3])
    np.testing.assert_allclose(Measure("regression", 2.0).agreements(crops, own), [1, 2 / 3])
