"""The map against batched crops on the same engine, interleaved in one run, as a ratio."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import perf_counter, sleep
from typing import Any

import numpy as np

from fullconv.errors import BadInput
from fullconv.maps.crops import run_crops
from fullconv.maps.mapping import run_cast
from fullconv.maps.ways import cast_for_images
from fullconv.model import Model
from fullconv.runtimes.runtime import Precision

BATCHES = (1, 4, 16, 64)


@dataclass(frozen=True)
class BenchResult:
    """Medians in seconds. ``ratio`` is crops over map: how many times faster the map is."""

    size: tuple[int, int]
    cells: int
    one_crop: float
    crops: float
    batch: int
    map: float
    processor: str
    threads: int
    runtime: str

    @property
    def ratio(self) -> float:
        return self.crops / self.map

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "ratio": self.ratio, "map_in_crops": self.map / self.one_crop}

    def __str__(self) -> str:
        return (
            f"{self.size[0]}×{self.size[1]} image, {self.cells} cells, {self.runtime}, {self.processor}, {self.threads} threads\n"
            f"one crop            {self.one_crop * 1e3:10.2f} ms\n"
            f"{self.cells:5d} crops         {self.crops * 1e3:10.2f} ms   in batches of {self.batch}\n"
            f"the map             {self.map * 1e3:10.2f} ms   {self.map / self.one_crop:.1f} times one crop\n"
            f"the map is {self.ratio:.1f} times as fast as crops"
        )


def bench(
    model: Model,
    size: tuple[int, int] | None = None,
    *,
    runs: int = 5,
    runtime: str = "auto",
    precision: Precision = "fp32",
) -> BenchResult:
    """Time one crop, all crops in the best batch size, and the map.

    Args:
        size: (height, width) of the image; eight cells a side by default.
        runs: of each, interleaved; the median counts.
    """
    full = cast_for_images(model)
    sampling = model.sampling()
    height, width = size or tuple(int(c + 7 * s) for c, s in zip(sampling.crop, sampling.stride, strict=True))
    grid = sampling.over((height, width))
    if grid.rows < 1 or grid.cols < 1:
        raise BadInput(f"size {height}×{width} is smaller than one crop of {sampling.crop[0]}×{sampling.crop[1]}")
    output, cells = full.output(), grid.rows * grid.cols
    values = np.random.default_rng(0).integers(0, 256, (1, model.image_shape[0], height, width)).astype(np.float32)
    crop = np.ascontiguousarray(values[:, :, : int(sampling.crop[0]), : int(sampling.crop[1])])
    engine = {"runtime": runtime, "precision": precision}
    untouched = model.plan.untouched(output)
    jobs: dict[str, Callable[[], Any]] = {
        "map": lambda: run_cast(full, values, output, **engine),  # type: ignore[arg-type]
        "one": lambda: model.run(crop, outputs=[untouched], **engine),  # type: ignore[arg-type]
    }
    for batch in BATCHES:
        if batch <= cells:
            jobs[f"batch {batch}"] = lambda batch=batch: run_crops(
                model, values, untouched, grid, runtime, precision, batch
            )  # type: ignore[misc]
    times = interleaved(jobs, runs)
    best = min((name for name in times if name.startswith("batch")), key=lambda name: times[name])
    return BenchResult(
        (height, width),
        cells,
        times["one"],
        times[best],
        int(best.split()[1]),
        times["map"],
        processor(),
        cores(),
        runtime,
    )


def interleaved(jobs: Mapping[str, Callable[[], Any]], runs: int, pause: float = 0.0) -> dict[str, float]:
    """Median seconds of each job; one warm-up, then the jobs in turn, so that a busy moment hits all alike.

    Args:
        pause: seconds before each run, in which the threads of another engine stop spinning for work.
    """
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for i in range(runs + 1):
        for name, job in jobs.items():
            sleep(pause)
            start = perf_counter()
            job()
            if i:
                times[name].append(perf_counter() - start)
    return {name: median(taken) for name, taken in times.items()}


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """The processor's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
