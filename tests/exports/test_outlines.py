"""Outlines of regions are what shapely puts together of their cells, valid, with corners alone; the best cell is the best."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from fullconv.errors import BadInput
from fullconv.exports.outlines import rings_of
from fullconv.exports.regions import regions_of
from fullconv.geometry.grid import Grid
from fullconv.maps.classmap import ClassMap

shapely = pytest.importorskip("shapely")


def mapped(scores: np.ndarray) -> ClassMap:
    rows, cols = scores.shape
    crop, middle = (Fraction(8),) * 2, (Fraction(7, 2),) * 2
    grid = Grid(rows, cols, (Fraction(1),) * 2, crop, middle, crop, (rows + 7, cols + 7))
    return ClassMap(scores[None].astype(np.float32), grid, ("a",), score_kind="probabilities")


@pytest.mark.parametrize("seed", range(200))
def test_an_outline_is_the_union_of_its_cells(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = np.rint(10 * rng.random(rng.integers(1, 14, 2)) ** rng.uniform(0.3, 2)).astype(np.float32) / 10
    for region in regions_of(mapped(scores), (0,), 0.45):
        rings = rings_of(region.runs)
        outline = shapely.Polygon(rings[0], rings[1:])
        rows, firsts, lasts = region.runs.T.astype(float)
        whole = shapely.union_all(shapely.box(firsts, rows, lasts, rows + 1))
        assert outline.is_valid
        assert outline.equals(whole)
        assert outline.area == region.cells
        for ring in rings:  # every corner turns
            steps = np.diff(ring, axis=0, append=ring[:1])
            assert ((steps == 0).sum(axis=1) == 1).all()
            assert ((steps == 0)[1:] != (steps == 0)[:-1]).all()
        cells = [(int(row), col) for row, first, last in region.runs for col in range(first, last)]
        assert region.at == min(cells, key=lambda cell: (-scores[cell], cell))


def test_holes_that_touch_are_rings_of_their_own() -> None:
    scores = np.array([[1, 1, 1, 1], [1, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 1]])
    (region,) = regions_of(mapped(scores), (0,), 0.5)
    outline, *holes = rings_of(region.runs)
    assert outline.tolist() in ([[0, 0], [4, 0], [4, 4], [0, 4]], [[0, 4], [0, 0], [4, 0], [4, 4]])
    assert [sorted(map(tuple, hole.tolist())) for hole in holes] == [
        [(1, 1), (1, 2), (2, 1), (2, 2)], [(2, 2), (2, 3), (3, 2), (3, 3)],
    ]  # fmt: skip


def test_more_stretches_than_are_wanted_end_the_search() -> None:
    board = mapped(np.indices((40, 40)).sum(axis=0) % 2)
    assert sum(region.cells for region in regions_of(board, (0,), 0.5, 800)) == 800
    with pytest.raises(BadInput, match="more than 700 stretches; choose a higher threshold"):
        list(regions_of(board, (0,), 0.5, 700))
