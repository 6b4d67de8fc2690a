"""A device that is none: three lanes, a thread each, which take a fixed time for everything and do it at the very end of that."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

import numpy as np
import torch

from fullconv.stream.device.lanes import LANES
from fullconv.stream.device.leave import ASKED
from fullconv.stream.door import Loaded
from fullconv.tiling.cut import Side
from fullconv.tiling.tiles import Tile

SIZE, CELLS = (16, 24), (2, 3)


@dataclass
class Mark:
    """Of something that a lane was given."""

    lane: str
    number: int
    done: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None
    begun: float = 0.0
    ended: float = 0.0
    seconds: float = 0.0

    def wait(self) -> None:
        assert self.done.wait(20)
        if self.error is not None:
            raise self.error


class Simulated:
    """The lanes.

    Attributes:
        marks: by lane, in the order in which they were given.
    """

    device = torch.device("cpu")
    shares = False

    def __init__(
        self, takes: Mapping[str, float], depth: int = 3, faults: Mapping[tuple[str, int], BaseException] | None = None
    ) -> None:
        """Args:
        takes: seconds of everything in a lane.
        faults: raised instead of what a lane does the n-th time.
        """
        self.depth, self._takes, self._faults = depth, takes, faults or {}
        self.marks: dict[str, list[Mark]] = {lane: [] for lane in LANES}
        self._given: dict[str, SimpleQueue[Any]] = {lane: SimpleQueue() for lane in LANES}
        for lane in LANES:
            threading.Thread(target=self._serve, args=(lane,), daemon=True).start()

    def do(self, lane: str, what: Callable[[], None], *after: Mark) -> Mark:
        mark = Mark(lane, len(self.marks[lane]))
        self.marks[lane].append(mark)
        self._given[lane].put((what, after, mark))
        return mark

    def host(self, count: int) -> torch.Tensor:
        return torch.empty(count, dtype=torch.uint8)

    def close(self) -> None:
        for lane in LANES:
            self._given[lane].put(None)

    def _serve(self, lane: str) -> None:
        while (given := self._given[lane].get()) is not None:
            what, after, mark = given
            for other in after:
                other.done.wait(20)
            mark.begun = time.perf_counter()
            time.sleep(self._takes[lane])
            mark.error = next(
                (other.error for other in after if other.error is not None), self._faults.get((lane, mark.number))
            )
            if mark.error is None:
                try:
                    what()
                except BaseException as error:
                    mark.error = error
            mark.ended = time.perf_counter()
            mark.done.set()


class Sums:
    """Work whose answers tell which pixels they are of."""

    def size(self, tile: Tile) -> tuple[int, int]:
        return SIZE

    def which(self, loaded: Loaded) -> np.ndarray:
        return np.full(CELLS, ASKED, np.uint8)

    def feeds(self, loaded: Loaded) -> dict[str, np.ndarray]:
        return {}

    def compute(self, given: dict[str, torch.Tensor], tile: Tile) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        total = given["pixels"].to(torch.float32).masked_fill(given["gone"][:, :, None], 0).sum()
        return (
            total.expand(1, *CELLS).clone(),
            torch.zeros(CELLS, dtype=torch.int16),
            torch.tensor([0.0, 0.0, 0.0, 1.0]),
        )


def tiles(count: int) -> list[Loaded]:
    """Tiles of pixels that differ, in every third some without data."""
    random, found = np.random.default_rng(3), []
    for i in range(count):
        missing = random.random(SIZE) < 0.5 if i % 3 == 0 else None
        side = Side((0, 2), ((0, 16),)), Side((0, 3), ((0, 24),))
        found.append(
            Loaded(Tile(0, i, *side), random.integers(0, 256, (*SIZE, 3), np.uint8), missing, np.ones(CELLS, np.bool_))
        )
    return found


def total(loaded: Loaded) -> float:
    """What ``Sums`` must say of a tile."""
    assert loaded.pixels is not None
    seen = loaded.pixels.astype(np.float64)
    if loaded.missing is not None:
        seen[loaded.missing] = 0
    return float(seen.sum())
