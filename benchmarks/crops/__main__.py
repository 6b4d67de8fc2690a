"""Prints the time of a slide's map by the cast network and by batched crops at the same stride, both through ``map_raster``.

    python -m benchmarks.crops [--side 4000] [--models demo,resnet18] [--batch 16]

Both read the same tiles of the same slide and write the same cells; where the network is exact the scores agree, and how far is printed.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import fullconv
from benchmarks.scene import jpeg_tiff
from benchmarks.stream.__main__ import _MODELS
from fullconv.trust.bench import cores, processor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default="demo,resnet18")
    parser.add_argument("--side", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=16)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"{processor()}, {cores()} threads, fullconv {fullconv.__version__}, {options.side}² px\n")
    print(f"{'network':10} {'cells':>10} {'map':>9} {'crops':>9} {'ratio':>6} {'difference':>10}")
    with TemporaryDirectory() as folder:
        image = jpeg_tiff(Path(folder) / "scene.tif", options.side)
        for name in options.models.split(","):
            model, preprocess = _MODELS[name]()
            found, took = {}, {}
            for by in ("cast", "crops"):
                seen = {}
                found[by] = fullconv.map_raster(
                    model, image, Path(folder) / f"{name}-{by}.zarr", preprocess=preprocess, by=by, batch=options.batch, memory=4 << 30,
                    report=lambda event, what, seen=seen: seen.update({event: what}),
                )  # fmt: skip
                took[by] = seen["done"]["seconds"]
            cells = found["cast"].grid.rows * found["cast"].grid.cols
            apart = float(np.abs(np.asarray(found["cast"].scores) - np.asarray(found["crops"].scores)).max())
            print(
                f"{name:10} {cells:10,} {took['cast']:7.1f} s {took['crops']:7.1f} s {took['crops'] / took['cast']:6.1f} {apart:10.1e}",
                flush=True,
            )


if __name__ == "__main__":
    main()
