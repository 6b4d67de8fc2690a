"""A finer map on a device: the cast network over a tile and its shifts, whose cells lie between one another's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import torch

from fullconv.geometry.grid import Sampling
from fullconv.maps.ways import Way
from fullconv.stream.device.cast import Answers, Cast, Range, Run
from fullconv.stream.device.leave import ASKED, UNASKED, Leave
from fullconv.stream.device.tensors import Array
from fullconv.stream.door import Loaded
from fullconv.tiling.cut import Side
from fullconv.tiling.tiles import Tile
from fullconv.tiling.window import Reach

Make = Callable[[Way, Sequence[Reach], tuple[int, int]], Cast]


class Shifted:
    """The work for tiles of a way with shifts.

    Every shift is the map of an image of its own, that begins so many pixels later: a ``Cast`` does it, in that image's pixels and cells.
    """

    def __init__(
        self, way: Way, make: Make, reaches: Sequence[Sequence[Reach]], most: tuple[int, int], leave: Leave
    ) -> None:
        """Args:
        make: the cast network's work for the map of one shift, of what its cells need, and its (rows, cols).
        reaches: what cells need of the image, for rows and columns, of every shift.
        most: (rows, cols) of the finer map.
        """
        self._leave = leave
        self._steps = int(way.sampling.stride[0]), int(way.sampling.stride[1])
        self._count = way.shifts
        stride = way.sampling.stride[0] * way.shifts[0], way.sampling.stride[1] * way.shifts[1]
        own = replace(way, sampling=Sampling(stride, way.sampling.crop, way.sampling.field), shifts=(1, 1))
        self._casts: dict[tuple[int, int], Cast] = {}
        for down, right in product(*map(range, way.shifts)):
            rows, cols = (-(-(m - s) // k) for m, s, k in zip(most, (down, right), way.shifts, strict=True))
            if min(rows, cols) > 0:  # a map this small has no cell of that shift
                self._casts[down, right] = make(own, (reaches[0][down], reaches[1][right]), (rows, cols))

    def size(self, tile: Tile) -> tuple[int, int]:
        (y0, y1), (x0, x1) = tile.y.read, tile.x.read
        return y1 - y0, x1 - x0

    def which(self, loaded: Loaded) -> Array:
        """(rows, cols) of the tile."""
        return np.where(loaded.answers, ASKED, UNASKED).astype(np.uint8)

    def feeds(self, loaded: Loaded) -> dict[str, Array]:
        return {}

    def compute(self, given: dict[str, torch.Tensor], tile: Tile) -> Answers:
        """(kept, rows, cols) of the tile's cells as stored, their winners, and what is to be looked at."""
        which = given["which"]
        height, width = which.shape
        scores: torch.Tensor | None = None
        with torch.inference_mode():
            for (down, right), cast in self._casts.items():
                if down >= height or right >= width:
                    continue
                y, x = self._side(tile.y, 0, down), self._side(tile.x, 1, right)
                within = Run((y[0], x[0]), self.size(tile), (0, 0), (0, 0))
                run = cast.run_of(y[1], x[1])
                found = cast.scores(given["pixels"], given["gone"], within, run, (y[2], x[2]))
                if scores is None:
                    scores = torch.empty((len(found), height, width), device=found.device)
                scores[:, down :: self._count[0], right :: self._count[1]] = found
            assert scores is not None, "there is a first shift"
            answers: Answers = self._leave(scores, which)
        return answers

    def _side(self, side: Side, axis: int, shift: int) -> tuple[Range, Range, Range]:
        """Of one axis: the tile's pixels, those of the shift's run, and its cells, in the shifted image's own."""
        count, first = self._count[axis], side.cells[0] // self._count[axis]
        cells = -(-(side.cells[1] - side.cells[0] - shift) // count)
        read, part = (
            (start - shift * self._steps[axis], stop - shift * self._steps[axis])
            for start, stop in (side.read, side.parts[shift])
        )
        return read, part, (first, first + cells)
