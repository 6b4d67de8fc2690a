"""Tiles of which few cells are asked for: the network runs on the sections that hold these, and what it answers is laid together as the tile's.

It pays where one session of the engine serves parts of any shape.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from fullconv.errors import BadInput, CannotRun
from fullconv.geometry.grid import Grid
from fullconv.maps.ways import Way
from fullconv.rasters.view import View
from fullconv.results.encoding import fill_value
from fullconv.results.layout import NO_CLASS
from fullconv.runtimes.engine import Engine
from fullconv.runtimes.runtime import chosen, compiler
from fullconv.stream.device.memory import kind_of
from fullconv.stream.door import Array, Done, Loaded, Mask, Section
from fullconv.stream.job import Job
from fullconv.stream.lines import line_of, rim_of
from fullconv.stream.processor import read_by
from fullconv.tiling.least import Cutter
from fullconv.tiling.sections import Sections
from fullconv.tiling.tiles import Tile, Tiles


def may_be_sparse(job: Job, view: View) -> bool:
    """Whether some cells of an image may not be asked for."""
    return job.where is not None or view.may_miss


def takes_sections(job: Job, way: Way, view: View) -> bool:
    """Whether a job's tiles may be run in sections."""
    return may_be_sparse(job, view) and serves_any_shape(job, way)


def serves_any_shape(job: Job, way: Way) -> bool:
    """Whether one session of a job's engine, on the processor, runs the cast network on parts of any shape."""
    if way.by != "cast" or not _is_processor(job):
        return False
    _, any_size = compiler(job.runtime, job.precision)
    image = way.model.graph.image
    if not any_size or image is None:
        return False
    try:
        return way.model.lowered({image: way.model.graph.values[image].shape}).any_size
    except CannotRun:
        return False


def _is_processor(job: Job) -> bool:
    engine = Engine.of(job.runtime)
    return kind_of(job) == "cpu" if chosen(engine, job.precision) == "torch" else not engine.is_accelerated


def sections_of(tiles: Tiles, way: Way, view: View, grid: Grid) -> Sections | None:
    """Shapes of sections for these tiles; None where none is smaller than a tile."""
    lines = line_of(way, view.size, 0, grid), line_of(way, view.size, 1, grid)
    rims = rim_of(lines[0], way, 0), rim_of(lines[1], way, 1)
    return Sections.of(lines, (tiles.y, tiles.x), rims)


class Sparse:
    """Finds the sections of one map's tiles."""

    def __init__(self, sections: Sections, way: Way, view: View, grid: Grid, job: Job) -> None:
        """Args:
            grid: the cells in pixels as they are read.

        Raises:
            BadInput: the sections are not this network's.
        """
        lines = line_of(way, view.size, 0, grid), line_of(way, view.size, 1, grid)
        rims = rim_of(lines[0], way, 0), rim_of(lines[1], way, 1)
        try:
            self._cutter = Cutter(sections, lines, rims)
        except ValueError as error:
            raise BadInput(f"{job.out}: was begun otherwise ({error}); --restart starts anew") from None
        self._blocks = sections.y.block, sections.x.block
        self._job, self._way = job, way

    def around(self, tile: Tile, answers: Mask) -> Tile:
        """The part of a tile that is read: that of least work with all cells which are asked for, of which there are some.

        Args:
            answers: (rows, cols) of the tile.
        """
        return self._cutter.around(tile, bits_of(answers, self._blocks))

    def sections(self, tile: Tile, around: Tile, answers: Mask) -> tuple[Section, ...]:
        """What the network is run on; none where that is the whole tile.

        Args:
            around: whose pixels were read.
            answers: (rows, cols) of the tile, some of which are asked for.
        """
        parts = self._cutter.within(tile, around, bits_of(answers, self._blocks))
        if parts == (tile,):
            return ()
        (top, _), (left, _) = read_by(self._job, self._way, around)
        made = []
        for part in parts:
            rows, cols = read_by(self._job, self._way, part)
            made.append(Section(part, slice(rows[0] - top, rows[1] - top), slice(cols[0] - left, cols[1] - left)))
        return tuple(made)

    def parts(self, tile: Tile, answers: Mask) -> tuple[Tile, ...]:
        """Its sections as parts of the image, in the order in which they are run, where some of its cells are asked for."""
        return self._cutter.within(tile, self.around(tile, answers), bits_of(answers, self._blocks))


def bits_of(answers: Mask, block: tuple[int, int]) -> tuple[int, ...]:
    """Which blocks of cells hold some that are asked for: of each row of blocks the bits of its columns, lowest first."""
    blocks = answers
    for axis, side in enumerate(block):
        blocks = np.logical_or.reduceat(blocks, np.arange(0, blocks.shape[axis], side), axis=axis)
    return tuple(sum(1 << int(col) for col in np.flatnonzero(row)) for row in blocks)


def within(answers: Mask, tile: Tile, part: Tile) -> Mask:
    """A tile's (rows, cols) at the cells of a part of it: a view."""
    y, x = (
        slice(own.cells[0] - whole.cells[0], own.cells[1] - whole.cells[0])
        for own, whole in zip((part.y, part.x), (tile.y, tile.x), strict=True)
    )
    return answers[y, x]


def parted(loaded: Loaded) -> Iterator[tuple[Loaded, Gathered | None]]:
    """What goes through the door for a tile: itself, or its sections with what gathers their answers."""
    if not loaded.sections:
        yield loaded, None
        return
    assert loaded.pixels is not None, "a tile with sections was read"
    gathered = Gathered(loaded, len(loaded.sections))
    for each in loaded.sections:
        missing = None if loaded.missing is None else loaded.missing[each.rows, each.cols]
        answers = within(loaded.answers, loaded.tile, each.tile)
        yield Loaded(each.tile, loaded.pixels[each.rows, each.cols], missing, answers), gathered


class Gathered:
    """A tile's answers, section by section."""

    def __init__(self, loaded: Loaded, sections: int) -> None:
        self._tile, self._mark, self._shape = loaded.tile, dict(loaded.mark), loaded.answers.shape
        self._left, self._done = sections, Done(loaded.tile, None, None, {})

    def add(self, done: Done) -> Done | None:
        """Lay a section's answers into the tile's: the tile, once all are there."""
        whole = self._done
        whole.scores = self._laid(whole.scores, done, done.scores)
        whole.top1 = self._laid(whole.top1, done, done.top1, NO_CLASS)
        whole.confirmed = self._laid(whole.confirmed, done, done.confirmed, False)
        if "confirmed" in done.mark:
            self._mark["confirmed"] = self._mark.get("confirmed", 0) + done.mark["confirmed"]
        self._left -= 1
        return None if self._left else replace(whole, mark=self._mark)

    def _laid(self, whole: Array | None, done: Done, part: Array | None, fill: float | None = None) -> Any:
        if part is None:
            return None
        if whole is None:
            nothing = fill_value(str(part.dtype)) if fill is None else fill
            whole = np.full((*part.shape[:-2], *self._shape), nothing, part.dtype)
        rows, cols = (
            slice(own.cells[0] - whole_.cells[0], own.cells[1] - whole_.cells[0])
            for own, whole_ in zip((done.tile.y, done.tile.x), (self._tile.y, self._tile.x), strict=True)
        )
        whole[..., rows, cols] = part
        return whole
