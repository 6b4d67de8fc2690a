"""From a network and an image to tiles: reach, cost and budget put together."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import log2, prod
from typing import Any

import numpy as np

from fullconv.errors import BadInput, CannotRun
from fullconv.geometry.grid import Grid
from fullconv.maps.cost import engine_bytes, turns
from fullconv.maps.mapping import require_room
from fullconv.maps.ways import Way
from fullconv.model import Model
from fullconv.rasters.view import View
from fullconv.results.chunks import threads
from fullconv.results.layout import CHUNK_BYTES
from fullconv.stream.confirm import crops_bytes, crops_of
from fullconv.stream.device.confirmed import unconfirmed
from fullconv.stream.device.memory import share_of
from fullconv.stream.device.road import why_usual
from fullconv.stream.job import Job
from fullconv.stream.lines import line_of, rim_of
from fullconv.stream.pace import Pace, Work
from fullconv.stream.pipeline import ANSWERS, PIXELS
from fullconv.stream.processor import values_bytes
from fullconv.stream.sparse import takes_sections
from fullconv.stream.strips_parts import as_kept
from fullconv.stream.strips_plan import with_rows
from fullconv.stream.warm import warm
from fullconv.stream.where import go_by_pixels
from fullconv.system.memory import available_bytes
from fullconv.system.notebook import as_html, counted
from fullconv.tiling.tiles import Cost, Room, Tiles, plan_tiles

_PROCESS = 160 << 20  # bytes of a process before the first pixel, libraries and all, as planned with
_WITH_ONNX = 216 << 20  # the same where ONNX files are read
_WITH_TORCH = 480 << 20  # the same where PyTorch is loaded
_THREADS = 32 << 20  # what the threads of a run, their queues and encoders hold at most
_USUAL_THREADS = 20 << 20  # what they hold as a rule: measured 10 to 29 MB
_QUANTUM = 128 << 20
_ENGINE = 160 << 20  # of another engine's library and code
_TRYING = 6  # copies of the weights that it takes while it compiles
_WEIGHTS = 3.2  # copies of the weights: the file's, what a cast changes, and the engine's in an order of its own
_BESIDE = 2.2  # copies of another network's: the file's are there already
_CONFIRMED = 2  # copies of a tile's scores while crops take the places of some
_CROPS_TOO = (
    "\ncells that the map is not sure enough of are run as crops: which, is found on random ones before the map"
)
_LEAST_DEFAULT = 1 << 30
Seconds = Callable[[int, int, int, int], float]  # of a tile's height and width in pixels, rows and columns in cells


@dataclass(frozen=True)
class StreamPlan:
    """What a run will do.

    Attributes:
        way: what runs.
        grid: the cells in pixels of the image's finest level.
        read_grid: the cells in pixels as they are read.
        tiles: how the map is cut.
        budget: bytes.
        base: bytes that the process holds before the first pixel, the engine's session included.
        seconds: about what the engine will take for all tiles.
        pace: how fast it is.
        work: what it will do, as far as that was looked at.
        crops: the way of the same cells by crops, where some are confirmed by theirs.
        rims: (down, right) pixels that a tile is read further for these.
        crop_seconds: about what one of them takes.
        confirmed: about which share of the cells is.
        room: memory of a device that tiles have to fit in too.
        share: about what of the tiles' work is done, where few of their cells are asked for; 1 where that is not known ahead.
        by_workers: other processes do the tiles, each within the budget.
        blocks: bytes of the image's blocks that are kept beside, so that none is decoded twice (in bands, none of one); None where some are.
        is_sparse: much of the tiles' work is saved so, as far as is known ahead.
    """

    way: Way
    grid: Grid
    read_grid: Grid
    tiles: Tiles
    budget: int
    base: int
    pace: Pace
    seconds: float = 0.0
    work: Work = field(default_factory=Work)
    crops: Way | None = None
    rims: tuple[int, int] = (0, 0)
    crop_seconds: float = 0.0
    confirmed: float = 0.0
    room: Room | None = None
    share: float = 1.0
    blocks: int | None = None
    is_sparse: bool = False
    by_workers: bool = False

    def at(self, pace: Pace) -> StreamPlan:
        """The same at another pace of the engine."""
        seconds = pace.seconds(self.work) + self.confirmed * self.work.cells * self.crop_seconds
        return replace(self, pace=pace, seconds=seconds)

    def confirming(self, share: float) -> StreamPlan:
        """The same tiles, of which this share of the cells are run as crops too."""
        more = share * self.grid.rows * self.grid.cols * self.crop_seconds
        return replace(self, seconds=self.seconds + more, confirmed=share)

    @property
    def peak_bytes(self) -> int:
        """Predicted peak memory of the process."""
        return self.base + self.tiles.run_bytes + self._stage_bytes

    @property
    def _stage_bytes(self) -> int:
        return self.tiles.stage_bytes + (self.blocks or 0)

    @property
    def measuring_bytes(self) -> int:
        """What it takes at most, beside a run of one engine, to try another: its library, and copies of the weights."""
        return _ENGINE + int(_TRYING * _weights(self.way.model))

    @property
    def device_bytes(self) -> int:
        """Predicted memory of its device; 0 where it is the process's, or not planned."""
        if self.room is None:
            return 0
        rows, cols = (max(b - a for a, b in (side.cells for side in sides)) for sides in (self.tiles.y, self.tiles.x))
        return self.room.bytes(*self.tiles.shape, rows, cols)

    @property
    def buffer(self) -> tuple[int, int, int]:
        """(C, H, W) of the largest tile as it is read, all shifts of the image together."""
        height, width = (max(side.read[1] - side.read[0] for side in sides) for sides in (self.tiles.y, self.tiles.x))
        return self.way.model.image_shape[0], height + self.rims[0], width + self.rims[1]

    def __repr__(self) -> str:
        height, width = self.tiles.image
        memory = f"{self.peak_bytes / 1e6:,.0f} MB of {self.budget / 1e6:,.0f}"
        return f"StreamPlan({width} × {height} px, {counted(len(self.tiles), 'tile')}, {memory})"

    def _repr_html_(self) -> str:
        """What notebooks show."""
        image, cut, memory, *more = str(self).splitlines()
        rows = {"image": image, "work": cut, "memory": memory, "crops": "\n".join(more)}
        time = f"about {self.seconds:,.0f} s" if self.seconds else ""
        return as_html("StreamPlan", {**rows, "engine": time})

    def __str__(self) -> str:
        tiles = self.tiles
        height, width = tiles.shape
        kept = (
            ""
            if tiles.kept is None
            else f", rows kept from tile to tile in {len(tiles.x)} band{'s' * (len(tiles.x) != 1)}"
        )
        mega = tiles.image[0] * tiles.image[1] / 1e6
        sparse = f", {self.share:.0%} of it where cells are asked for" if self.share < 1 else ""
        return (
            f"{tiles.image[1]}×{tiles.image[0]} px ({mega:,.0f} megapixels), {self.grid.rows} × {self.grid.cols} cells\n"
            f"{counted(len(tiles), 'tile')} ({len(tiles.y)} × {len(tiles.x)}) of {width}×{height} px{kept}, {tiles.waste:.1%} of the work lost to halos{sparse}\n"
            f"predicted peak memory{' of a worker' if self.by_workers else ''} {self.peak_bytes / 1e6:,.0f} MB: {self.base / 1e6:,.0f} before the first pixel, "
            f"{tiles.run_bytes / 1e6:,.0f} for the engine, {self._stage_bytes / 1e6:,.0f} for reading and writing; budget {self.budget / 1e6:,.0f} MB"
            f"{'' if self.room is None else self._on_device}{'' if self.crops is None else _CROPS_TOO}"
        )

    @property
    def _on_device(self) -> str:
        assert self.room is not None, "a device's memory is planned"
        return f"\npredicted memory of {self.room.name} {self.device_bytes / 1e6:,.0f} MB; budget {self.room.budget / 1e6:,.0f} MB"

    def to_json(self) -> dict[str, Any]:
        tiles, room = self.tiles, self.room
        own = (
            {}
            if room is None
            else {"device": {"name": room.name, "budget_bytes": room.budget, "predicted_bytes": self.device_bytes}}
        )
        return {**own,
            "size": list(tiles.image),
            "grid": self.grid.in_numbers(),
            "tiles": len(tiles),
            "tile": list(tiles.shape),
            "chunk": list(tiles.chunk),
            "waste": tiles.waste,
            "rows_kept": tiles.kept is not None,
            "sections": tiles.sections is not None,
            "share": self.share,
            "seconds_expected": self.seconds,
            "budget_bytes": self.budget,
            "predicted_bytes": {"base": self.base, "engine": tiles.run_bytes, "stages": self._stage_bytes, "peak": self.peak_bytes},
        }  # fmt: skip


def plan_stream(
    model: Model,
    view: View,
    job: Job,
    budget: int | None = None,
    tiles: Tiles | None = None,
    notes: Callable[[str], None] = lambda note: None,
    asked: int | None = None,
) -> StreamPlan:
    """Plan a run; no pixel is read.

    Args:
        model: as loaded.
        view: the image.
        job: what is asked for.
        budget: bytes; half of what is free, rounded down to a power of two, by default.
        tiles: those of an earlier run, to be gone on with.
        notes: told what was decided on the way.
        asked: of how many cells the answers are wanted; all by default.

    Raises:
        Refused: a node takes the whole map together, so that no tile can stand for it.
        BadInput: the budget is below the least tile, the image below one crop, or its bands do not fit.
    """
    way = job.way(model, notes)
    if way.score_kind == "winner" and (job.keep == "top1" or job.stored != "float32"):
        raise BadInput(
            "the network gives the winner's number alone, which is stored as it is; leave out --keep (keep=) and --dtype (stored=)"
        )
    channels = model.image_shape[0]
    view.require(channels)
    read_grid = way.sampling.over(view.size)
    require_room(read_grid, job.image)
    crops = None if job.confirm is None else crops_of(model, way, job)
    held, crop_seconds = warm(way, job, channels, why_usual(job, way, view.channels) is not None)
    own_seconds = 0.0
    if crops is not None:
        held, own_seconds = warm(crops, job, channels)
    base = held + _USUAL_THREADS
    # Not where one tile is given: one that is the whole image holds networks too that no line can be cut for.
    rimmed = crops is not None or (go_by_pixels(job, view) and (tiles is None or len(tiles) > 1))
    lines = [line_of(way, view.size, side, read_grid) for side in (0, 1)] if tiles is None or rimmed else []
    rims = (rim_of(lines[0], way, 0), rim_of(lines[1], way, 1)) if rimmed else (0, 0)
    seconds = _seconds(way, crop_seconds)
    if crops is not None and job.statement is not None:
        seconds = _with_crops(seconds, own_seconds * job.statement.expected)
    sparse = takes_sections(job, way, view) if tiles is None else tiles.sections is not None
    cost = replace(_cost(way, view, job, channels, held + _THREADS, crops, rims, sparse), seconds=seconds)
    given, budget = budget, default_budget() if budget is None else budget
    if tiles is None:
        tiles = plan_tiles(lines[0], lines[1], cost, budget, view.tile, asked)
    else:
        if tiles.kept is not None:
            tiles = as_kept(tiles, way, view, cost.base, job.out)
        most = [max(last - first for first, last in (side.cells for side in sides)) for sides in (tiles.y, tiles.x)]
        if tiles.kept is None:
            run, stage = cost.run(*tiles.shape), cost.stage(*tiles.shape, *most)
            tiles = replace(tiles, run_bytes=run, stage_bytes=stage, base_bytes=cost.base)
        if given is not None and tiles.peak_bytes > given:
            raise BadInput(
                f"{job.out}: was begun with tiles that take {tiles.peak_bytes / 1e6:,.0f} MB, and the budget is {budget / 1e6:,.0f} MB; "
                f"give --memory {tiles.peak_bytes // 10**6 + 1}MB to go on, or --restart"
            )
        if cost.room is not None and job.device_memory is not None:
            cost.room.require((*tiles.shape, most[0], most[1]), "a tile that the run was begun with")
    cells = [max(last - first for first, last in (side.cells for side in sides)) for sides in (tiles.y, tiles.x)]
    expected = cost.seconds(*tiles.shape, *cells) * len(tiles)
    if tiles.kept is not None:
        expected = cost.seconds(*tiles.image, *tiles.cells) / (1 - tiles.waste)
    grid = view.in_original(read_grid)
    if crops is None:  # what only says who is answered is not run on
        rims = 0, 0
    pace = Pace(0.0, crop_seconds / prod(model.image_shape[1:]), 0.0)
    confirmed = 0.0 if crops is None or job.statement is None else job.statement.expected
    return StreamPlan(
        way, grid, read_grid, tiles, budget, base, pace, expected, Work(), crops, rims, own_seconds, confirmed, cost.room
    )  # fmt: skip


def keeping_rows(plan: StreamPlan, view: View, job: Job) -> StreamPlan:
    """The same map in strips that keep rows, where these lose less work to halos; else as it is."""
    lines = [line_of(plan.way, view.size, side, plan.read_grid) for side in (0, 1)]
    found = with_rows(plan.tiles, plan.seconds, plan.budget, plan.way, view, job, lines)
    if found is None:
        return plan
    return replace(plan, tiles=found, seconds=plan.seconds * (1 - plan.tiles.waste) / (1 - found.waste))


def _seconds(way: Way, of_crop: float) -> Seconds:
    """About what the engine takes for a tile. Rounded to a power of two, so that two runs in a row cut the same tiles."""
    about = 2.0 ** round(log2(max(of_crop, 1e-6)))
    _, height, width = way.model.image_shape
    if way.by == "crops":
        return lambda high, wide, rows, cols: about * rows * cols
    return lambda high, wide, rows, cols: about * high * wide / (height * width) * way.shifts[0] * way.shifts[1]


def _with_crops(seconds: Seconds, of_cell: float) -> Seconds:
    """The same with crops of some cells, which take so much a cell of the tile; rounded likewise."""
    about = 2.0 ** round(log2(max(of_cell, 1e-9)))
    return lambda high, wide, rows, cols: seconds(high, wide, rows, cols) + about * rows * cols


def default_budget() -> int:
    """What a process takes where nobody says."""
    return max(_LEAST_DEFAULT, budget_within(available_bytes()))


def budget_within(free: int) -> int:
    """Half of what is free, rounded down to a power of two, so that two runs in a row cut the same tiles."""
    return 1 << max(0, (max(1, free) // 2).bit_length() - 1)


def _cost(
    way: Way, view: View, job: Job, channels: int, base: int, crops: Way | None, rims: tuple[int, int], sparse: bool
) -> Cost:
    classes = 1 + len(job.labels)
    looked = 5 if go_by_pixels(job, view) else 0  # bytes a pixel of masks and their sums
    crop = tuple(int(side) for side in way.sampling.crop)
    batch = job.batch * channels * crop[0] * crop[1] * 4 if way.by == "crops" else 0
    turned = channels * 4 if way.shifts != (1, 1) or turns(way.model) else 0

    engine = engine_bytes(way, job.runtime, job.precision)
    usual = why_usual(job, way, view.channels)
    if usual is not None and job.device_memory is not None:
        raise BadInput(f"--device-memory (device_memory=) is not planned here: {usual}; leave it out")
    asked = job if crops is None else unconfirmed(job)  # of the device
    share = None if usual is not None else share_of(way, view, asked, crops)
    beside = 0 if crops is None else crops_bytes(crops, job)
    kept = ANSWERS + (0 if crops is None else _CONFIRMED) + int(sparse)  # sections', beside the tile's

    planes, each = 1 if job.keep == "top1" else len(job.kept), np.dtype(job.stored).itemsize
    # Of a cell: as it is stored, and its share of coarser levels.
    coarser = planes * ((each if each < 4 else 0) + 0.4 * each)
    # A chunk and what it is packed into, a thread; those of one are in what all threads hold.
    encoders = (threads() - 1) * 2 * CHUNK_BYTES

    def run(height: int, width: int) -> int:
        if share is not None:
            return share.run(height, width)
        if way.by == "crops":
            return engine((job.batch, channels, *way.model.image_shape[1:])) + batch
        return engine((1, channels, height, width)) + turned * height * width + beside

    def stage(height: int, width: int, rows: int, cols: int) -> int:
        height, width = height + rims[0], width + rims[1]
        waiting = (PIXELS - 1) * view.pixel_bytes(height, width)  # beside what is read
        values = values_bytes(channels, height, width) if share is None else share.stage(height, width, rows, cols)
        scores = kept * classes * rows * cols * 4 + int(coarser * rows * cols) + encoders
        return view.stage_bytes(height, width) + waiting + values + scores + looked * height * width

    planned = _planned_base(way.model, base, () if crops is None else (crops.model,))
    return Cost(run, stage, planned, room=None if share is None else share.room)


def _planned_base(model: Model, now: int, beside: Sequence[Model] = ()) -> int:
    """Bytes of the process before the first pixel that tiles are planned with.

    What it holds now differs a little from run to run, and every run of a job must cut the same tiles: so a number known ahead is taken,
    unless the process holds more.

    Args:
        beside: networks that run too.
    """
    loaded = sys.modules
    process = _WITH_TORCH if "torch" in loaded else _WITH_ONNX if "onnx_ir" in loaded else _PROCESS
    usual = process + _THREADS + int(_WEIGHTS * _weights(model)) + sum(map(beside_bytes, beside))
    return usual if now <= usual else -(-now // _QUANTUM) * _QUANTUM


def beside_bytes(model: Model) -> int:
    """What a network's weights take that runs too, beside the one that makes the map."""
    return int(_BESIDE * _weights(model))


def _weights(model: Model) -> int:
    """Bytes of a network's weights; none where its own framework runs it."""
    try:
        image = model.graph.image
        shapes = {
            name: model.graph.values[name].shape
            for name in model.graph.inputs
            if model.graph.consumers(name) or name == image
        }
        return sum(array.nbytes for array in model.format.lower(model.native, shapes).weights.values())
    except CannotRun:
        return 0
