"""How fast an engine is, and what work a map has for it: how long that takes follows from both.

A run takes some time whatever it runs on, more for every pixel, and more again where the run before was on another shape, since the engine gives back its
memory between the two and takes it anew (40 to 90 % more, of networks with few multiplications a number). What a crop takes tells
the first of these together with the second, and of a network of small crops next to nothing of the second alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import fmean
from time import perf_counter

import numpy as np

from fullconv.errors import BadInput
from fullconv.maps.ways import Way
from fullconv.stream.job import Job
from fullconv.stream.sparse import serves_any_shape
from fullconv.system.memory import give_back

_WORTH = 10.0  # seconds of a map, as crops tell, from which on it is measured better
_SPENT, _LONGEST = 0.05, 1.0  # of these seconds, that measuring may take; seconds of one of its runs
_ROUNDS = 4
_LEAST = 4  # crops' pixels; less tells no more than a crop


@dataclass(frozen=True, slots=True)
class Work:
    """What an engine has to do.

    Attributes:
        runs: of the engine.
        pixels: that it runs on, all runs together.
        anew: those of runs on another shape than the run before.
        cells: that are asked for.
    """

    runs: float = 0.0
    pixels: float = 0.0
    anew: float = 0.0
    cells: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(
            self.runs + other.runs, self.pixels + other.pixels, self.anew + other.anew, self.cells + other.cells
        )

    def times(self, count: float) -> Work:
        return Work(self.runs * count, self.pixels * count, self.anew * count, self.cells * count)


@dataclass(frozen=True, slots=True)
class Pace:
    """What an engine takes, in seconds.

    Attributes:
        run: whatever it runs on.
        pixel: for each pixel.
        anew: more for each pixel of a run on another shape than the run before.
    """

    run: float
    pixel: float
    anew: float

    def seconds(self, work: Work) -> float:
        return self.run * work.runs + self.pixel * work.pixels + self.anew * work.anew

    @staticmethod
    def of_runs(crop: tuple[int, float], part: tuple[int, float], anew: float) -> Pace:
        """From two runs' pixels and seconds, a crop's and a larger part's, and from the latter's seconds behind another shape."""
        pixel = (part[1] - crop[1]) / (part[0] - crop[0])
        if pixel <= 0:  # a crop that something else held up
            pixel = part[1] / part[0]
        return Pace(max(0.0, part[1] - pixel * part[0]), pixel, max(0.0, anew - part[1]) / part[0])


def measured(way: Way, job: Job, tile: tuple[int, int], work: Work, seconds: float) -> Pace | None:
    """The engine's pace on parts of a tile, (height, width) in pixels; None where a crop tells as much, or the map is short.

    Args:
        work: of the map; parts are as large as its runs are on average, or smaller.
        seconds: that it takes as crops tell.
    """
    if seconds < _WORTH or not work.runs or not serves_any_shape(job, way):
        return None
    crop = (way.model.image_shape[1], way.model.image_shape[2])
    of_crop = _timed(way, job, crop)
    most = crop[0] * crop[1] * min(_LONGEST, _SPENT * seconds / 2) / max(of_crop, 1e-9)
    shrunk = min(1.0, sqrt(min(most, work.pixels / work.runs) / (tile[0] * tile[1])))
    size = way.model.fitting((max(crop[0], int(tile[0] * shrunk)), max(crop[1], int(tile[1] * shrunk))), way.output)
    pixels = size[0] * size[1]
    if size[0] > tile[0] or size[1] > tile[1] or pixels < _LEAST * crop[0] * crop[1]:
        return None
    anew, same, start = [], [], perf_counter()
    try:
        for _ in range(_ROUNDS):
            anew.append(_timed(way, job, size))
            same.append(_timed(way, job, size))
            of_crop = min(of_crop, _timed(way, job, crop), _timed(way, job, crop))
            if perf_counter() - start > _SPENT * seconds / 2:
                break
    except BadInput:
        return None
    finally:
        give_back()
    return Pace.of_runs((crop[0] * crop[1], of_crop), (pixels, fmean(same)), fmean(anew))


def _timed(way: Way, job: Job, size: tuple[int, int]) -> float:
    """Seconds of a run on zeros."""
    values = np.zeros((1, way.model.image_shape[0], *size), np.float32)
    start = perf_counter()
    way.model.run(values, outputs=[way.output], runtime=job.runtime, precision=job.precision)
    return perf_counter() - start
