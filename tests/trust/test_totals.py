"""Two answers a cell, added up in any pieces, against NumPy and SciPy over all of them at once."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from fullconv.trust.totals import Totals


def added(mapped: np.ndarray, crops: np.ndarray, pieces: int) -> Totals:
    totals = Totals(mapped.shape[1])
    cells = [(i // 5, i % 5) for i in range(len(mapped))]
    for part in np.array_split(np.arange(len(mapped)), pieces):
        totals.add([cells[i] for i in part], mapped[part], crops[part])
    return totals


@pytest.mark.parametrize("pieces", [1, 3, 30])
def test_numbers_do_not_depend_on_the_pieces(pieces: int) -> None:
    rng = np.random.default_rng(1)
    crops = rng.standard_normal((30, 7)).astype(np.float32)
    mapped = (crops + rng.standard_normal((30, 7)) / 3).astype(np.float32)
    found, gaps = added(mapped, crops, pieces), np.abs(mapped - crops)
    assert (found.compared, found.apart, found.neither) == (30, 0, 0)
    assert found.agree == (mapped.argmax(axis=1) == crops.argmax(axis=1)).sum()
    assert found.largest == gaps.max()
    assert found.magnitude == np.abs(crops).max()
    assert found.mean == pytest.approx(gaps.mean(dtype=np.float64), rel=1e-6)
    np.testing.assert_array_equal(found.by_class, gaps.max(axis=0))
    worst = int(gaps.max(axis=1).argmax())
    assert found.worst == (worst // 5, worst % 5)
    assert found.rank == pytest.approx(np.mean([spearmanr(a, b)[0] for a, b in zip(mapped, crops, strict=True)]))
    np.testing.assert_array_equal(np.concatenate(found.gaps), gaps.max(axis=1))


@pytest.mark.parametrize("pieces", [1, 4, 20])
def test_numbers_that_are_none(pieces: int) -> None:
    """The same on both sides is no difference and no agreement; on one side alone it is the worst that there is, wherever it stands."""
    rng = np.random.default_rng(2)
    crops = rng.standard_normal((20, 3)).astype(np.float32)
    mapped = crops + np.float32(0.5)
    mapped[3] = crops[3] = np.nan
    mapped[4, 1] = crops[4, 1] = np.inf
    mapped[12, 2] = np.nan
    mapped[17, 0], crops[17, 0] = np.inf, -np.inf
    mapped[19] = crops[19] + 9
    found = added(mapped, crops, pieces)
    assert (found.compared, found.apart, found.neither) == (20, 2, 2)
    assert found.agree == 16
    assert found.worst in ((2, 2), (3, 2))  # cells 12 and 17
    assert found.largest == pytest.approx(9)
