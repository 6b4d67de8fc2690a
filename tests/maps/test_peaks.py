"""Peaks against SciPy's labels, plateau by plateau, however the map is cut into blocks; boxes against a plain loop and ONNX's operator."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from fullconv.maps.peaks import best_apart, local_maxima

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
