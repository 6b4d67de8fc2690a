"""The classes of a map as a study's table has them, counted in one pass over it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fullconv.maps.areas import cell_area
from fullconv.maps.classmap import ClassMap
from fullconv.study.outcome import OfClass

_UNITS = {"micrometer": "mm2", "meter": "km2"}
_SMALL = 1e6  # small units of area, µm² and m², in a large one


def unit_of(result: ClassMap) -> str:
    """The unit of a map's areas, empty where it has none."""
    return "" if cell_area(result) is None else _UNITS.get(result.place.unit, "")


def counted(result: ClassMap, chosen: Sequence[int], threshold: float | None) -> tuple[int, tuple[OfClass, ...]]:
    """Cells with an answer, and what each class of a map shows.

    Args:
        chosen: classes whose peaks are counted, by index.
        threshold: cells that score so much are counted too; None where no threshold means anything.
    """
    count = len(result.labels)
    wins, over = np.zeros(count, np.int64), np.zeros(count, np.int64)
    best, at = np.full(count, -np.inf, np.float32), np.zeros((count, 2), np.int64)
    for top, left, winners in result.winning():
        wins += np.bincount(winners[winners >= 0], minlength=count)
        part = np.asarray(result.scores[:, top : top + winners.shape[0], left : left + winners.shape[1]])
        if threshold is not None:
            over += (part >= threshold).sum(axis=(1, 2))  # false where there is no answer
        flat = np.where(np.isnan(part), -np.inf, part).reshape(count, -1)
        where = flat.argmax(axis=1)
        highest = flat[np.arange(count), where]
        better = highest > best
        best[better] = highest[better]
        rows, cols = np.divmod(where, winners.shape[1])
        at[better] = np.stack([rows + top, cols + left], axis=1)[better]
    answered, area = int(wins.sum()), cell_area(result)
    cell = None if area is None or not unit_of(result) else area / _SMALL
    found = []
    for i, label in enumerate(result.labels):
        seen = not np.isneginf(best[i])
        x, y = result.centre(int(at[i, 0]), int(at[i, 1])) if seen else (None, None)
        peaks = len(result.peaks(i, threshold)) if i in chosen and threshold is not None else None
        many = int(over[i]) if threshold is not None else None
        found.append(
            OfClass(
                label, int(wins[i]), int(wins[i]) / max(1, answered), None if cell is None else int(wins[i]) * cell,
                float(best[i]) if seen else None, x, y, many, None if cell is None or many is None else many * cell, peaks,
            )
        )  # fmt: skip
    return answered, tuple(found)
