"""One tile: read, run, store. What a worker does, alone or as one of many."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.errors import BadInput
from fullconv.fingerprint import State
from fullconv.geometry.grid import Grid
from fullconv.maps.crops import run_crops
from fullconv.maps.finite import require_numbers
from fullconv.maps.mapping import run_cast
from fullconv.maps.missing import share_of
from fullconv.maps.ways import Way
from fullconv.rasters.pictures import to_channels
from fullconv.rasters.source import Unreadable
from fullconv.rasters.view import View
from fullconv.results.store import NO_CLASS, Store
from fullconv.stream.confirm import Confirmer
from fullconv.stream.job import Job
from fullconv.stream.spoiled import read_around
from fullconv.stream.where import Where, auto_share, blank, own_square, where_of
from fullconv.tiling.tiles import Tile

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


@dataclass
class Loaded:
    """A tile's pixels, ready to be run on.

    Attributes:
        values: (1, C, H, W), zeros past the image's end and where data is missing; None where no cell is mapped.
        answers: (rows, cols), which cells are mapped.
        buffer: what ``values`` lie in, to be used again.
        failed: why some of its pixels do not decode.
    """

    tile: Tile
    values: Array | None
    answers: Mask
    buffer: Array
    failed: str = ""


@dataclass
class Done:
    """A tile's answers: (classes, rows, cols) as kept, what is to be remembered, and which cells are their crops' own."""

    tile: Tile
    scores: Array | None
    top1: Array | None
    mark: Mapping[str, Any]
    confirmed: Mask | None = None

    @property
    def note(self) -> str:
        """The mark as text, empty where nothing is to be remembered."""
        return json.dumps(self.mark) if self.mark else ""


class Worker:
    """Does the tiles of one job; keeps its network's session, its image and its store open."""

    def __init__(
        self,
        job: Job,
        way: Way,
        view: View,
        store: Store | None,
        read_grid: Grid,
        grid: Grid,
        crops: Way | None = None,
    ) -> None:
        """Args:
        crops: the way of the same cells by crops, where some of them are confirmed by theirs.
        """
        self.job, self.way, self.view, self.store = job, way, view, store
        self._confirmer = None if crops is None or job.statement is None else Confirmer.of(crops, job)
        self._read_grid, self._grid = read_grid, grid
        self._channels = way.model.image_shape[0]
        self._state = State(job.image)
        self._least = auto_share(job.where)

    @cached_property
    def _where(self) -> Where | None:
        return where_of(self.job.where, self.view.about)

    # Reading -------------------------------------------------------------------------------------

    def load(self, tile: Tile, buffer: Array) -> Loaded:
        """Read a tile.

        Args:
            buffer: float32 (C, H, W) at least as large as the tile, to be written to.

        Raises:
            Unreadable: its pixels do not decode, and the job stops at such.
            BadInput: the image has changed since the job began.
        """
        answers = self._asked(tile)
        if not answers.any():
            return Loaded(tile, None, answers, buffer)
        (y0, y1), (x0, x1) = self._read_by(tile)
        failed = ""
        try:
            pixels, missing = self.view.read((y0, y1), (x0, x1))
        except Unreadable as error:
            self._require_unchanged()
            if self.job.on_error == "stop":
                raise Unreadable(
                    f"{error}; the tiles before it are kept. --on-error skip (with --restart, or into another output) leaves these "
                    "pixels out; once the image is whole again, the same command goes on"
                ) from None
            self.view.reopen()
            pixels, missing, failed = read_around(self.view, (y0, y1), (x0, x1))
        self._require_unchanged()
        if missing is not None:
            crop = int(self._read_grid.crop[0]), int(self._read_grid.crop[1])
            answers &= self._shares(tile, missing, (0, 0), crop) <= self.job.missing
        if self._least is not None:
            answers &= 1 - self._shares(tile, blank(pixels), *own_square(self._read_grid)) >= self._least
        if not answers.any():
            return Loaded(tile, None, answers, buffer, failed)
        values = buffer[:, : y1 - y0, : x1 - x0]
        height, width = pixels.shape[:2]
        fitted, _ = to_channels(pixels, self._channels)
        inside = values[:, :height, :width]
        self.job.preprocess.apply(fitted, inside, ordered=self.view.ordered)
        if missing is not None:
            inside[:, missing] = 0  # as padding is
        values[:, height:], values[:, :, width:] = 0, 0
        return Loaded(tile, values[None], answers, buffer, failed)

    def _read_by(self, tile: Tile) -> tuple[tuple[int, int], tuple[int, int]]:
        """The pixels [first, last) of a tile: what the network runs on, and all of the cells' crops where these are run too."""
        if self.job.confirm is None:
            return tile.y.read, tile.x.read
        steps = zip((tile.y, tile.x), self._read_grid.stride, self._read_grid.crop, strict=True)
        y, x = ((side.read[0], max(side.read[1], int((side.cells[1] - 1) * step + crop))) for side, step, crop in steps)
        return y, x

    def _require_unchanged(self) -> None:
        if not self._state.is_same:
            raise BadInput(
                f"{self.view.about.name}: has changed while it was read; start anew with --restart once it is whole"
            )

    def _asked(self, tile: Tile) -> Mask:
        if self._where is not None:
            return self._where.cells(self._grid, tile.y.cells, tile.x.cells)
        shape = tuple(last - first for first, last in (tile.y.cells, tile.x.cells))
        return np.ones(shape, np.bool_)

    def _shares(self, tile: Tile, mask: Mask, first: tuple[int, int], size: tuple[int, int]) -> npt.NDArray[np.float64]:
        """Share of a part of each cell's crop, ``first`` pixels from its corner, that a mask over the tile's pixels holds."""
        rows, cols = (
            np.arange(*side.cells) * int(step) + inset - side.read[0]
            for side, step, inset in zip((tile.y, tile.x), self._read_grid.stride, first, strict=True)
        )
        return share_of(mask, rows, cols, size)

    # Running -------------------------------------------------------------------------------------

    def run(self, loaded: Loaded) -> Done:
        """The network's answers for a tile that was read."""
        tile = loaded.tile
        left_out = int(loaded.answers.size - loaded.answers.sum())
        mark: dict[str, Any] = {}
        if loaded.failed:
            mark["failed"] = loaded.failed
        if left_out:
            mark["left_out"] = left_out
        if loaded.values is None:
            return Done(tile, None, None, mark)
        scores = self._crops(loaded) if self.way.by == "crops" else self._cast(loaded)
        require_numbers(self.way.model, loaded.values, scores)
        confirmed = None
        if self._confirmer is not None:
            confirmed = self._confirmer.confirm(scores, loaded.values, self._tops(tile), loaded.answers)
            mark["confirmed"] = int(confirmed.sum())
        top1 = None
        if self.job.keep == "top1":
            winners = scores.argmax(axis=0)
            top1 = np.where(loaded.answers, winners, NO_CLASS).astype(np.uint16)
            scores = np.take_along_axis(scores, winners[None], axis=0)
        elif self.job.keep != "all":
            scores = scores[list(self.job.kept)]
        if left_out:
            scores[:, ~loaded.answers] = np.nan
        return Done(tile, scores, top1, mark, confirmed)

    def _tops(self, tile: Tile) -> tuple[int, int]:
        """(y, x) of the first cell's crop in a tile's pixels."""
        top, left = (
            side.cells[0] * int(step) - side.read[0]
            for side, step in zip((tile.y, tile.x), self.way.sampling.stride, strict=True)
        )
        return top, left

    def _cast(self, loaded: Loaded) -> Array:
        tile, way, values = loaded.tile, self.way, loaded.values
        assert values is not None, "what has answers was read"
        shape = loaded.answers.shape
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

    def _crops(self, loaded: Loaded) -> Array:
        tile, way, values = loaded.tile, self.way, loaded.values
        assert values is not None, "what has answers was read"
        top, left = self._tops(tile)
        part = values[:, :, top:, left:]
        grid = replace(
            way.sampling.over((part.shape[2], part.shape[3])),
            rows=loaded.answers.shape[0],
            cols=loaded.answers.shape[1],
        )
        return run_crops(way.model, part, way.output, grid, self.job.runtime, self.job.precision, self.job.batch)

    # Storing -------------------------------------------------------------------------------------

    def keep(self, done: Done) -> None:
        """Store a tile's answers and mark it."""
        assert self.store is not None, "a worker that keeps has a store"
        self.store.write(done.tile, done.scores, done.top1, done.mark, done.confirmed)


def totals(marks: Mapping[str, str]) -> tuple[list[tuple[str, str]], int, int]:
    """Tiles with pixels that do not decode, with the reason, cells left without an answer, and cells that are their crops' own."""
    failed, left_out, confirmed = [], 0, 0
    for name in sorted(marks, key=lambda name: tuple(int(part) for part in name.split("-"))):
        about = json.loads(marks[name])
        left_out += about.get("left_out", 0)
        confirmed += about.get("confirmed", 0)
        if "failed" in about:
            failed.append((name, about["failed"]))
    return failed, left_out, confirmed
