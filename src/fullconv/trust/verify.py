"""The map against crop-by-crop answers of the untouched network: how far they agree, and where they part.

Differences are judged against noise that is measured on the untouched network, not assumed, and not by the cast, whose
bugs it must not hide: how far its own answers move when the last bits of a crop's numbers change, as sums in another order
change them in every layer.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fullconv.errors import BadInput
from fullconv.geometry.grid import Grid
from fullconv.geometry.place import Place
from fullconv.loading import load
from fullconv.maps.crops import Progress
from fullconv.model import Model
from fullconv.rasters.view import Selection, View
from fullconv.stream.run import job_of
from fullconv.stream.sample import Admitted, Cell, Draw
from fullconv.stream.sides import ByTiles, Crops, Window, sides_of
from fullconv.stream.where import where_of
from fullconv.system.guard import guarded
from fullconv.trust.compare import LAST_BIT, MARGIN
from fullconv.trust.parting import first_difference
from fullconv.trust.totals import Totals, differences

Array = npt.NDArray[Any]
_NOISE_CELLS = 64
_NOISE_DRAWS = 3
_FLOOR = 1e-7  # of the largest score: the last bit of float32


@dataclass(frozen=True)
class Report:
    """What a comparison found. Differences are of scores, absolute.

    Attributes:
        image: the image's name.
        cells, compared: cells of the map, and how many of them were compared.
        drawn: cells that were looked at; those without an answer (no pixels, or outside ``where``) are not compared.
        agree: of those, how many have the same top-1 class.
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
        grid: the map's cells, in pixels of the image's finest level.
        labels, output, score_kind: of the map.
        at: (n, 2), row and column of each cell that was compared.
        gaps: (n,), its largest difference over classes.
        winners: (n,), the class that wins it on the map, -1 where its scores are no numbers.
        source, select: the image and how it was read, for pictures.
        place: where its pixels lie.
    """

    image: str
    cells: int
    compared: int
    drawn: int
    agree: int
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

    @property
    def differences(self) -> Array:
        """(rows, cols), the largest over classes; NaN where a cell was not compared."""
        out = np.full((self.grid.rows, self.grid.cols), np.nan, np.float32)
        out[self.at[:, 0], self.at[:, 1]] = self.gaps
        return out

    @property
    def failed(self) -> bool:
        """An exact map differs from its crops: a bug in fullconv or its engine."""
        return self.exact and (self.largest > self.threshold or self.apart > 0)

    @property
    def advice(self) -> str:
        """What a user can do, in one sentence."""
        if self.failed:
            return f"this is a bug: the two part at {self.parts_at}; please report it with the network"
        if self.apart or self.neither:
            return "look for the layer whose values leave the range of float32: where scores are no numbers there is nothing to compare"
        if self.exact:
            return "take the map for the crops"
        if self.agree == self.compared:
            return "the same class everywhere compared; where scores themselves matter, use --by crops"
        return "where the crop's own answer matters, use --by crops; for equal answers, retrain without padding"

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
    def _few(self) -> list[str]:
        """Where most cells that were drawn have no answer."""
        if self.drawn <= self.compared:
            return []
        return [
            f"  {self.drawn:,} cells were looked at for these: the others have no pixels, or are left out by --where"
        ]

    def __str__(self) -> str:
        x0, y0, x1, y1 = self.grid.box(*self.worst)
        of = "all" if self.compared == self.cells else f"{self.compared} of"
        return "\n".join(
            [
                f"{self.image}: {of} {self.cells} cells against crops of the untouched network",
                f"  top-1 agrees in {self.agree / self.compared:.2%} ({self.agree} of {self.compared}), rank correlation {self.rank:.4f}",
                f"  difference at most {self.largest:.2e}, {self.mean:.2e} on average; worst at the crop ({x0:g}, {y0:g}, {x1:g}, {y1:g})",
                *self._no_numbers,
                *self._few,
                f"  noise of the engine {self.noise:.2e} (answers when the last bits of the input change), so that {self.threshold:.2e} is more than noise",
                f"  the graph says: {self.exactness}{self._free}",
                f"  {'FAILED: ' if self.failed else ''}{self.advice}",
            ]
        )


def verify(
    model: Model | str | Path,
    image: Any,
    *,
    cells: int | Literal["all"] = "all",
    seed: int = 0,
    memory: int | None = None,
    notes: Callable[[str], None] = lambda note: None,
    progress: Progress = lambda done, total: None,
    **options: Any,
) -> Report:
    """Compare the map of an image with the untouched network's answers for its crops.

    An image of any size: of the map, tiles around the cells that are compared are run; of the image, these and the crops are read.

    Args:
        image: as for ``fullconv.map_raster``.
        cells: how many cells to compare, chosen at random among those that have an answer, or all.
        seed: of that choice.
        memory: bytes that the process may take; half of what is free by default.
        notes: told what was decided on the way.
        progress: told crops done, of how many.
        options: preprocess, labels, output, activation, runtime, precision, stride, finer, level, mpp, bands, nodata, missing, where, trust,
            allow_remote and subdataset as for ``fullconv.map_raster``; crops run in fp32 always.

    Raises:
        BadInput: no cell has an answer to be compared, and what ``map_raster`` raises.
    """
    model = load(model)
    if cells != "all" and cells < 1:
        raise BadInput(f"cells {cells}: must be at least 1, or all")
    if options.get("by", "cast") != "cast":
        raise BadInput("by crops: a map by crops is what the cast's is compared with")
    job = job_of(model, image, "the comparison", **options)
    with guarded(image), closing(View(image, job.select)) as view:
        for remark in view.remarks:
            notes(remark)
        asked = None if cells == "all" else cells
        tiles, crops = sides_of(model, view, job, asked, memory, notes)
        grid, read_grid, way = tiles.plan.grid, tiles.plan.read_grid, tiles.plan.way
        admitted = Admitted(grid, where_of(job.where, view.about))
        comparison = _Comparison(tiles, crops, len(job.labels), progress, min(asked or len(admitted), len(admitted)))
        drawn = comparison.over(admitted, asked, seed)
        seen, noise = comparison.totals, comparison.noise
        if not seen.compared:
            raise BadInput(
                f"none of the {drawn:,} cells of the map that were looked at has an answer to be compared: the image holds no data there, or --where leaves all out"
            )
        threshold = MARGIN * max(noise, _FLOOR * seen.magnitude)
        rows, cols = model.plan.free_cells(read_grid)
        exact = model.plan.predicted is not None and not model.plan.inexact and job.precision == "fp32"
        parts = exact and (seen.largest > threshold or seen.apart > 0)
        return Report(
            image=str(image) if isinstance(image, str | Path) else "image",
            cells=grid.rows * grid.cols,
            compared=seen.compared,
            drawn=drawn,
            agree=seen.agree,
            largest=seen.largest,
            mean=seen.mean,
            rank=seen.rank,
            noise=noise,
            threshold=threshold,
            exactness=way.exactness if job.precision == "fp32" else f"{way.exactness}; and {job.precision} rounds",
            exact=exact,
            parts_at=_parts_at(model, tiles, crops, seen.worst) if parts else None,
            worst=seen.worst,
            free=sum(rows) * sum(cols),
            apart=seen.apart,
            neither=seen.neither,
            by_class={label: float(gap) for label, gap in zip(job.labels, seen.by_class, strict=True)},
            grid=grid,
            labels=job.labels,
            output=way.output,
            score_kind=way.score_kind,
            at=np.concatenate(seen.cells),
            gaps=np.concatenate(seen.gaps),
            winners=np.concatenate(seen.winners),
            source=image,
            select=job.select,
            place=view.about.place,
        )


class _Comparison:
    """Both sides of cell after cell, and noise on some of them."""

    def __init__(self, tiles: ByTiles, crops: Crops, classes: int, progress: Progress, wanted: int) -> None:
        self._tiles, self._crops = tiles, crops
        self._progress, self._wanted = progress, wanted
        self._step = max(1, wanted // _NOISE_CELLS)
        self.totals = Totals(classes)
        self.noise = 0.0

    def over(self, admitted: Admitted, asked: int | None, seed: int) -> int:
        """Compare so many cells (None: all); how many were looked at."""
        if asked is None:
            for cells in self._tiles.every():
                self._add(cells)
            return self.totals.compared
        draw = Draw(admitted, asked, seed)
        while self.totals.compared < asked and (cells := draw.next(asked - self.totals.compared)):
            self._add(cells)
        return draw.looked_at

    def _add(self, cells: list[Cell]) -> None:
        for group in self._tiles.together(cells):
            answered, mapped = self._tiles.answers(group)
            of = {cell: i for i, cell in enumerate(answered)}
            for part, window in self._crops.windows(answered):
                crops = self._crops.answers(window, part)
                self._measure(part, window, crops)
                self.totals.add(part, mapped[[of[cell] for cell in part]], crops)
                self._progress(self.totals.compared, self._wanted)

    def _measure(self, cells: list[Cell], window: Window, crops: Array) -> None:
        """Noise on some cells all over the map."""
        some = list(range(-self.totals.compared % self._step, len(cells), self._step))
        if not some:
            return
        for draw in range(_NOISE_DRAWS):
            signs = np.random.default_rng((draw, *window.start)).choice(
                np.array([-1, 1], np.float32), window.values.shape
            )
            moved = window.values * (1 + signs * np.finfo(np.float32).eps)
            again = self._crops.answers(window, [cells[i] for i in some], moved)
            self.noise = max(self.noise, float(differences(again, crops[some])[0].max()))


def _parts_at(model: Model, tiles: ByTiles, crops: Crops, cell: Cell) -> str:
    """The first value of the network at which a cell's crop and the map part."""
    if crops.job.stride is not None:
        return "a layer that was not looked for, since the map has a stride of its own"
    _, window = next(crops.windows([cell]))
    values, first = tiles.around(cell)
    start = window.start[0] - first[0], window.start[1] - first[1]
    return first_difference(model, model.cast(), window.crop(cell), values, start, MARGIN * LAST_BIT)
