"""Cells of both sides of a fold share no image, or lie a gap apart."""

from __future__ import annotations

import numpy as np

from fullconv.adaptation.folds import folds_of


def cells(images: int, count: int, size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return np.repeat(np.arange(images), count), rng.integers(0, size, (images * count, 2))


def test_many_images_are_parted_by_image() -> None:
    image, at = cells(7, 30, 40)
    folds = folds_of(image, at, [(9, 9)])
    assert folds.gap is None
    assert len(folds.parts) == 5
    for fitted, tested in folds.parts:
        assert not set(image[fitted]) & set(image[tested])
        assert len(fitted) + len(tested) == len(image)
    assert sorted(np.concatenate([tested for _, tested in folds.parts])) == list(range(len(image)))


def test_few_images_are_parted_by_strips_a_gap_apart() -> None:
    image, at = cells(2, 300, 60)
    at[image == 1, 0] //= 2  # wider than high, and higher than wide
    at[image == 0, 1] //= 2
    folds = folds_of(image, at, [(12, 9)])
    assert folds.gap == (12, 9)
    for fitted, tested in folds.parts:
        for each in (0, 1):
            own, others = at[tested[image[tested] == each]], at[fitted[image[fitted] == each]]
            gaps = np.abs(own[:, None] - others[None])
            assert ((gaps[..., 0] >= 12) | (gaps[..., 1] >= 9)).all()
    assert sorted(np.concatenate([tested for _, tested in folds.parts])) == list(range(len(image)))


def test_a_gap_that_leaves_hardly_anything_gives_way_to_the_next() -> None:
    image, at = cells(1, 400, 50)
    assert folds_of(image, at, [(40, 40), (5, 5)]).gap == (5, 5)
    assert folds_of(image, at, [(6, 6), (5, 5)]).gap == (6, 6)
