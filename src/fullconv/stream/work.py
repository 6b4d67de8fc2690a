"""One tile: read, and stored. What a worker does before its engine's door and behind it, alone or as one of many."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from fullconv.errors import BadInput
from fullconv.fingerprint import State
from fullconv.geometry.grid import Grid
from fullconv.maps.missing import share_of
from fullconv.maps.ways import Way
from fullconv.rasters.source import Unreadable
from fullconv.rasters.view import View
from fullconv.results.store import Put, Store
from fullconv.stream.blank import blank, own_square
from fullconv.stream.device.confirmed import Confirmed, unconfirmed
from fullconv.stream.device.road import device_door
from fullconv.stream.door import Done, Door, Loaded, Mask
from fullconv.stream.glass import Glass, glass_of
from fullconv.stream.job import Job
from fullconv.stream.processor import Processor, looked_at, read_by
from fullconv.stream.sparse import Sparse, within
from fullconv.stream.spoiled import read_around
from fullconv.stream.strips import Strips
from fullconv.stream.timings import Timings
from fullconv.stream.where import Where, auto_share, where_of
from fullconv.tiling.tiles import Tile, Tiles


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
        tiles: Tiles | None = None,
    ) -> None:
        """Args:
        crops: the way of the same cells by crops, where some of them are confirmed by theirs.
        tiles: all of the map, where rows may be kept from one to the next, or the network run in sections of one.
        """
        self.job, self.way, self.view, self.store = job, way, view, store
        self.timings = Timings()
        if store is not None:
            store.timed = self.timings.of
        self._crops, self._kept = crops, None if tiles is None else tiles.kept
        self._read_grid, self._grid = read_grid, grid
        self._channels = way.model.image_shape[0]
        self._state = State(job.image)
        self._least = auto_share(job.where)
        sections = None if tiles is None else tiles.sections
        self._sparse = None if sections is None else Sparse(sections, way, view, read_grid, job)

    @cached_property
    def _where(self) -> Where | None:
        return where_of(self.job.where, self.view)

    @cached_property
    def _glass(self) -> Glass | None:
        return None if self._least is None else glass_of(self.view, self._read_grid, self._least)

    # Reading -------------------------------------------------------------------------------------

    def load(self, tile: Tile) -> Loaded:
        """Read a tile.

        Raises:
            Unreadable: its pixels do not decode, and the job stops at such.
            BadInput: the image has changed since the job began.
        """
        with self.timings.of("where"):
            answers = self._asked(tile)
        if not answers.any():
            return Loaded(tile, None, None, answers)
        part = tile if self._sparse is None else self._sparse.around(tile, answers)
        own = read_by(self.job, self.way, part)
        rows, cols = looked_at(self.job, self.way, self.view, self._read_grid, part)
        if rows[0] == rows[1]:  # a strip whose rows are all kept
            return Loaded(tile, np.empty((0, 0, self._channels), np.uint8), None, answers)
        failed = ""
        try:
            with self.timings.of("decode"):
                pixels, missing = self.view.read(rows, cols)
        except Unreadable as error:
            self._require_unchanged()
            if self.job.on_error == "stop":
                raise Unreadable(
                    f"{error}; the tiles before it are kept. --on-error skip (with --restart, or into another output) leaves these "
                    "pixels out; once the image is whole again, the same command goes on"
                ) from None
            self.view.reopen()
            pixels, missing, failed = read_around(self.view, rows, cols)
        self._require_unchanged()
        with self.timings.of("where"):
            asked = within(answers, tile, part)
            if missing is not None:
                crop = int(self._read_grid.crop[0]), int(self._read_grid.crop[1])
                asked &= self._shares(part, missing, (0, 0), crop) <= self.job.missing
            if self._least is not None:
                asked &= 1 - self._shares(part, blank(pixels), *own_square(self._read_grid)) >= self._least
            if not asked.any():
                return Loaded(tile, None, None, answers, failed)
            inside = slice(own[0][1] - own[0][0]), slice(own[1][1] - own[1][0])
            pixels, missing = pixels[inside], None if missing is None else missing[inside]
            sections = () if self._sparse is None else self._sparse.sections(tile, part, answers)
        if pixels.shape[2] == 1 < self._channels:  # seen so often, and not copied
            pixels = np.broadcast_to(pixels, (*pixels.shape[:2], self._channels))
        return Loaded(tile, pixels, missing, answers, failed, sections)

    def _require_unchanged(self) -> None:
        if not self._state.is_same:
            raise BadInput(
                f"{self.view.about.name}: has changed while it was read; start anew with --restart once it is whole"
            )

    def _asked(self, tile: Tile) -> Mask:
        if self._where is not None:
            return self._where.cells(self._grid, tile.y.cells, tile.x.cells)
        if self._glass is not None:
            return ~self._glass.clear(tile.y.cells, tile.x.cells)
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

    def door(self, shape: tuple[int, int, int]) -> Door:
        """The door of the job's engine.

        Args:
            shape: (C, H, W) of the largest tile.
        """
        if self._kept is not None:
            return Strips(self.job, self.way, self.view.ordered, self._kept)

        job = self.job if self.job.confirm is None else unconfirmed(self.job)

        def usual() -> Door:
            return Processor(job, self.way, self.view.ordered, shape)

        found = device_door(job, self.way, self.view, (shape[1], shape[2]), usual, self.timings)
        if found is None:
            return Processor(self.job, self.way, self.view.ordered, shape, self._crops)
        if job is self.job:
            return found
        return Confirmed(self.job, self.way, self.view.ordered, shape, found, self._crops)

    # Storing -------------------------------------------------------------------------------------

    def put(self, done: Done) -> Put:
        """Write a tile's answers; it is done once it is committed."""
        return self._own.put(done.tile, done.scores, done.top1, done.mark, done.confirmed)

    def commit(self, puts: Sequence[Put]) -> None:
        """Mark tiles done."""
        self._own.commit(puts)

    @property
    def _own(self) -> Store:
        assert self.store is not None, "a worker that keeps has a store"
        return self.store


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
