"""The cast network over a tile on its device, whole or in parts with the same cells where memory is short."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from fullconv.errors import BadInput
from fullconv.geometry.lengths import map_sizes
from fullconv.maps.ways import Way
from fullconv.runtimes.torch.device import computing
from fullconv.stream.device.enter import Enter
from fullconv.stream.device.leave import ASKED, OUTSIDE, UNASKED, Leave
from fullconv.stream.device.network import Compiled, Network, Networks
from fullconv.stream.device.tensors import Array
from fullconv.stream.door import Loaded
from fullconv.stream.timings import Timings
from fullconv.tiling.tiles import Tile
from fullconv.tiling.window import Reach

_log = logging.getLogger("fullconv")
_SPARED = (
    8  # runs that are done in parts at once after one that did not fit: memory that a neighbour took is not back soon
)
Range = tuple[int, int]
Answers = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Run:
    """Where a run of the network lies.

    Attributes:
        pixels: its rows and columns [start, stop) of the image.
        size: (height, width) of what the network takes of them, cut behind the last crop or filled up.
        cells: (rows, cols) of what it gives.
        first: (row, col) of the map's cell that is its first.
    """

    pixels: tuple[Range, Range]
    size: tuple[int, int]
    cells: tuple[int, int]
    first: tuple[int, int]

    def take(self, cells: tuple[Range, Range]) -> tuple[slice, slice]:
        """Where cells of the map lie in it."""
        y, x = (slice(a - at, b - at) for (a, b), at in zip(cells, self.first, strict=True))
        return y, x


class Whole(nn.Module):
    """Pixels to what is stored."""

    def __init__(self, enter: Enter, network: Network, leave: Leave) -> None:
        super().__init__()
        self.enter, self.network, self.leave = enter, network, leave

    def forward(self, pixels: torch.Tensor, gone: torch.Tensor, which: torch.Tensor) -> Answers:
        answers: Answers = self.leave(self.network(self.enter(pixels, gone))[0], which)
        return answers


@dataclass
class Short:
    """What is known of a device's memory: that it was too little a moment ago.

    Attributes:
        runs: that are still done in parts at once.
        is_said: whether it was told.
    """

    runs: int = 0
    is_said: bool = False


class Cast:
    """The cast network's work for tiles."""

    def __init__(
        self, way: Way, enter: Enter, networks: Networks, leave: Leave, reaches: Sequence[Reach],
        most: tuple[int, int], short: Short, timings: Timings | None,
    ) -> None:  # fmt: skip
        """Args:
        reaches: what cells need of the image, for rows and columns.
        most: (rows, cols) of the map.
        short: shared by all that runs on the device.
        """
        self._way, self._reaches, self._most = way, reaches, most
        self._enter, self._networks, self._leave = enter, networks, leave
        self._whole: dict[Network, Compiled] = {}
        self._bare: dict[Network, Compiled] = {}
        self._short, self._timings = short, timings

    def size(self, tile: Tile) -> tuple[int, int]:
        return self.run_of(tile.y.parts[0], tile.x.parts[0]).size

    def which(self, loaded: Loaded) -> Array:
        """(rows, cols) of what the network gives: what each cell is to the tile."""
        tile = loaded.tile
        run = self.run_of(tile.y.parts[0], tile.x.parts[0])
        found = np.full(run.cells, OUTSIDE, np.uint8)
        found[run.take((tile.y.cells, tile.x.cells))] = np.where(loaded.answers, ASKED, UNASKED)
        return found

    def feeds(self, loaded: Loaded) -> dict[str, Array]:
        return {}

    def compute(self, given: dict[str, torch.Tensor], tile: Tile) -> Answers:
        """(kept, rows, cols) of the tile's cells as stored, their winners, and what is to be looked at."""
        pixels, gone, which = given["pixels"], given["gone"], given["which"]
        cells = tile.y.cells, tile.x.cells
        run = self.run_of(tile.y.parts[0], tile.x.parts[0])
        y, x = run.take(cells)
        if self._has_room():
            try:
                stored, winners, told = self._compiled(run.size)(pixels, gone, which)
                return stored[:, y, x], winners[y, x], told
            except torch.OutOfMemoryError:
                self._short.runs = _SPARED - 1
        with torch.inference_mode():
            answers: Answers = self._leave(self._parted(pixels, gone, run, run, cells), which[y, x])
        return answers

    def scores(
        self, pixels: torch.Tensor, gone: torch.Tensor, within: Run, run: Run, cells: tuple[Range, Range]
    ) -> torch.Tensor:
        """(classes, rows, cols) of cells that a run gives, whose pixels lie within others."""
        y, x = run.take(cells)
        if self._has_room():
            try:
                network = self._networks.of((1, *run.size))
                if network not in self._bare:
                    self._bare[network] = Compiled(network, network.precision, network.device, self._timings)
                found: torch.Tensor = self._bare[network](self.values(pixels, gone, within, run))[0]
                return found.float()[:, y, x]
            except torch.OutOfMemoryError:
                self._short.runs = _SPARED - 1
        return self._parted(pixels, gone, within, run, cells)

    def _has_room(self) -> bool:
        """Whether a run is tried as a whole."""
        if self._short.runs == 0:
            return True
        self._short.runs -= 1
        return False

    def _parted(
        self, pixels: torch.Tensor, gone: torch.Tensor, within: Run, run: Run, cells: tuple[Range, Range]
    ) -> torch.Tensor:
        own = _Parts(self, pixels, gone, within)
        scores = own.scores(cells, run)
        if not self._short.is_said:
            self._short.is_said = True
            _log.warning(
                "%s is short of memory for tiles of %s px, which another process may take: they are run in %d parts, with the same cells",
                self.device, "×".join(map(str, run.size)), own.count,
            )  # fmt: skip
        return scores

    def run_of(self, rows: Range, cols: Range) -> Run:
        """The run over these pixels of the image."""
        way, steps = self._way, self._way.sampling.stride
        size = way.model.fitting((rows[1] - rows[0], cols[1] - cols[0]), way.output)
        found = map_sizes(way.model.graph, size)[way.output]
        return Run((rows, cols), size, found, (rows[0] // int(steps[0]), cols[0] // int(steps[1])))

    def part_of(self, cells: tuple[Range, Range]) -> Run:
        """The least run that has these cells."""
        sides = []
        for reach, (first, last), most in zip(self._reaches, cells, self._most, strict=True):
            sides.append((reach.start(first), reach.stop(None if last >= most else last)))
        return self.run_of(sides[0], sides[1])

    def halves(self, cells: tuple[Range, Range], run: Run) -> list[tuple[Range, Range]]:
        """Cells in two, across the longer side of what the network runs on; none where they are the least."""
        for side in sorted((0, 1), key=lambda side: -run.size[side]):
            first, last = cells[side]
            reach = self._reaches[side]
            middle = first + (last - first) // 2 // reach.granule * reach.granule
            if min(middle - first, last - middle) >= reach.least:
                ends = (first, middle), (middle, last)
                return [(end, cells[1]) if side == 0 else (cells[0], end) for end in ends]
        return []

    def values(self, pixels: torch.Tensor, gone: torch.Tensor, within: Run, part: Run) -> torch.Tensor:
        """(1, C, H, W), what the network takes of a part."""
        (y, bottom), (x, right) = part.pixels
        top, left = y - within.pixels[0][0], x - within.pixels[1][0]
        height = min(part.size[0], bottom - y, within.size[0] - top)
        width = min(part.size[1], right - x, within.size[1] - left)
        values = self._enter(
            pixels[top : top + height, left : left + width], gone[top : top + height, left : left + width]
        )
        return nn.functional.pad(values, (0, part.size[1] - width, 0, part.size[0] - height))

    def run(self, values: torch.Tensor) -> torch.Tensor:
        """The network alone, uncompiled: parts have many shapes."""
        network = self._networks.of((1, values.shape[2], values.shape[3]))
        with computing(network.precision, network.device):
            scores: torch.Tensor = network(values)[0].float()
        return scores

    def _compiled(self, size: tuple[int, int]) -> Compiled:
        network = self._networks.of((1, *size))
        if network not in self._whole:
            whole = Whole(self._enter, network, self._leave)
            self._whole[network] = Compiled(whole, network.precision, network.device, self._timings)
        return self._whole[network]

    @property
    def device(self) -> torch.device:
        return self._networks.device


class _Parts:
    """One tile in parts, as small as memory asks for."""

    def __init__(self, cast: Cast, pixels: torch.Tensor, gone: torch.Tensor, within: Run) -> None:
        self._cast, self._pixels, self._gone, self._within = cast, pixels, gone, within
        self.count = 0

    def scores(self, cells: tuple[Range, Range], run: Run) -> torch.Tensor:
        """(classes, rows, cols) of the cells of a run that was too large, of two halves at first."""
        halves = self._cast.halves(cells, run)
        if not halves:
            raise BadInput(_too_small(self._cast.device, run.size))
        _freed(self._cast.device)
        found = [self._scores(half) for half in halves]
        return torch.cat(found, 1 if halves[0][1] == cells[1] else 2)

    def _scores(self, cells: tuple[Range, Range]) -> torch.Tensor:
        run = self._cast.part_of(cells)
        try:
            scores = self._cast.run(self._cast.values(self._pixels, self._gone, self._within, run))
            y, x = run.take(cells)
            self.count += 1
            return scores[:, y, x].clone()
        except torch.OutOfMemoryError:
            pass
        return self.scores(cells, run)


def _freed(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _too_small(device: torch.device, size: tuple[int, int]) -> str:
    room = ""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        room = f" ({free / 1e9:.1f} of its {total / 1e9:.1f} GB are free)"
    return (
        f"{device} has not the memory{room} for the least part of a tile, {size[1]}×{size[0]} px; what is done is kept, and the same command "
        "goes on once more of it is free, or give --device cpu"
    )
