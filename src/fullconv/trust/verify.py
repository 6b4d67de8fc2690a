"""The map against crop-by-crop answers of the untouched network: how far they agree, and where they part.

Differences are judged against noise that is measured on the untouched network, not assumed, and not by the cast, whose
bugs it must not hide: how far its own answers move when the last bits of a crop's numbers change, as sums in another order
change them in every layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fullconv.errors import BadInput
from fullconv.geometry.grid import Grid
from fullconv.loading import load
from fullconv.maps.classmap import ClassMap
from fullconv.maps.crops import CROP_BATCH, Progress, run_cells
from fullconv.maps.mapping import map_image, see
from fullconv.maps.probabilities import Asked, as_asked
from fullconv.model import Model
from fullconv.rasters.preprocess import Preprocess
from fullconv.runtimes.runtime import Precision
from fullconv.trust.compare import LAST_BIT, MARGIN
from fullconv.trust.parting import first_difference

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
        differences: (rows, cols), the largest over classes; NaN where a cell was not compared.
        result: the map.
    """

    image: str
    cells: int
    compared: int
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
    differences: Array = field(repr=False, compare=False)
    result: ClassMap = field(repr=False, compare=False)

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
        box = list(self.result.box(*self.worst))
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

    def __str__(self) -> str:
        x0, y0, x1, y1 = self.result.box(*self.worst)
        of = "all" if self.compared == self.cells else f"{self.compared} of"
        return "\n".join(
            [
                f"{self.image}: {of} {self.cells} cells against crops of the untouched network",
                f"  top-1 agrees in {self.agree / self.compared:.2%} ({self.agree} of {self.compared}), rank correlation {self.rank:.4f}",
                f"  difference at most {self.largest:.2e}, {self.mean:.2e} on average; worst at the crop ({x0:g}, {y0:g}, {x1:g}, {y1:g})",
                *self._no_numbers,
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
    preprocess: str | Path | Preprocess | None = None,
    labels: str | Path | Sequence[str] | None = None,
    output: str | None = None,
    activation: Asked = "auto",
    runtime: str = "auto",
    precision: Precision = "fp32",
    progress: Progress = lambda done, total: None,
) -> Report:
    """Compare the map of an image with the untouched network's answers for its crops.

    Args:
        cells: how many cells to compare, chosen at random, or all.
        seed: of that choice.
        preprocess, labels, output, activation, runtime, precision: as for ``fullconv.map``; crops run in fp32 always.
        progress: told crops done, of how many.
    """
    model = load(model)
    if cells != "all" and cells < 1:
        raise BadInput(f"cells {cells}: must be at least 1, or all")
    result = map_image(
        model,
        image,
        preprocess=preprocess,
        labels=labels,
        output=output,
        activation=activation,
        runtime=runtime,
        precision=precision,
    )
    given = preprocess if preprocess is not None else model.preprocess
    values, _ = see(image).values(given, model.image_shape[0])
    chosen = _choose(np.logical_not(np.isnan(result.scores).any(axis=0)), cells, seed)
    name = model.plan.untouched(result.output)
    untouched = as_asked(model, name, activation)
    crops = run_cells(untouched, values, name, result.grid, chosen, batch=CROP_BATCH, progress=progress)
    mapped = np.stack([result.scores[:, row, col] for row, col in chosen])
    noise = _noise(untouched, values, name, result.grid, chosen, crops)
    gaps, apart, neither = _gaps(mapped, crops)
    largest = float(gaps.max())
    threshold = MARGIN * max(noise, _FLOOR * _largest(crops))
    worst = chosen[int((apart if apart.any() else gaps.max(axis=1)).argmax())]
    rows, cols = model.plan.free_cells(result.grid)
    free = sum(rows) * sum(cols)
    exact = model.plan.predicted is not None and not model.plan.inexact and precision == "fp32"
    return Report(
        image=str(image) if isinstance(image, str | Path) else "image",
        cells=result.grid.rows * result.grid.cols,
        compared=len(chosen),
        agree=int(((mapped.argmax(1) == crops.argmax(1)) & ~apart & ~neither).sum()),
        largest=largest,
        mean=float(gaps.mean()),
        rank=_rank_correlation(mapped, crops),
        noise=noise,
        threshold=threshold,
        exactness=result.exactness if precision == "fp32" else f"{result.exactness}; and {precision} rounds",
        exact=exact,
        parts_at=_parts_at(model, values, result.grid, worst)
        if exact and (largest > threshold or apart.any())
        else None,
        worst=worst,
        free=free,
        apart=int(apart.sum()),
        neither=int(neither.sum()),
        by_class={label: float(gap) for label, gap in zip(result.labels, gaps.max(axis=0), strict=True)},
        differences=_laid_out(result.grid, chosen, gaps.max(axis=1)),
        result=result,
    )


def _gaps(mapped: Array, crops: Array) -> tuple[Array, Array, Array]:
    """Differences (cells, classes), 0 where a side is no number; cells of which one side alone is none; cells of which neither is."""
    known = np.isfinite(mapped), np.isfinite(crops)
    both = known[0] & known[1]
    gaps = np.abs(np.where(both, mapped, 0) - np.where(both, crops, 0))
    same = np.isnan(mapped) & np.isnan(crops) | (mapped == crops)  # the same NaN or infinity
    apart = (~both & ~same).any(axis=1)
    return gaps, apart, (~both & same).any(axis=1) & ~apart


def _largest(scores: Array) -> float:
    """The largest magnitude of those that are numbers."""
    return float(np.abs(scores[np.isfinite(scores)]).max(initial=0.0))


def _choose(answers: Array, cells: int | Literal["all"], seed: int) -> list[tuple[int, int]]:
    """Some of the cells that have an answer, (rows, cols)."""
    every = np.flatnonzero(answers)
    if not len(every):
        raise BadInput("no cell of the map has an answer to be compared: the image holds no data")
    picked = every
    if cells != "all" and cells < len(every):
        picked = every[np.sort(np.random.default_rng(seed).choice(len(every), cells, replace=False))]
    return [(int(i) // answers.shape[1], int(i) % answers.shape[1]) for i in picked]


def _noise(model: Model, values: Array, name: str, grid: Grid, chosen: list[tuple[int, int]], crops: Array) -> float:
    step = max(1, len(chosen) // _NOISE_CELLS)
    rng = np.random.default_rng(0)
    most = 0.0
    for _ in range(_NOISE_DRAWS):
        signs = rng.choice(np.array([-1, 1], np.float32), values.shape)
        moved = values * (1 + signs * np.finfo(np.float32).eps)
        again = run_cells(model, moved, name, grid, chosen[::step])
        most = max(most, float(_gaps(again, crops[::step])[0].max()))
    return most


def _rank_correlation(a: Array, b: Array) -> float:
    """Mean over rows of Spearman's correlation; 1 where there is one class only."""
    if a.shape[1] < 2:
        return 1.0
    ranks = [np.argsort(np.argsort(x, axis=1, kind="stable"), axis=1) for x in (a, b)]
    count = a.shape[1]
    squares = ((ranks[0] - ranks[1]).astype(np.float64) ** 2).sum(axis=1)
    return float((1 - 6 * squares / (count * (count**2 - 1))).mean())


def _laid_out(grid: Grid, chosen: list[tuple[int, int]], gaps: Array) -> Array:
    out = np.full((grid.rows, grid.cols), np.nan, np.float32)
    for (row, col), gap in zip(chosen, gaps, strict=True):
        out[row, col] = gap
    return out


def _parts_at(model: Model, values: Array, grid: Grid, cell: tuple[int, int]) -> str:
    """The first value of the network at which a cell's crop and the map part."""
    x0, y0, x1, y1 = (int(v) for v in grid.box(*cell))
    crop = np.ascontiguousarray(values[:, :, y0:y1, x0:x1])
    return first_difference(model, model.cast(), crop, values, (y0, x0), MARGIN * LAST_BIT)
