"""The door of an engine on the processor: a tile is preprocessed into one of two buffers, while the engine runs on the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from queue import Queue
from typing import Any

import numpy as np

from fullconv.geometry.grid import Grid, Sampling
from fullconv.maps.crops import run_cells
from fullconv.maps.finite import require_numbers
from fullconv.maps.mapping import run_cast
from fullconv.maps.ways import Way
from fullconv.rasters.pictures import to_channels
from fullconv.rasters.view import View
from fullconv.results.layout import NO_CLASS
from fullconv.stream.confirm import Confirmer
from fullconv.stream.door import Array, Done, Loaded, Mask
from fullconv.stream.job import Job
from fullconv.stream.where import go_by_pixels
from fullconv.tiling.tiles import Tile

_BUFFERS = 2
_ROWS = 64  # that are made to network input at once: they stay in the processor's cache


def values_bytes(channels: int, height: int, width: int) -> int:
    """Bytes of what tiles of so many pixels are made to."""
    return _BUFFERS * channels * height * width * 4


@dataclass
class Ticket:
    """A tile that was preprocessed.

    Attributes:
        values: (1, C, H, W), zeros past the image's end and where data is missing.
        buffer: what they lie in.
    """

    tile: Tile
    values: Array
    answers: Mask
    mark: Mapping[str, Any]
    buffer: Array


class Processor:
    """The door to an engine on the processor."""

    depth = _BUFFERS

    def __init__(
        self, job: Job, way: Way, ordered: bool, shape: tuple[int, int, int], crops: Way | None = None
    ) -> None:
        """Args:
        ordered: channels are in the network's order already.
        shape: (C, H, W) of the largest tile.
        crops: the way of the same cells by crops, where some of them are confirmed by theirs.
        """
        self.job, self.way, self._ordered = job, way, ordered
        self._confirmer = None if crops is None or job.statement is None else Confirmer.of(crops, job)
        self._free: Queue[Array] = Queue()
        for _ in range(_BUFFERS):
            self._free.put(np.zeros(shape, np.float32))

    # Before the engine ---------------------------------------------------------------------------

    def start(self, loaded: Loaded) -> Ticket:
        buffer = self._free.get()
        values = values_of(loaded, self.job, self.way, self._ordered, buffer)
        return Ticket(loaded.tile, values, loaded.answers, loaded.mark, buffer)

    # The engine ----------------------------------------------------------------------------------

    def finish(self, ticket: Ticket) -> Done:
        try:
            return self._run(ticket)
        finally:
            self._free.put(ticket.buffer)

    def close(self) -> None:
        """Nothing is held but memory."""

    def _run(self, ticket: Ticket) -> Done:
        way, answers, mark = self.way, ticket.answers, dict(ticket.mark)
        scores = self._crops(ticket) if way.by == "crops" else self._cast(ticket)
        require_numbers(way.model, ticket.values, scores, self.job.precision)
        confirmed = None
        if self._confirmer is not None:
            confirmed = self._confirmer.confirm(scores, ticket.values, tops(way, ticket.tile), answers)
            mark["confirmed"] = int(confirmed.sum())
        scores, top1 = kept(self.job, scores, answers)
        return Done(ticket.tile, scores, top1, mark, confirmed)

    def _cast(self, ticket: Ticket) -> Array:
        tile, way, values = ticket.tile, self.way, ticket.values
        shape = ticket.answers.shape
        scores: Array | None = None
        for down, right in product(range(way.shifts[0]), range(way.shifts[1])):
            if down >= shape[0] or right >= shape[1]:
                continue  # a map this small has no cell of that shift
            steps = [int(step) * count for step, count in zip(way.sampling.stride, way.shifts, strict=True)]
            parts = tile.y.parts[down], tile.x.parts[right]
            (y0, y1), (x0, x1) = parts
            part = values[:, :, y0 - tile.y.read[0] : y1 - tile.y.read[0], x0 - tile.x.read[0] : x1 - tile.x.read[0]]
            found = run_cast(way.model, np.ascontiguousarray(part), way.output, self.job.runtime, self.job.precision)
            take = []
            for i, (shift, side) in enumerate(((down, tile.y), (right, tile.x))):
                own = parts[i][0] - shift * int(way.sampling.stride[i])  # where the part starts in the shifted image
                first = side.cells[0] // way.shifts[i] - own // steps[i]
                take.append(slice(first, first + -(-(shape[i] - shift) // way.shifts[i])))
            if scores is None:
                scores = np.empty((len(found), *shape), np.float32)
            scores[:, down :: way.shifts[0], right :: way.shifts[1]] = found[:, take[0], take[1]]
        assert scores is not None, "there is a first shift"
        return scores

    def _crops(self, ticket: Ticket) -> Array:
        way = self.way
        top, left = tops(way, ticket.tile)
        part = ticket.values[:, :, top:, left:]
        rows, cols = ticket.answers.shape
        grid = replace(way.sampling.over((part.shape[2], part.shape[3])), rows=rows, cols=cols)
        asked = [(int(row), int(col)) for row, col in np.argwhere(ticket.answers)]
        job = self.job
        found = run_cells(way.model, part, way.output, grid, asked, job.runtime, job.precision, job.batch)
        scores = np.zeros((found.shape[1], rows, cols), found.dtype)
        scores[:, ticket.answers] = found.T
        return scores


def values_of(loaded: Loaded, job: Job, way: Way, ordered: bool, buffer: Array) -> Array:
    """(1, C, H, W), what the network reads of a tile that has pixels; in the buffer, (C, H, W), which is at least as large."""
    pixels = loaded.pixels
    assert pixels is not None, "what has answers was read"
    (y0, y1), (x0, x1) = read_by(job, way, loaded.tile)
    values = buffer[:, : y1 - y0, : x1 - x0]
    height, width = pixels.shape[:2]
    inside = values[:, :height, :width]
    room = np.empty((min(height, _ROWS), width, 1), np.float32)
    for row in range(0, height, _ROWS):
        fitted, _ = to_channels(pixels[row : row + _ROWS], len(buffer), room)
        job.preprocess.apply(fitted, inside[:, row : row + _ROWS], ordered=ordered)
    if loaded.missing is not None:
        inside[:, loaded.missing] = 0  # as padding is
    values[:, height:], values[:, :, width:] = 0, 0
    return values[None]


def read_by(job: Job, way: Way, tile: Tile) -> tuple[tuple[int, int], tuple[int, int]]:
    """The pixels [first, last) of a tile: what the network runs on, and all of the cells' crops where these are run too."""
    return (tile.y.read, tile.x.read) if job.confirm is None else with_crops(way.sampling, tile)


def looked_at(job: Job, way: Way, view: View, grid: Grid, tile: Tile) -> tuple[tuple[int, int], tuple[int, int]]:
    """The same, and all of the cells' crops where pixels say which have an answer: else that would depend on how the image is cut."""
    return with_crops(grid, tile) if go_by_pixels(job, view) else read_by(job, way, tile)


def with_crops(cells: Sampling | Grid, tile: Tile) -> tuple[tuple[int, int], tuple[int, int]]:
    """The pixels [first, last) of what the network runs on for a tile, and of all of its cells' crops."""
    steps = zip((tile.y, tile.x), cells.stride, cells.crop, strict=True)
    y, x = ((side.read[0], max(side.read[1], int((side.cells[1] - 1) * step + crop))) for side, step, crop in steps)
    return y, x


def tops(way: Way, tile: Tile) -> tuple[int, int]:
    """(y, x) of the first cell's crop in a tile's pixels."""
    top, left = (
        side.cells[0] * int(step) - side.read[0]
        for side, step in zip((tile.y, tile.x), way.sampling.stride, strict=True)
    )
    return top, left


def kept(job: Job, scores: Array, answers: Mask) -> tuple[Array, Array | None]:
    """What a job keeps of (classes, rows, cols) scores, and the winners where only these are; NaN, or no class, where a cell has no answer."""
    top1 = None
    if job.keep == "top1":
        winners = scores.argmax(axis=0)
        top1 = np.where(answers, winners, NO_CLASS).astype(np.uint16)
        scores = np.take_along_axis(scores, winners[None], axis=0)
    elif job.keep != "all":
        scores = scores[list(job.kept)]
    if not answers.all():
        scores[:, ~answers] = np.nan
    return scores, top1
