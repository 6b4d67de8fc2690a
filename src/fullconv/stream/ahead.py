"""How much of a map's work is ahead, where a rule that needs no pixels says which cells are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

from fullconv.geometry.grid import Grid
from fullconv.maps.ways import Way
from fullconv.rasters.view import View
from fullconv.stream.job import Job
from fullconv.stream.pace import Work
from fullconv.stream.sparse import Sparse
from fullconv.stream.where import Where, where_of
from fullconv.tiling.tiles import Tile, Tiles

_LOOKED_AT = 256  # tiles that stand for all
Size = tuple[int, int]  # height, width


@dataclass(frozen=True, slots=True)
class Ahead:
    """Of one map.

    Attributes:
        tiles: all of them.
        way: what runs.
        grid: the cells in pixels of the image's finest level.
        where: the rule; None where there is none, or only pixels tell.
        sparse: finds sections; None where tiles are run whole.
    """

    tiles: Tiles
    way: Way
    grid: Grid
    where: Where | None
    sparse: Sparse | None

    @staticmethod
    def of(tiles: Tiles, way: Way, view: View, read_grid: Grid, grid: Grid, job: Job) -> Ahead:
        rule = where_of(job.where, view) if tiles.kept is None else None
        sections = None if rule is None else tiles.sections
        sparse = None if sections is None else Sparse(sections, way, view, read_grid, job)
        return Ahead(tiles, way, grid, rule, sparse)

    def work(self, tile: Tile) -> Work:
        """What the engine does for a tile; those around it are taken for its like, so that one of runs on one shape has none anew."""
        asked, shapes = self._runs(tile)
        return self._of(asked, shapes, shapes[-1] if shapes else None)

    def total(self, tiles: Sequence[Tile]) -> tuple[Work, Work]:
        """For all these tiles, told from some of them, evenly: what it does, and what it would do for all of their cells."""
        count = min(len(tiles), _LOOKED_AT)
        found, whole, last = Work(), Work(), None
        for i in range(count):
            tile = tiles[i * len(tiles) // count]
            asked, shapes = self._runs(tile)
            found += self._of(asked, shapes, last or (shapes[0] if shapes else None))
            whole += self.whole(tile)
            last = shapes[-1] if shapes else last
        return found.times(len(tiles) / max(1, count)), whole.times(len(tiles) / max(1, count))

    def whole(self, tile: Tile) -> Work:
        """What it does for a tile of which all cells are asked for."""
        cells = prod(last - first for first, last in (tile.y.cells, tile.x.cells))
        return self._of(cells, self._of_whole, self.tiles.shape)

    def _runs(self, tile: Tile) -> tuple[int, Sequence[Size]]:
        """The cells of a tile that are asked for, and the shapes of its runs by the cast network."""
        if self.where is None:
            return prod(last - first for first, last in (tile.y.cells, tile.x.cells)), self._of_whole
        answers = self.where.cells(self.grid, tile.y.cells, tile.x.cells)
        asked = int(answers.sum())
        if not asked or self.sparse is None:
            return asked, self._of_whole if asked else ()
        parts = self.sparse.parts(tile, answers)
        return asked, [
            (y1 - y0, x1 - x0) for part in parts for (y0, y1), (x0, x1) in product(part.y.parts, part.x.parts)
        ]

    @property
    def _of_whole(self) -> Sequence[Size]:
        return [self.tiles.shape] * prod(self.way.shifts)

    def _of(self, asked: int, shapes: Sequence[Size], last: Size | None) -> Work:
        """Of runs behind one on the last shape; crops are runs of their own."""
        if self.way.by == "crops":
            return Work(asked, asked * prod(self.way.model.image_shape[1:]), 0, asked)
        before = [last, *shapes]
        anew = sum(prod(shape) for shape, last in zip(shapes, before, strict=False) if shape != last)
        return Work(len(shapes), sum(map(prod, shapes)), anew, asked)
