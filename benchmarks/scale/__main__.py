"""Prints how Dask workers share tiles: an engine of fixed time a tile stands in for the network, so that processors do not limit it.

    python -m benchmarks.scale [--workers 1,2,4] [--tiles 200] [--seconds 0.1]

efficiency   time of the tiles alone, shared out evenly, over the time that they took
overhead     scheduler's and client's time a tile, at workers that do nothing
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, sleep
from typing import Any

import dask
from distributed import Client, LocalCluster

import fullconv
from benchmarks.scene import sparse_npy
from fullconv.demonstration import demo_files
from fullconv.stream import cluster
from fullconv.stream.plan import plan_stream
from fullconv.stream.run import job_of
from fullconv.stream.worker import Outcome
from fullconv.trust.bench import cores, processor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", default="1,2,4")
    parser.add_argument("--tiles", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=0.1)
    options = parser.parse_args()
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    print(
        f"{processor()}, {cores()} threads, fullconv {fullconv.__version__}, {options.tiles} tiles of {options.seconds:g} s\n"
    )
    print(f"{'workers':>7} {'seconds':>8} {'efficiency':>10} {'overhead a tile':>16}")
    with TemporaryDirectory() as name:
        job, plan = _plan(Path(name))
        tiles = list(plan.tiles)[: options.tiles]
        for count in (int(c) for c in options.workers.split(",")):
            with (
                dask.config.set({"distributed.admin.log-format": "%(message)s"}),
                LocalCluster(
                    n_workers=count,
                    threads_per_worker=1,
                    dashboard_address=None,
                    memory_limit=0,
                    silence_logs=logging.CRITICAL,
                ) as made,
                Client(made) as client,
            ):
                _timed(client, job, plan, tiles[: 4 * count], 0.0)
                took = _timed(client, job, plan, tiles, options.seconds)
                idle = _timed(client, job, plan, tiles, 0.0)
            ideal = options.seconds * -(-len(tiles) // count)
            print(f"{count:7} {took:8.2f} {ideal / took:10.1%} {1e3 * idle / len(tiles):13.2f} ms", flush=True)


def _plan(folder: Path) -> tuple[Any, Any]:
    with demo_files() as data:
        model = fullconv.load(data / "digits.prototxt", data / "digits.caffemodel")
    image = sparse_npy(folder / "x.npy", 30_000, 30_000)
    job = job_of(model, image, folder / "x.zarr", preprocess="unit")
    from fullconv.rasters.view import View

    return job, plan_stream(model, View(image, job.select), job, 300 << 20)


def _timed(client: Client, job: Any, plan: Any, tiles: list[Any], seconds: float) -> float:
    """The client's own loop over tasks of a fixed time."""

    def simulated(job: Any, run: str, tile: Any, shape: tuple[int, int, int]) -> Outcome:
        sleep(seconds)
        return Outcome(tile.name, "", 0)

    original, cluster.do_tile = cluster.do_tile, simulated
    try:
        start = perf_counter()
        cluster.run_on_cluster(client, job, "none", plan, tiles, lambda tile, mark, peak: None)
        return perf_counter() - start
    finally:
        cluster.do_tile = original


if __name__ == "__main__":
    main()
