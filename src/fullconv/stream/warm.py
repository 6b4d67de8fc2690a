"""The engine's first run: what the process holds then, and how long a crop takes, from which a map's time is told before it is begun."""

from __future__ import annotations

from contextlib import nullcontext
from time import perf_counter

import numpy as np

from fullconv.errors import BadInput
from fullconv.maps.ways import Way
from fullconv.stream.device.memory import kind_of
from fullconv.stream.job import Job
from fullconv.system.memory import give_back, resident_bytes
from fullconv.system.parse import compiling

_SIDE, _CROPS = (
    2048,
    32,
)  # what a GPU is timed on: of a crop alone it starts the kernels, and computes for a fiftieth of the time


def warm(way: Way, job: Job, channels: int, usual: bool = True) -> tuple[int, float]:
    """Bytes that the process holds now that the engine has run on one crop, and what writes is loaded; seconds of a crop.

    Args:
        usual: it is not run by a device's road.
    """
    import zarr  # noqa: F401

    with nullcontext() if usual else compiling(False):  # a device's road compiles for tiles
        seconds = _seconds(way, job, (1, channels, *way.model.image_shape[1:]))
        give_back()
        held = resident_bytes()
        if not usual and kind_of(job) != "cpu":
            seconds = min(seconds, _on_many(way, job, channels, seconds))
    return held, seconds


def _on_many(way: Way, job: Job, channels: int, of_one: float) -> float:
    """Seconds of a crop among so many that a GPU is busy; those of one where it has not the memory for them."""
    height, width = way.model.image_shape[1:]
    try:
        if way.by == "crops":
            return _seconds(way, job, (_CROPS, channels, height, width)) / _CROPS
        size = way.model.fitting((max(height, _SIDE), max(width, _SIDE)), way.output)
        return _seconds(way, job, (1, channels, *size)) * height * width / (size[0] * size[1])
    except BadInput:
        return of_one
    finally:
        way.model.let_go()  # of the host's memory it keeps what went up
        give_back()


def _seconds(way: Way, job: Job, shape: tuple[int, int, int, int]) -> float:
    """Of a run on zeros."""
    values, took = np.zeros(shape, np.float32), []
    for _ in range(2):  # the first compiles, by other engines
        start = perf_counter()
        way.model.run(values, outputs=[way.output], runtime=job.runtime, precision=job.precision)
        took.append(perf_counter() - start)
    return min(took)
