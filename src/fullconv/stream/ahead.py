"""How much of a map's work is ahead, where a rule that needs no pixels says which cells are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fullconv.geometry.grid import Grid
from fullconv.maps.ways import Way
from fullconv.rasters.view import View
from fullconv.stream.job import Job
from fullconv.stream.sparse import Sparse
from fullconv.stream.where import Where, where_of
from fullconv.tiling.tiles import Tile, Tiles

_LOOKED_AT = 256  # tiles that stand for all
_LEAST = 0.01  # of a tile's work, that one without any takes


@dataclass(frozen=True, slots=True)
class Ahead:
    """Of one map.

    Attributes:
        grid: the cells in pixels of the image's finest level.
        where: the rule; None where there is none, or only pixels tell.
        sparse: finds sections; None where tiles are run whole.
    """

    grid: Grid
    where: Where | None
    sparse: Sparse | None

    @staticmethod
    def of(tiles: Tiles, way: Way, view: View, read_grid: Grid, grid: Grid, job: Job) -> Ahead:
        rule = where_of(job.where, view) if tiles.kept is None else None
        sections = None if rule is None else tiles.sections
        return Ahead(grid, rule, None if sections is None else Sparse(sections, way, view, read_grid, job))

    def share(self, tile: Tile) -> float:
        """Of a tile's work, about what is done."""
        if self.where is None:
            return 1.0
        answers = self.where.cells(self.grid, tile.y.cells, tile.x.cells)
        if not answers.any():
            return _LEAST
        return 1.0 if self.sparse is None else max(_LEAST, self.sparse.share(tile, answers))

    def mean(self, tiles: Sequence[Tile]) -> float:
        """Of all these tiles' work, told from some of them, evenly."""
        if self.where is None or not tiles:
            return 1.0
        count = min(len(tiles), _LOOKED_AT)
        return sum(self.share(tiles[i * len(tiles) // count]) for i in range(count)) / count
