"""Cells parted for cross-validation, so that what is tested shares no pixel with what was fitted: by image, or by strips of one a gap apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]
_FOLDS = 5
_STRIPS = 4  # an image
_ENOUGH_IMAGES = 4
_KEPT = 0.5  # of the other cells, that a gap must leave to be fitted on


@dataclass(frozen=True, slots=True)
class Folds:
    """Cells by number, fitted on and tested, and what parts the two.

    Attributes:
        parts: (fitted on, tested) for each fold.
        by: in words.
        gap: (rows, cols) between them within an image; None where no image is on both sides.
    """

    parts: tuple[tuple[Numbers, Numbers], ...]
    by: str
    gap: tuple[int, int] | None


def folds_of(image: Numbers, at: Numbers, gaps: Sequence[tuple[int, int]]) -> Folds:
    """Folds of cells.

    Args:
        image: (cells,).
        at: (cells, 2), rows and columns.
        gaps: (rows, cols) that parts of an image may lie apart, the largest first; the last is taken where none leaves enough.
    """
    images, counts = np.unique(image, return_counts=True)
    if len(images) >= _ENOUGH_IMAGES:
        fold = _dealt(counts, min(_FOLDS, len(images)))[np.searchsorted(images, image)]
        parts = tuple((np.flatnonzero(fold != i), np.flatnonzero(fold == i)) for i in np.unique(fold))
        return Folds(parts, f"image ({len(images)})", None)
    strip = np.zeros(len(image), np.int64)
    along = np.zeros(len(image), np.int64)
    for each in images:
        own = np.flatnonzero(image == each)
        side = int(np.ptp(at[own, 1]) > np.ptp(at[own, 0]))
        along[own] = side
        ranks = np.searchsorted(np.sort(at[own, side]), at[own, side])  # cells of a row or column stay together
        strip[own] = np.minimum(ranks * _STRIPS // len(own), _STRIPS - 1)
    for gap in gaps:
        parts = tuple(_apart(image, at, along, strip, i, gap) for i in np.unique(strip))
        others = sum(len(image) - len(tested) for _, tested in parts)
        if len(parts) > 1 and sum(len(fitted) for fitted, _ in parts) >= _KEPT * others:
            break
    return Folds(parts, f"strips of an image, {gap[0]}×{gap[1]} cells apart", gap)


def _dealt(counts: Numbers, folds: int) -> Numbers:
    """The fold of each image, so that all have about as many cells."""
    fold, total = np.zeros(len(counts), np.int64), np.zeros(folds, np.int64)
    for i in np.argsort(-counts, kind="stable"):
        fold[i] = total.argmin()
        total[fold[i]] += counts[i]
    return fold


def _apart(
    image: Numbers, at: Numbers, along: Numbers, strip: Numbers, number: int, gap: tuple[int, int]
) -> tuple[Numbers, Numbers]:
    """The cells of a strip of every image, and those that lie a gap from it."""
    tested = strip == number
    fitted = ~tested
    for each in np.unique(image[tested]):
        own = image == each
        side = int(along[own][0])
        first, last = at[own & tested, side].min(), at[own & tested, side].max()
        fitted &= ~(own & (at[:, side] > first - gap[side]) & (at[:, side] < last + gap[side]))
    return np.flatnonzero(fitted), np.flatnonzero(tested)
