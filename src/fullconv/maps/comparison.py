"""Two maps of one image, cell by cell: of two models, two versions, or two ways to run one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fullconv.errors import BadInput, FullconvError
from fullconv.geometry.grid import Grid
from fullconv.maps.against import Against, Gap
from fullconv.maps.classmap import ClassMap
from fullconv.maps.kinds import Kinds
from fullconv.maps.labels import classes_named
from fullconv.maps.shared import Shared
from fullconv.maps.shown import png_of
from fullconv.maps.summary import image_name
from fullconv.render.components import FEATURES
from fullconv.system.guard import guarded, reads
from fullconv.system.notebook import as_html, counted

if TYPE_CHECKING:
    from fullconv.render.canvas import Canvas

Result = ClassMap | str | Path
_PAIRS = 100  # of classes that are kept, the most frequent


@dataclass(frozen=True, slots=True)
class ClassAgreement:
    """One class in both maps.

    Attributes:
        first, second, both: cells that are of it in one map, in the other, and in both: that it wins, or, with a threshold, that score so much.
        gap: mean of the second map's score less the first's, None where the two have no scores to compare.
    """

    label: str
    first: int
    second: int
    both: int
    gap: float | None = None

    @property
    def overlap(self) -> float | None:
        """Intersection over union, None of a class that is nowhere."""
        union = self.first + self.second - self.both
        return self.both / union if union else None


@dataclass(frozen=True)
class Comparison:
    """What two maps have in common.

    Attributes:
        names: of the two.
        grid: the cells that are compared, the first map's or, where that is finer, the second's.
        compared: cells with an answer in both.
        agree: of these, cells of one winner; with classes and a threshold, cells that are, for each of these classes, above it in both or in none.
        alone: cells with an answer in the first map only, and in the second only.
        off: pixels (y, x) by which centres of compared cells lie apart, at most.
        classes: classes that either map has, in the first's order.
        pairs: of cells that do not agree, winner in the first, winner in the second, and how many, most first.
        largest: the cell whose scores differ most, None where scores are not compared.
        mean_gap: mean absolute difference of scores, None where they are not compared.
        apart: scores that are infinite or no number in one map and another in the other, of which no difference is told.
        threshold: of the classes, where it was asked for; winners are compared without.
        remarks: what is to be known of the two.
    """

    names: tuple[str, str]
    grid: Grid
    compared: int
    agree: int
    alone: tuple[int, int]
    off: tuple[float, float]
    classes: tuple[ClassAgreement, ...]
    pairs: tuple[tuple[str, str, int], ...]
    largest: Gap | None
    mean_gap: float | None
    apart: int
    threshold: float | None
    remarks: tuple[str, ...]
    _kinds: Kinds = field(repr=False, compare=False)
    _first: ClassMap = field(repr=False, compare=False)

    @property
    def share(self) -> float:
        """Cells that agree, of those compared."""
        return self.agree / self.compared

    def __repr__(self) -> str:
        return f"Comparison({counted(self.compared, 'cell')}, {self.share:.2%} agree)"

    def _repr_html_(self) -> str:
        """What notebooks show: the numbers, the classes, and where the two part."""
        rows = {"maps": "\n".join(self.names), "cells": str(self), "to be known": "\n".join(self.remarks)}
        titles = ("class", "cells in the first", "in the second", "in both", "overlap")
        classes = [
            (each.label, each.first, each.second, each.both, "" if each.overlap is None else f"{each.overlap:.2%}")
            for each in self.classes
        ]
        return as_html("Comparison", rows, [titles, *classes], self._repr_png_(), "where the two agree and part")

    def _repr_png_(self) -> bytes | None:
        """Where the two part, None where no picture of it can be made."""
        try:
            return png_of(self.picture().flat())
        except (FullconvError, OSError):  # an image that moved is no reason to show nothing
            return None

    def __str__(self) -> str:
        what = "have the same winner" if self.threshold is None else f"agree at a threshold of {self.threshold:g}"
        lines = [f"{self.agree:,} of {self.compared:,} cells ({self.share:.2%}) {what}"]
        if any(self.alone):
            lines.append(
                f"an answer in one map only: {self.alone[0]:,} cells in the first, {self.alone[1]:,} in the second"
            )
        if self.mean_gap == 0:
            lines.append("scores are equal" if not self.apart else "scores that are numbers in both are equal")
        elif self.mean_gap is not None and self.largest is not None:
            lines.append(f"scores differ by {self.mean_gap:.3g} on average")
            most = self.largest
            lines.append(
                f"and most at ({most.x:g}, {most.y:g}), {most.label!r}: {most.first:.4g} in the first, {most.second:.4g} in the second"
            )
        if self.apart:
            lines.append(f"{counted(self.apart, 'score')} infinite or no number in one map, and another in the other")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and names."""
        return {
            "maps": list(self.names), "cells": self.grid.in_numbers(), "compared": self.compared, "agree": self.agree, "share": self.share,
            "alone": list(self.alone), "off": list(self.off), "threshold": self.threshold,
            "classes": [{**asdict(each), "overlap": each.overlap} for each in self.classes],
            "pairs": [{"first": a, "second": b, "cells": count} for a, b, count in self.pairs],
            "largest": None if self.largest is None else asdict(self.largest), "mean_gap": self.mean_gap, "apart": self.apart, "remarks": list(self.remarks),
        }  # fmt: skip

    def picture(self, image: Any = None) -> Canvas:
        """Where they agree and where they part, over the image: the first map's, as far as it has one, or this.

        A cell that parts is in front where several share a pixel.
        """
        from fullconv.render.pictured import as_mapped
        from fullconv.render.reduced import thumbnail_of

        first = self._first
        image = first.image if image is None else image
        image = first.pixels if image is None else image
        under = None if image is None else thumbnail_of(first, image, as_mapped(first.record))
        of = "winning classes" if self.threshold is None else f"threshold {self.threshold:g}"
        return self._kinds.page(under, ("two maps of one image", of), place=first.place)


def compare(
    first: Result,
    second: Result,
    *,
    classes: str | int | None = None,
    threshold: float | None = None,
    partial: bool = False,
) -> Comparison:
    """Compare two maps of one image, in memory or as files and stores, piece by piece.

    Maps of other strides are compared at the coarser one's cells, with the other's cell whose centre is nearest, within half of its step.

    Args:
        first: a map, its file or its store.
        second: another of the same image; classes are matched by their names.
        classes: only these (``class`` of the command line): cells that are of them in both maps, in one, or in none are counted.
        threshold: a cell is of a class whose score is at least this, instead of the one that wins.
        partial: stores that are not finished are compared as far as they are.

    Raises:
        BadInput: they are of images of other sizes, have no class or no cell in common, are not finished, or the threshold means nothing for their scores.
    """
    with guarded():
        (name, opened), (other, beside) = _opened(first, 1, partial), _opened(second, 2, partial)
        return _compared((name, other), opened, beside, classes, threshold)


def _opened(given: Result, number: int, partial: bool) -> tuple[str, ClassMap]:
    found = given if isinstance(given, ClassMap) else ClassMap.load(given)
    name = str(given) if not isinstance(given, ClassMap) else str(getattr(found.scores, "name", "")) or f"map {number}"
    reads(getattr(found.scores, "name", None))
    if found.record is not None and not found.record.finished and not partial:
        raise BadInput(
            f"{name}: is not finished; go on with the command that made it, or compare what is there with --partial (partial=True)"
        )
    return name, found


def _compared(
    names: tuple[str, str], first: ClassMap, second: ClassMap, classes: str | int | None, threshold: float | None
) -> Comparison:
    for name, found in zip(names, (first, second), strict=True):
        if found.score_kind == FEATURES:
            raise BadInput(f"{name}: is of a layer's features, which win nothing; maps of scores are compared")
        if found.score_kind == "winner":
            raise BadInput(f"{name}: holds the winner's number, not scores of classes; maps of scores are compared")
    if first.grid.image != second.grid.image:
        sizes = [f"{found.grid.image[1]}×{found.grid.image[0]}" for found in (first, second)]
        raise BadInput(
            f"{names[0]} and {names[1]}: are of images of {sizes[0]} and {sizes[1]} px; maps of one image are compared"
        )
    shared = Shared.of(names, first.labels, second.labels)
    chosen = None if classes is None else classes_named(shared.labels, classes)
    if len(shared.labels) == 1:  # which wins over no other: the sides of a threshold are compared
        chosen, threshold = (0,), first.side if threshold is None else threshold
        if threshold is None:
            raise BadInput(
                f"{names[0]} and {names[1]}: one class wins every cell of both; give the score from which on a cell is of it (--threshold, threshold=)"
            )
    if threshold is not None:
        if chosen is None:
            raise BadInput(
                "a threshold is of some classes: give these too (--class, classes=); without it winners are compared"
            )
        for found in (first, second):
            found.least_score(threshold)
    count = Against(shared, first, second, chosen, threshold)
    count.count()
    if not count.compared:
        raise BadInput(f"{names[0]} and {names[1]}: no cell has an answer in both")
    each_class = zip(shared.labels, *count.members.tolist(), count.gaps, strict=True)
    return Comparison(
        names, count.grid, count.compared, count.agree, count.alone, count.off,
        tuple(ClassAgreement(*each) for i, each in enumerate(each_class) if chosen is None or i in chosen),
        count.pairs(_PAIRS), count.largest, count.mean_gap, count.apart, threshold, (*shared.remarks, *count.remarks, *_other_image(names, first, second)),
        count.kinds, first,
    )  # fmt: skip


def _other_image(names: tuple[str, str], first: ClassMap, second: ClassMap) -> tuple[str, ...]:
    """That two stores were made of different images, as far as they say."""
    said = [None if found.record is None else found.record.request.get("image", {}) for found in (first, second)]
    prints = [about.get("fingerprint") for about in said if isinstance(about, Mapping)]
    if len(prints) < 2 or prints[0] == prints[1]:
        return ()
    images = [image_name(found) or name for found, name in zip((first, second), names, strict=True)]
    return (f"the two were made of different images or versions of one ({images[0]} and {images[1]})",)
