"""The two sides of a comparison: a map's answers for some cells, and the untouched network's for their crops. No image is read whole.

The map's are those of tiles that ``map`` would make (``stream.work``): a tile's cells are the whole map's own, wherever it is cut. So tiles are
cut by how many cells are asked for, and only those that hold one are run. Or they are those of a map that was made before. Crops are read
on their own, through the same view of the image, so that what goes wrong where a tile is read shows as a difference. Read with a margin,
they can be moved within it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fullconv.errors import BadInput, CannotCast, CannotRun, Refused
from fullconv.geometry.grid import Grid
from fullconv.maps.classmap import ClassMap
from fullconv.maps.cost import engine_bytes
from fullconv.maps.crops import CROP_BATCH, run_cells
from fullconv.maps.mapping import Seen
from fullconv.maps.probabilities import as_asked
from fullconv.maps.ways import Way
from fullconv.model import Model
from fullconv.rasters.source import Unreadable
from fullconv.rasters.view import View
from fullconv.stream.confirm import PRECISION
from fullconv.stream.door import Loaded
from fullconv.stream.job import Job
from fullconv.stream.plan import StreamPlan, beside_bytes, default_budget, plan_stream
from fullconv.stream.processor import values_of
from fullconv.stream.sample import Cell, near
from fullconv.stream.spoiled import read_around
from fullconv.stream.work import Worker
from fullconv.tiling.cut import Side
from fullconv.tiling.tiles import Tile, Tiles

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
_WINDOW = 512  # px a side within which crops start that are read together
_COPIES = 4  # of a window's values: as read, as network input, and nudged


class Map(Protocol):
    """A map's answers."""

    def together(self, cells: Iterable[Cell]) -> Iterator[list[Cell]]:
        """The cells in groups of which one run, or one look, gives all answers."""

    def answers(self, cells: Sequence[Cell]) -> tuple[list[Cell], Array]:
        """Those of one group that have an answer, and their scores (cells, classes)."""


class ByTiles:
    """The answers of tiles around the cells, run when they are asked for."""

    def __init__(self, plan: StreamPlan, view: View, job: Job) -> None:
        self.plan = plan
        self._worker = Worker(job, plan.way, view, None, plan.read_grid, plan.grid)
        self._door = self._worker.door(plan.buffer)
        self._ends = [np.array([side.cells[1] for side in sides]) for sides in (plan.tiles.y, plan.tiles.x)]

    def together(self, cells: Iterable[Cell]) -> Iterator[list[Cell]]:
        groups: dict[Cell, list[Cell]] = {}
        for cell in cells:
            groups.setdefault(self._at(cell), []).append(cell)
        for key in sorted(groups):
            yield groups[key]

    def answers(self, cells: Sequence[Cell]) -> tuple[list[Cell], Array]:
        tile = self._tile(cells[0])
        loaded = self._worker.load(tile)
        top, left = tile.y.cells[0], tile.x.cells[0]
        asked = _answered(loaded, cells)
        if not asked:
            return [], np.empty((0, 0), np.float32)
        scores = self._door.finish(self._door.start(loaded)).scores
        assert scores is not None, "a tile with answers has scores"
        rows, cols = (np.array(part) for part in zip(*asked, strict=True))
        return asked, np.ascontiguousarray(scores[:, rows - top, cols - left].T)

    def answered(self, cells: Sequence[Cell]) -> list[Cell]:
        """Those of one group that have an answer; nothing is run."""
        return _answered(self._worker.load(self._tile(cells[0])), cells)

    def every(self) -> Iterator[list[Cell]]:
        """All cells, tile by tile."""
        for tile in self.plan.tiles:
            yield list(product(range(*tile.y.cells), range(*tile.x.cells)))

    def around(self, cell: Cell) -> tuple[Array, tuple[int, int]]:
        """The values (1, C, H, W) of the tile that holds a cell, and (y, x) of its first pixel."""
        tile = self._tile(cell)
        worker, buffer = self._worker, np.zeros(self.plan.buffer, np.float32)
        values = values_of(worker.load(tile), worker.job, worker.way, worker.view.ordered, buffer)
        return values, (tile.y.read[0], tile.x.read[0])

    def _at(self, cell: Cell) -> Cell:
        row, col = (int(np.searchsorted(ends, at, side="right")) for ends, at in zip(self._ends, cell, strict=True))
        return row, col

    def _tile(self, cell: Cell) -> Tile:
        row, col = self._at(cell)
        return Tile(row, col, self.plan.tiles.y[row], self.plan.tiles.x[col])


def _answered(loaded: Loaded, cells: Sequence[Cell]) -> list[Cell]:
    top, left = loaded.tile.y.cells[0], loaded.tile.x.cells[0]
    return [(row, col) for row, col in cells if loaded.answers[row - top, col - left]]


class Made:
    """The answers of a map that is there already, in memory or in a store."""

    def __init__(self, found: ClassMap) -> None:
        self._found = found
        chunk = (found.grid.rows, found.grid.cols) if found.record is None else found.record.tiles.chunk
        self._chunk = chunk

    def together(self, cells: Iterable[Cell]) -> Iterator[list[Cell]]:
        return near(cells, *self._chunk)

    def answers(self, cells: Sequence[Cell]) -> tuple[list[Cell], Array]:
        rows, cols = (np.array(part) for part in zip(*cells, strict=True))
        scores = np.asarray(self._found.scores[:, rows, cols]).T
        there = np.flatnonzero(~np.isnan(scores).all(axis=1))
        return [cells[int(i)] for i in there], np.ascontiguousarray(scores[there])


@dataclass(frozen=True)
class Crops:
    """The untouched network's answers for crops.

    Attributes:
        model, output: the untouched network as it is run, and its output.
        view: the image.
        job: how it is read and preprocessed.
        grid: the cells in pixels as they are read.
        batch: crops a run.
        margin: pixels around a window that are read too, by which crops can be moved.
    """

    model: Model
    output: str
    view: View
    job: Job
    grid: Grid
    batch: int = CROP_BATCH
    margin: int = 0

    @staticmethod
    def of(
        model: Model, way: Way, view: View, job: Job, grid: Grid, margin: int = 0, value: str | None = None
    ) -> Crops:
        """Of the network that a way was made of; ``value`` of it, where it is another than the map's output."""
        model = model.classifier
        if value is not None:
            return Crops(model, value, view, job, grid, margin=margin)
        output = way.output if way.by == "crops" else model.plan.untouched(way.output)
        return Crops(as_asked(model, output, job.activation), output, view, job, grid, margin=margin)

    def within(self, room: int, way: Way) -> Crops:
        """With as many crops a run as have room in so many bytes.

        Raises:
            BadInput: not one has.
        """
        run = engine_bytes(replace(way, model=self.model, output=self.output, by="crops"), "auto")
        own = 0 if self.model is way.model else beside_bytes(self.model)  # its engine's
        for batch in (self.batch, *(count for count in (8, 4, 2, 1) if count < self.batch)):
            need = own + run((batch, *self.model.image_shape))
            if need <= room:
                return replace(self, batch=batch)
        raise BadInput(
            f"a memory budget too small by {(need - room) / 1e6:,.0f} MB: the untouched network takes {need / 1e6:,.0f} MB for one crop"
        )

    @property
    def window_bytes(self) -> int:
        """What reading crops takes."""
        height, width = (_WINDOW + int(side) + 2 * self.margin for side in self.grid.crop)
        copies = _COPIES + bool(self.margin)  # laid in the middle of what lies around it
        return self.view.stage_bytes(height, width) + copies * 4 * self.model.image_shape[0] * height * width

    def windows(self, cells: Iterable[Cell]) -> Iterator[tuple[list[Cell], Window]]:
        """The cells in groups that share a window of the image, and each window."""
        step = [max(1, int(_WINDOW / side)) for side in self.grid.stride]
        for group in near(cells, step[0], step[1]):
            yield group, self._window(group)

    def answers(
        self, window: Window, cells: Sequence[Cell], values: Array | None = None, *, as_map: bool = False
    ) -> Array:
        """(cells, classes): for the crops in a window, or in the same with other values; by the map's engine and in its precision where that is asked for."""
        top, left = window.first
        own = [(row - top, col - left) for row, col in cells]
        values = window.values if values is None else values
        runtime, precision = (self.job.runtime, self.job.precision) if as_map else ("auto", PRECISION)
        return run_cells(self.model, values, self.output, window.grid, own, runtime, precision, self.batch)

    def moved(self, window: Window, cells: Sequence[Cell], by: tuple[int, int]) -> tuple[list[Cell], Array]:
        """The classifier's answers for crops that are moved, where there are such crops.

        Args:
            window: the cells' own.
            cells: of that window.
            by: (dy, dx) pixels, at most the margin each.

        Returns:
            The cells whose moved crop lies in the image and holds data enough for an answer; (cells, classes) of theirs.
        """
        there = [cell for cell in cells if window.has_moved(cell, by, self.view.size, self.job.missing)]
        if not there:
            return [], np.empty((0, 0), np.float32)
        return there, self.answers(window, there, window.beside(by))

    def values(self, rows: tuple[int, int], cols: tuple[int, int]) -> Array:
        """The pixels [rows) × [cols) as network input (1, C, H, W)."""
        return self._seen(rows, cols)[0]

    def _seen(self, rows: tuple[int, int], cols: tuple[int, int]) -> tuple[Array, Mask | None]:
        """Network input, and which pixels (H, W) hold no data."""
        pixels, gone = self._read(rows, cols)
        seen = Seen("", pixels, gone, self.view.ordered, self.view.about.place)
        return seen.values(self.job.preprocess, self.model.image_shape[0])[0], gone

    def _read(self, rows: tuple[int, int], cols: tuple[int, int]) -> tuple[Array, Mask | None]:
        try:
            return self.view.read(rows, cols)
        except Unreadable:
            if self.job.on_error != "skip":
                raise
            self.view.reopen()
            return read_around(self.view, rows, cols)[:2]

    def _window(self, cells: Sequence[Cell]) -> Window:
        rows, cols = ([cell[side] for cell in cells] for side in (0, 1))
        first = min(rows), min(cols)
        ends = max(rows) + 1 - first[0], max(cols) + 1 - first[1]
        starts = [int(at * step) for at, step in zip(first, self.grid.stride, strict=True)]
        sides = [
            int((count - 1) * step + crop)
            for count, step, crop in zip(ends, self.grid.stride, self.grid.crop, strict=True)
        ]
        grid = replace(self.grid, rows=ends[0], cols=ends[1], image=(sides[0], sides[1]))
        return Window(*self._around(starts, sides), first, (starts[0], starts[1]), grid, self.margin)

    def _around(self, starts: Sequence[int], sides: Sequence[int]) -> tuple[Array, Mask | None]:
        """Values and missing pixels of a window and its margin, zeros and nothing where the image has no pixel."""
        margin = self.margin
        reads = [(start - margin, start + side + margin) for start, side in zip(starts, sides, strict=True)]
        inside = [(max(0, first), min(last, end)) for (first, last), end in zip(reads, self.view.size, strict=True)]
        values, gone = self._seen(inside[0], inside[1])
        lacks = [(a - first, last - b) for (first, last), (a, b) in zip(reads, inside, strict=True)]
        if any(any(pair) for pair in lacks):
            values = np.pad(values, ((0, 0), (0, 0), *lacks))
            gone = None if gone is None else np.pad(gone, lacks)
        return values, gone


@dataclass(frozen=True, slots=True)
class Window:
    """Crops that were read together.

    Attributes:
        around: (1, C, H, W), network input, the margin included.
        gone: (H, W) of the same, pixels without data; None where there are none.
        first: the cell whose crop starts in its corner.
        start: (y, x) of its first pixel in the image as it is read, the margin left out.
        grid: its own cells.
        margin: pixels on each side; zeros where the image has none.
    """

    around: Array
    gone: Mask | None
    first: Cell
    start: tuple[int, int]
    grid: Grid
    margin: int = 0

    @property
    def values(self) -> Array:
        """(1, C, H, W), network input without the margin."""
        return self.beside((0, 0))

    def beside(self, by: tuple[int, int]) -> Array:
        """The same window (dy, dx) pixels further down and to the right, at most the margin."""
        if max(abs(step) for step in by) > self.margin:
            raise ValueError(f"moved by {by} within a margin of {self.margin} pixels")
        y, x = (
            slice(self.margin + step, self.margin + step + side) for step, side in zip(by, self.grid.image, strict=True)
        )
        return self.around[:, :, y, x]

    def has_moved(self, cell: Cell, by: tuple[int, int], size: tuple[int, int], most: float) -> bool:
        """Whether a cell's moved crop lies in the image of this size, and no more than a share ``most`` of it is missing."""
        tops = [int((at - first) * step) for at, first, step in zip(cell, self.first, self.grid.stride, strict=True)]
        sides = [int(side) for side in self.grid.crop]
        own = [top + step for top, step in zip(tops, by, strict=True)]
        starts = [top + start for top, start in zip(own, self.start, strict=True)]
        if any(a < 0 or a + side > end for a, side, end in zip(starts, sides, size, strict=True)):
            return False
        if self.gone is None:
            return True
        y, x = (slice(self.margin + top, self.margin + top + side) for top, side in zip(own, sides, strict=True))
        return float(self.gone[y, x].mean()) <= most

    def crop(self, cell: Cell) -> Array:
        """(1, C, h, w) of a cell."""
        x0, y0, x1, y1 = (int(v) for v in self.grid.box(cell[0] - self.first[0], cell[1] - self.first[1]))
        return np.ascontiguousarray(self.values[:, :, y0:y1, x0:x1])


def sides_of(
    model: Model,
    view: View,
    job: Job,
    asked: int | None,
    memory: int | None,
    notes: Callable[[str], None],
    margin: int = 0,
    value: str | None = None,
) -> tuple[ByTiles, Crops]:
    """A map's tiles and crops for the answers of so many cells (None: all), within a memory.

    Args:
        margin: pixels by which crops are to be moved at most.
        value: what is asked of crops: a value of the untouched network, where it is another than the map's output.

    Raises:
        BadInput: the image has no room for a crop, or what is least takes more memory than there is.
    """
    budget = default_budget() if memory is None else memory
    plan = _plan(model, view, job, asked, budget, notes)
    crops = Crops.of(model, plan.way, view, job, plan.read_grid, margin, value)
    if plan.peak_bytes + crops.window_bytes > budget:
        plan = _plan(model, view, job, asked, budget - crops.window_bytes, lambda note: None)
    room = budget - plan.base - plan.tiles.stage_bytes - crops.window_bytes
    return ByTiles(plan, view, job), crops.within(room, plan.way)


def _plan(
    model: Model, view: View, job: Job, asked: int | None, budget: int, notes: Callable[[str], None]
) -> StreamPlan:
    """Tiles; the whole image at once for a network that cannot be cut."""
    try:
        return plan_stream(model, view, job, budget, notes=notes, asked=asked)
    except (CannotCast, CannotRun):
        raise
    except Refused as error:
        plan = plan_stream(model, view, job, tiles=_whole(model, view, job))
        if plan.peak_bytes > budget:
            raise BadInput(
                f"{view.about.name}: takes {plan.peak_bytes / 1e6:,.0f} MB, and {budget / 1e6:,.0f} MB may be taken; {error}"
            ) from None
        return plan


def _whole(model: Model, view: View, job: Job) -> Tiles:
    """The whole image as one tile."""
    way = job.way(model)
    grid = way.sampling.over(view.size)
    counts = grid.rows, grid.cols
    y, x = (
        Side((0, count), tuple((shift * int(step), length) for shift in range(shifts)))
        for count, step, length, shifts in zip(counts, way.sampling.stride, view.size, way.shifts, strict=True)
    )
    return Tiles(
        (y,), (x,), way.model.fitting(view.size, way.output), (max(1, grid.rows), max(1, grid.cols)), counts, view.size
    )
