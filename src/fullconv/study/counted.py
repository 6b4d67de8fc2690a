"""The classes of a map as a study's table has them: what each shows, with areas in one unit and peaks."""

from __future__ import annotations

from collections.abc import Sequence

from fullconv.exports.images import overviews
from fullconv.maps.areas import cell_area
from fullconv.maps.classmap import ClassMap
from fullconv.maps.summary import shares_of
from fullconv.study.outcome import OfClass

_UNITS = {"micrometer": "mm2", "meter": "km2"}
_SMALL = 1e6  # small units of area, µm² and m², in a large one


def unit_of(result: ClassMap) -> str:
    """The unit of a map's areas, empty where it has none."""
    return "" if cell_area(result) is None else _UNITS.get(result.place.unit, "")


def counted(result: ClassMap, chosen: Sequence[int], threshold: float | None) -> tuple[int, tuple[OfClass, ...]]:
    """Cells with an answer, and what each class of a map shows; of a network that gives the winner's number, each number that stands there.

    Args:
        chosen: classes whose peaks are counted, by index.
        threshold: cells that score so much are counted too; None where no threshold means anything.
    """
    if result.score_kind == "winner":  # no classes, but numbers of them
        shares = shares_of(result)
        answered = sum(each.cells for each in shares)
        return answered, tuple(OfClass(each.label, each.cells, each.cells / answered) for each in shares)
    answered, seen = overviews(result, threshold)
    area = cell_area(result)
    cell = None if area is None or not unit_of(result) else area / _SMALL
    found = []
    for i, (label, each) in enumerate(zip(result.labels, seen, strict=True)):
        peaks = len(result.peaks(i, threshold)) if i in chosen and threshold is not None else None
        covered, over = (None if cell is None or many is None else many * cell for many in (each.cells, each.over))
        found.append(OfClass(label, each.cells, each.share, covered, each.best, each.x, each.y, each.over, over, peaks))
    return answered, tuple(found)
