"""The map against crop-by-crop answers of the untouched network: how far they agree, and where they part.

Differences are judged against noise that is measured on the untouched network, not assumed, and not by the cast, whose
bugs it must not hide: how far its own answers move when the last bits of a crop's numbers change, as sums in another order
change them in every layer. Agreement is held against the classifier's with itself, when its crop moves by a pixel (``yardstick``).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Literal, Unpack

import numpy as np
import numpy.typing as npt

from fullconv.errors import BadInput
from fullconv.loading import load
from fullconv.maps.crops import Progress
from fullconv.maps.features import require_classes
from fullconv.model import Model
from fullconv.rasters.transforms import told_of
from fullconv.rasters.view import View
from fullconv.stream.edges import Edges
from fullconv.stream.options import MapOptions, takes
from fullconv.stream.run import job_of
from fullconv.stream.sample import Admitted, Cell, Draw
from fullconv.stream.sides import ByTiles, Crops, Window, sides_of
from fullconv.stream.where import where_of
from fullconv.system.guard import guarded
from fullconv.trust.compare import LAST_BIT, MARGIN
from fullconv.trust.decisions import Decisions
from fullconv.trust.parting import first_difference
from fullconv.trust.rounded import Rounding, last_bits
from fullconv.trust.tally import Tally
from fullconv.trust.totals import Totals, differences
from fullconv.trust.verified import Report
from fullconv.trust.yardstick import STEPS

Array = npt.NDArray[Any]
_NOISE_CELLS = 64
_NOISE_DRAWS = 3
_MOVED = 1000  # cells whose crops are moved where nobody says
_ROUNDED = 1000  # cells whose crops are run in the map's precision too
_FLOOR = 1e-7  # of the largest score: the last bit of float32


@takes(job_of)
def verify(
    model: Model | str | Path,
    image: Any,
    *,
    cells: int | Literal["all"] = "all",
    seed: int = 0,
    moved: int | None = None,
    memory: int | None = None,
    notes: Callable[[str], None] = lambda note: None,
    progress: Progress = lambda done, total: None,
    **options: Unpack[MapOptions],
) -> Report:
    """Compare the map of an image with the untouched network's answers for its crops.

    An image of any size: of the map, tiles around the cells that are compared are run; of the image, these and the crops are read.

    Args:
        image: as for ``fullconv.map_raster``.
        cells: how many cells to compare, chosen at random among those that have an answer, or all.
        seed: of that choice.
        moved: about how many of them have their crop moved by a pixel, diagonally and both ways, where the image has one there: each takes two
            crops more. 1,000 by default, 0 for an exact map.
        memory: bytes that the process may take; half of what is free by default.
        notes: told what was decided on the way.
        progress: told crops done, of how many.
        options: preprocess, labels, output, activation, runtime, precision, stride, finer, level, mpp, bands, nodata, missing, where, trust,
            allow_remote and subdataset as for ``fullconv.map_raster``; crops run in fp32, and where the map is in another
            precision some in that too, which says what it costs by itself.

    Raises:
        BadInput: no cell has an answer to be compared, and what ``map_raster`` raises.
    """
    model = load(model)
    if cells != "all" and cells < 1:
        raise BadInput(f"cells {cells}: must be at least 1, or all")
    if moved is not None and moved < 0:
        raise BadInput(f"moved {moved}: cells whose crops are moved, from 0 on")
    if options.get("by", "cast") != "cast":
        raise BadInput("by crops: a map by crops is what the cast's is compared with")
    require_classes(model, options.get("output"), "verify")
    job = job_of(model, image, "the comparison", **options)
    with guarded(image), closing(View(image, job.select)) as view:
        for remark in (*view.remarks, *told_of(options.get("preprocess"), model.image_shape[1:])):
            notes(remark)
        asked = None if cells == "all" else cells
        of_graph = model.plan.predicted is not None and not model.plan.inexact
        exact = of_graph and job.precision == "fp32"
        moved = (0 if exact else _MOVED) if moved is None else moved
        tiles, crops = sides_of(model, view, job, asked, memory, notes, margin=1 if moved else 0)
        grid, read_grid, way = tiles.plan.grid, tiles.plan.read_grid, tiles.plan.way
        admitted = Admitted(grid, where_of(job.where, view))
        wanted = min(asked or len(admitted), len(admitted))
        rounding = None if job.precision == "fp32" else Rounding(job.precision, of_graph and model.classifier is model)
        comparison = _Comparison(tiles, crops, len(job.labels), progress, wanted, moved, seed, rounding)
        drawn = comparison.over(admitted, asked, seed)
        seen, noise = comparison.totals, comparison.noise
        if not seen.compared:
            raise BadInput(
                f"none of the {drawn:,} cells of the map that were looked at has an answer to be compared: the image holds no data there, or --where leaves all out"
            )
        threshold = MARGIN * max(noise, _FLOOR * seen.magnitude)
        rows, cols = model.plan.free_cells(read_grid)
        stick = comparison.tally.yardstick(job.labels, moved)
        agree = seen.agree if len(job.labels) > 1 else None if stick.map is None else stick.map.every.count
        parts = exact and (seen.largest > threshold or seen.apart > 0)
        return Report(
            image=str(image) if isinstance(image, str | Path) else "image",
            cells=grid.rows * grid.cols,
            compared=seen.compared,
            drawn=drawn,
            agree=agree,
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
            yardstick=stick,
            adapted=model.classifier is not model,
            states=np.concatenate(comparison.states),
            rounded=None if rounding is None else rounding.found(),
        )


class _Comparison:
    """Both sides of cell after cell; noise on some of them, and crops moved by a pixel of about so many as ``moved`` says."""

    def __init__(
        self,
        tiles: ByTiles,
        crops: Crops,
        classes: int,
        progress: Progress,
        wanted: int,
        moved: int,
        seed: int,
        rounding: Rounding | None = None,
    ) -> None:
        self._tiles, self._crops = tiles, crops
        self._edges = Edges.of(tiles.plan.way, tiles.plan.read_grid)
        self._share, self._seed = min(1.0, moved / max(1, wanted)), seed
        self._rounding, self._rounded = rounding, min(1.0, _ROUNDED / max(1, wanted))
        self._tally: Tally | None = None
        self.states: list[Array] = []
        self._progress, self._wanted = progress, wanted
        self._step = max(1, wanted // _NOISE_CELLS)
        self.totals = Totals(classes)
        self.noise = 0.0

    @property
    def tally(self) -> Tally:
        assert self._tally is not None, "something was compared"
        return self._tally

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
                own = mapped[[of[cell] for cell in part]]
                self._count(part, window, own, crops)
                self._round(part, window, own, crops)
                self.totals.add(part, own, crops)
                self._progress(self.totals.compared, self._wanted)

    def _count(self, cells: list[Cell], window: Window, mapped: Array, crops: Array) -> None:
        """Agreement of the map with crops, and of these with the same moved."""
        if self._tally is None:
            self._tally = Tally(Decisions.of(crops, self._tiles.plan.way.score_kind))
        rows, cols = np.array(cells).T
        interior = self._edges.interior(rows, cols)
        states = self._tally.add(interior, mapped, crops)
        some = np.flatnonzero(_chosen(rows * self._tiles.plan.grid.cols + cols, self._share, self._seed))
        if len(some):
            asked = [cells[i] for i in some]
            of = {cell: i for i, cell in enumerate(asked)}
            moves = []
            for by in STEPS:
                there, answers = self._crops.moved(window, asked, by)
                if there:
                    moves.append((np.array([of[cell] for cell in there]), answers))
            states[some] |= self._tally.add_moved(interior[some], crops[some], moves)
        self.states.append(states)

    def _round(self, cells: list[Cell], window: Window, mapped: Array, crops: Array) -> None:
        """What the map's precision costs, on some cells."""
        rows, cols = np.array(cells).T
        some = np.flatnonzero(_chosen(rows * self._tiles.plan.grid.cols + cols, self._rounded, self._seed + 1))
        if self._rounding is None or not len(some):
            return
        asked, precision = [cells[i] for i in some], self._crops.job.precision
        rough = self._crops.answers(window, asked, as_map=True)

        def again() -> Array:
            nudged = last_bits(window.values, precision, self._seed)
            return self._crops.answers(window, asked, nudged, as_map=True)

        self._rounding.add(self.tally.reads, mapped[some], crops[some], rough, again)

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


def _chosen(numbers: Array, share: float, seed: int) -> Array:
    """About such a share of the cells of these numbers, the same in whatever order they come (splitmix64)."""
    if share >= 1:
        return np.ones(len(numbers), np.bool_)
    mixed = (numbers.astype(np.uint64) + np.uint64(1 + seed % 2**32)) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return np.asarray((mixed ^ (mixed >> np.uint64(31))) < np.uint64(int(share * 2.0**63) * 2))


def _parts_at(model: Model, tiles: ByTiles, crops: Crops, cell: Cell) -> str:
    """The first value of the network at which a cell's crop and the map part."""
    if crops.job.stride is not None:
        return "a layer that was not looked for, since the map has a stride of its own"
    _, window = next(crops.windows([cell]))
    values, first = tiles.around(cell)
    start = window.start[0] - first[0], window.start[1] - first[1]
    return first_difference(model, model.cast(), window.crop(cell), values, start, MARGIN * LAST_BIT)
