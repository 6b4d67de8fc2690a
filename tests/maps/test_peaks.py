"""Peaks against SciPy's labels, plateau by plateau, however the map is cut into blocks; boxes against a plain loop and ONNX's operator."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from fullconv.geometry.grid import Grid
from fullconv.maps.classmap import ClassMap
from fullconv.maps.peaks import best_apart, highest, local_maxima

AROUND = np.ones((3, 3))
maps = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    elements=st.sampled_from([0.0, 1.0, 2.0, 3.0, float("nan")]),
)


def plateaus(scores: np.ndarray, threshold: float) -> list[tuple[float, np.ndarray]]:
    """Regions of one score without a higher neighbour, by SciPy."""
    found = []
    for value in np.unique(scores[scores >= threshold]):
        labels, count = ndimage.label(scores == value, AROUND)
        for i in range(1, count + 1):
            mask = labels == i
            if not (scores[ndimage.binary_dilation(mask, AROUND) & ~mask] > value).any():
                found.append((float(value), mask))
    return found


@given(maps, st.integers(1, 5), st.integers(1, 5), st.integers(0, 2), st.randoms())
@settings(max_examples=150, deadline=None)
def test_one_peak_a_plateau_however_it_is_cut(scores, high: int, wide: int, threshold: int, random) -> None:
    rows, cols = scores.shape
    blocks = [(y, x, scores[y : y + high, x : x + wide]) for y in range(0, rows, high) for x in range(0, cols, wide)]
    random.shuffle(blocks)
    expected = plateaus(scores, threshold)
    found = local_maxima(blocks, threshold, (1, 1))
    assert [score for *_, score in found] == sorted((score for *_, score in found), reverse=True)
    assert len(found) == len(expected)
    for value, mask in expected:
        assert sum(bool(mask[row, col]) and score == value for row, col, score in found) == 1
    assert found == local_maxima([(0, 0, scores)], threshold, (1, 1)), "a peak does not depend on the cut"


def test_a_cone_is_one_peak_and_so_is_a_plain() -> None:
    y, x = np.mgrid[:120, :120]
    cone = (1 - np.hypot(y - 50, x - 70) / 200).astype(np.float32)
    assert [cell[:2] for cell in local_maxima([(0, 0, cone)], 0.1, (7, 7))] == [(50, 70)]
    plain = np.full((21, 31), 0.9, np.float32)
    assert [cell[:2] for cell in local_maxima([(0, 0, plain)], 0.5, (2, 2))] == [(10, 15)], "its middle"


def test_of_two_peaks_that_are_near_the_better_one() -> None:
    scores = np.zeros((1, 20), np.float32)
    scores[0, [2, 5, 8, 15]] = [0.7, 0.9, 0.8, 0.6]
    assert [cell[1] for cell in local_maxima([(0, 0, scores)], 0.5, (4, 4))] == [5, 15]
    assert [cell[1] for cell in local_maxima([(0, 0, scores)], 0.5, (3, 3))] == [5, 8, 2, 15]


def test_rows_and_columns_have_their_own_distance() -> None:
    scores = np.zeros((20, 20), np.float32)
    scores[2, 3], scores[5, 3] = 0.9, 0.8  # three rows apart
    scores[12, 8], scores[12, 11] = 0.9, 0.8  # three columns apart
    assert {cell[:2] for cell in local_maxima([(0, 0, scores)], 0.5, (4, 2))} == {(2, 3), (12, 8), (12, 11)}
    assert {cell[:2] for cell in local_maxima([(0, 0, scores)], 0.5, (2, 4))} == {(2, 3), (5, 3), (12, 8)}


@pytest.mark.parametrize(
    ("distance", "kept"),
    [(0, {(1, 1), (3, 1), (10, 4), (10, 6)}), (4, {(1, 1), (3, 1), (10, 4), (10, 6)}), (5, {(1, 1), (10, 4), (10, 6)}), (16, {(1, 1), (10, 4), (10, 6)}), (17, {(1, 1), (10, 4)}), (None, {(1, 1), (10, 4)})],
)  # fmt: skip
def test_a_distance_is_in_pixels_of_the_image(distance: float | None, kept: set[tuple[int, int]]) -> None:
    """Cells 2 pixels high and 8 wide: peaks 4 pixels apart down the image, and 16 along it; half a crop is 6 by 20."""
    grid = Grid(14, 9, *((Fraction(a), Fraction(b)) for a, b in ((2, 8), (12, 40), (5, 19), (12, 40))), (38, 104))
    scores = np.zeros((1, 14, 9), np.float32)
    scores[0, [1, 3, 10, 10], [1, 1, 4, 6]] = 0.9, 0.8, 0.9, 0.8
    found = ClassMap(scores, grid, ("a",), score_kind="probabilities").peaks("a", 0.5, distance)
    assert {(peak.row, peak.col) for peak in found} == kept


def test_a_slope_over_the_edge_of_a_block_has_no_peak_behind_it() -> None:
    """Of each block the cells at its sides count though they are beaten within it: what lies beyond is lower."""
    slope = np.broadcast_to(np.array([4, 3, 2, 1], np.float32), (5, 4)) + np.array(
        [[0], [0], [5], [0], [0]], np.float32
    )
    for scores in (slope, slope[:, ::-1], slope.T, slope.T[::-1]):
        high, wide = scores.shape
        for down, right in ((5, 2), (2, 5), (3, 3)):
            blocks = [
                (y, x, scores[y : y + down, x : x + right]) for y in range(0, high, down) for x in range(0, wide, right)
            ]
            assert [score for *_, score in local_maxima(blocks, 0.5, (1, 1))] == [9]


def test_an_endless_score_is_a_peak_and_none_is_no_neighbour() -> None:
    scores = np.zeros((9, 9), np.float32)
    scores[4, 4], scores[4, 5], scores[1, 1] = np.inf, np.nan, 0.5
    for cut in (9, 3, 1):
        blocks = [(y, x, scores[y : y + cut, x : x + cut]) for y in range(0, 9, cut) for x in range(0, 9, cut)]
        assert local_maxima(blocks, 0.5, (1, 1)) == [(4, 4, np.inf), (1, 1, 0.5)]
        scores_of = highest((y, x, part) for y, x, part in blocks)
        assert scores_of == (4, 4, np.inf)


def test_boxes_as_a_plain_loop_has_them() -> None:
    rng = np.random.default_rng(0)
    for overlap in (0.0, 0.3, 0.7):
        first = rng.random((200, 2)) * 60
        boxes = np.concatenate([first, first + 2 + rng.random((200, 2)) * 20], axis=1)
        scores = rng.integers(0, 30, 200) / 30
        expected: list[int] = []
        for i in sorted(range(200), key=lambda i: -scores[i]):
            shared = []
            for j in expected:
                w, h = np.minimum(boxes[i, 2:], boxes[j, 2:]) - np.maximum(boxes[i, :2], boxes[j, :2])
                both = max(w, 0) * max(h, 0)
                areas = np.prod(boxes[i, 2:] - boxes[i, :2]) + np.prod(boxes[j, 2:] - boxes[j, :2])
                shared.append(both / (areas - both))
            if all(share <= overlap for share in shared):
                expected.append(i)
        assert best_apart(boxes, scores, overlap) == expected
    assert best_apart([], [], 0.3) == []
