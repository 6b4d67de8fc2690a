"""What a comparison of a map with its crops found: numbers, what they mean, and what to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.geometry.grid import Grid
from fullconv.geometry.place import Place
from fullconv.rasters.view import Selection
from fullconv.system.notebook import as_html, counted
from fullconv.trust.rounded import Rounded
from fullconv.trust.yardstick import Yardstick

Array = npt.NDArray[Any]


@dataclass(frozen=True, repr=False)
class Report:
    """What a comparison found. Differences are of scores, absolute.

    Attributes:
        image: the image's name.
        cells, compared: cells of the map, and how many of them were compared.
        drawn: cells that were looked at; those without an answer (no pixels, or outside ``where``) are not compared.
        agree: of those, how many have the same top-1 class; of one number a cell, how many decide the same by it, None where it decides nothing.
        largest, mean: difference over all compared cells and classes, where both sides are numbers.
        apart, neither: cells of which map or crop, and not the other, is no number somewhere (NaN, infinite); and of which neither is.
        rank: mean rank correlation (Spearman) of the classes' scores, 1 where the order is the same.
        noise: largest change of the untouched network's answers when the last bits of its input change.
        threshold: above it a difference is none of noise's.
        exactness: what the graph says.
        exact: whether the graph says that map and crops are equal.
        parts_at: for an exact map that differs, the first value at which they part.
        worst: (row, col) of the cell that differs most.
        free: cells of the map that the graph calls free of every cause, at the image's edge say: they equal their crops.
        by_class: largest difference of each class.
        yardstick: agreement with crops and of crops with themselves moved by a pixel, by class and in all, with intervals.
        adapted: whether a head was fitted to crops already.
        grid: the map's cells, in pixels of the image's finest level.
        labels, output, score_kind: of the map.
        at: (n, 2), row and column of each cell that was compared.
        gaps: (n,), its largest difference over classes.
        winners: (n,), the class that wins it on the map, -1 where its scores are no numbers.
        rounded: what the precision costs by itself, of a map in another than fp32.
        states: (n,), bits: ``tally.AGREES`` map and crop decide the same, ``MEASURED`` its crop was moved, ``UNSURE`` that said something else.
        source, select: the image and how it was read, for pictures.
        place: where its pixels lie.
    """

    image: str
    cells: int
    compared: int
    drawn: int
    agree: int | None
    largest: float
    mean: float
    rank: float
    noise: float
    threshold: float
    exactness: str
    exact: bool
    parts_at: str | None
    worst: tuple[int, int]
    free: int
    apart: int
    neither: int
    by_class: dict[str, float]
    grid: Grid = field(repr=False)
    labels: tuple[str, ...] = field(repr=False)
    output: str
    score_kind: str
    at: Array = field(repr=False, compare=False)
    gaps: Array = field(repr=False, compare=False)
    winners: Array = field(repr=False, compare=False)
    source: Any = field(repr=False, compare=False)
    select: Selection = field(repr=False)
    place: Place = field(repr=False)
    yardstick: Yardstick | None = None
    adapted: bool = False
    states: Array | None = field(default=None, repr=False, compare=False)
    rounded: Rounded | None = None

    def __hash__(self) -> int:
        return hash((self.grid, self.labels, self.output, self.compared))

    @property
    def differences(self) -> Array:
        """(rows, cols), the largest over classes; NaN where a cell was not compared."""
        out = np.full((self.grid.rows, self.grid.cols), np.nan, np.float32)
        out[self.at[:, 0], self.at[:, 1]] = self.gaps
        return out

    @property
    def failed(self) -> bool:
        """An exact map differs from its crops: a bug in fullconv or its engine."""
        if self.rounded is not None and self.rounded.failed:
            return True
        return self.exact and (self.largest > self.threshold or self.apart > 0)

    @property
    def advice(self) -> str:
        """What a user can do, in one sentence."""
        if self.rounded is not None and self.rounded.failed:
            return f"this is a bug: map and crops part in {self.rounded.precision}; look whether they do in fp32, and please report it with the network"
        if self.failed:
            return f"this is a bug: the two part at {self.parts_at}; please report it with the network"
        if self.apart or self.neither:
            return "look for the layer whose values leave the range of float32: where scores are no numbers there is nothing to compare"
        if self.exact:
            return "take the map for the crops"
        if self.rounded is not None and self.rounded.parted is not None:
            return f"take the map for the crops as {self.rounded.precision} computes them; where that costs too much, use --precision fp32"
        stick = self.yardstick
        level = "not measured" if stick is None else stick.level
        unsure = f"; but {stick.warning}" if stick is not None and stick.warning else ""
        if self.agree == self.compared and level != "too few cells":
            return f"the same answer everywhere compared; where scores themselves matter, use --by crops{unsure}"
        if level == "as good":
            return (
                "the map is as near to its crops as they are to themselves a pixel further; where a crop's own answer matters all the same, "
                f"have it confirmed (map --confirm) or use --by crops{unsure}"
            )
        if level == "too few cells":
            return f"compare more cells before anything is decided; --by crops gives the crops' own answers{unsure}"
        fit = "" if self.adapted else "fit a head to crops of your images (fullconv adapt), "
        return (
            f"where the crop's own answer matters, {fit}have cells confirmed (map --confirm) or use --by crops; for equal answers, retrain "
            f"without padding{unsure}"
        )

    @property
    def _free(self) -> str:
        return f"; {self.free} of {self.cells} cells are free of that" if self.free and not self.exact else ""

    def to_json(self) -> dict[str, Any]:
        names = (
            "image",
            "cells",
            "compared",
            "drawn",
            "agree",
            "largest",
            "mean",
            "rank",
            "noise",
            "threshold",
            "exactness",
            "exact",
            "parts_at",
            "free",
            "apart",
            "neither",
        )
        found = {name: getattr(self, name) for name in names}
        box = list(self.grid.box(*self.worst))
        most = sorted(self.by_class.items(), key=lambda item: -item[1])[:20]
        return {
            **found,
            "failed": self.failed,
            "worst": {"cell": list(self.worst), "box": box},
            "by_class": dict(most),
            "yardstick": None if self.yardstick is None else self.yardstick.to_json(),
            "rounded": None if self.rounded is None else self.rounded.to_json(),
            "advice": self.advice,
        }

    @property
    def _no_numbers(self) -> list[str]:
        found = []
        if self.apart:
            found.append(f"  NaN or infinite on one side alone in {self.apart} cells")
        if self.neither:
            found.append(f"  NaN or infinite on both sides in {self.neither} cells, where nothing can be compared")
        return found

    @property
    def _agreement(self) -> list[str]:
        stick = self.yardstick
        rank = f"rank correlation {self.rank:.4f}" if len(self.labels) > 1 else ""
        if self.agree is None:
            top = ""
        elif len(self.labels) > 1:
            top = f"top-1 agrees in {self.agree / self.compared:.2%} ({self.agree} of {self.compared})"
        else:
            top = f"agrees in {self.agree / self.compared:.2%} ({self.agree} of {self.compared})"
        first = ", ".join(part for part in (top, rank) if part)
        told = [f"  {first}"] if first else []
        if stick is None or (self.exact and not self.failed and stick.itself is None):
            return told
        return [*told, f"  {stick.verdict}", *(f"  {line}" for line in stick.lines)]

    @property
    def _few(self) -> list[str]:
        """Where most cells that were drawn have no answer."""
        if self.drawn <= self.compared:
            return []
        return [
            f"  {self.drawn:,} cells were looked at for these: the others have no pixels, or are left out by --where"
        ]

    def __repr__(self) -> str:
        agree = "" if self.agree is None else f"{self.agree / self.compared:.2%} agree, "
        judged = "FAILED" if self.failed else "exact" if self.exact else "not exact"
        compared = f"{self.compared:,} of {counted(self.cells, 'cell')} compared"
        return f"Report({self.image}: {compared}, {agree}differences up to {self.largest:.2g}, {judged})"

    def _repr_html_(self) -> str:
        """What notebooks show: the numbers, what they mean, and what to do."""
        first, *lines = str(self).splitlines()
        most = sorted(self.by_class.items(), key=lambda item: -item[1])
        table = [("class", "largest difference"), *((label, f"{gap:.2e}") for label, gap in most)]
        return as_html("Report", {"compared": first, "": "\n".join(line.strip() for line in lines)}, table)

    def __str__(self) -> str:
        x0, y0, x1, y1 = self.grid.box(*self.worst)
        numbers = self.score_kind == "winner"  # of which one is not nearer to another than a third
        of = "all" if self.compared == self.cells else f"{self.compared} of"
        return "\n".join(
            [
                f"{self.image}: {of} {self.cells} cells against crops of the untouched network",
                *self._agreement,
                *(
                    []
                    if numbers
                    else [
                        f"  difference at most {self.largest:.2e}, {self.mean:.2e} on average; worst at the crop ({x0:g}, {y0:g}, {x1:g}, {y1:g})"
                    ]
                ),
                *self._no_numbers,
                *self._few,
                *(f"  {line}" for line in (self.rounded.lines if self.rounded is not None else ())),
                *(
                    []
                    if numbers
                    else [
                        f"  noise of the engine {self.noise:.2e} (answers when the last bits of the input change), so that {self.threshold:.2e} is more than noise"
                    ]
                ),
                f"  the graph says: {self.exactness}{self._free}",
                f"  {'FAILED: ' if self.failed else ''}{self.advice}",
            ]
        )
