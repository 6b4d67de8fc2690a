"""Prints megapixels a second of ``map_raster`` over a tiled JPEG TIFF, as a ratio to the bare engine on the same tiles held in memory.

    python -m benchmarks.stream [--models demo,resnet18,caffenet] [--side 20000] [--memory 4] [--runtime onnxruntime] [--folder /tmp]
    python -m benchmarks.stream --engine none [--side 10000] [--memory 0.6] [--runs 3] [--against SOURCES]

stream   everything: reading, decoding, preprocessing, running, writing, coarser levels
engine   the same engine's session alone, on as many tiles of the same shape
waste    share of the work that goes to halos

With ``--engine none`` the engine costs nothing: how many megapixels a second the stream itself carries, a second of the clock and a second of a processor (all threads
together), and milliseconds of each stage a megapixel. ``--against`` runs another version of fullconv in turns with this one (a folder with ``fullconv`` in it).
"""

from __future__ import annotations

import argparse
import shutil
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np

import fullconv
from benchmarks.caffenet.build import build as build_caffenet
from benchmarks.coverage.models import declare_torchvision, sane
from benchmarks.scene import jpeg_tiff
from benchmarks.stream.carried import carried
from fullconv.demonstration import demo_files
from fullconv.formats.torch.source import build
from fullconv.stream.plan import StreamPlan
from fullconv.trust.bench import cores, processor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default="demo,resnet18,caffenet")
    parser.add_argument("--side", type=int, default=20000)
    parser.add_argument("--memory", type=float, default=4.0, help="GB")
    # The engine is named: where it is chosen by what each takes, the stream's need not be the one that is measured alone.
    parser.add_argument("--runtime", default="onnxruntime")
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--engine", choices=["own", "none"], default="own")
    parser.add_argument("--runs", type=int, default=3, help="of each, with no engine; the best counts")
    parser.add_argument("--against", type=Path, help="sources of another fullconv")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.engine == "none":
        with TemporaryDirectory(dir=options.folder) as folder:
            carried(
                Path(folder),
                options.folder or Path(folder),
                options.side,
                options.memory,
                options.runs,
                options.against,
            )
        return
    print(
        f"{processor()}, {cores()} threads, fullconv {fullconv.__version__}, {options.side}² px, {options.memory:g} GB\n"
    )
    print(
        f"{'network':10} {'tiles':>6} {'tile':>11} {'waste':>6} {'stream':>14} {'engine':>14} {'ratio':>6} {'peak':>8} {'predicted':>9}"
    )
    with TemporaryDirectory(dir=options.folder) as folder:
        image = jpeg_tiff((options.folder or Path(folder)) / f"scene{options.side}.tif", options.side)
        for name in options.models.split(","):
            _row(name, image, Path(folder) / "x.zarr", int(options.memory * 1e9), options.runtime)


def _row(name: str, image: Path, out: Path, memory: int, runtime: str) -> None:
    model, preprocess = _MODELS[name]()
    how = {"preprocess": preprocess, "memory": memory, "runtime": runtime}
    plan = fullconv.plan_raster(model, image, **how)
    tiles = plan.tiles
    # Half of the engine's tiles before and half after, so that a machine that slows down slows both.
    first = _engine(plan, runtime, (len(tiles) + 1) // 2)
    seen = {}
    start = perf_counter()
    fullconv.map_raster(model, image, out, report=lambda event, what: seen.update({event: what}), **how)
    whole = perf_counter() - start
    second = _engine(plan, runtime, len(tiles) // 2)
    shutil.rmtree(out)
    mega = tiles.image[0] * tiles.image[1] / 1e6
    run = seen["done"]["seconds"]
    engine = first + second
    print(
        f"{name:10} {len(tiles):6} {f'{tiles.shape[1]}×{tiles.shape[0]}':>11} {tiles.waste:6.1%} {mega / run:9.2f} MP/s {mega / engine:9.2f} MP/s {engine / run:6.1%} "
        f"{seen['done']['peak_bytes'] / 1e6:5,.0f} MB {plan.peak_bytes / 1e6:6,.0f} MB   (with loading {whole:.1f} s)",
        flush=True,
    )


def _engine(plan: StreamPlan, runtime: str, count: int) -> float:
    model, output = plan.way.model, plan.way.output
    values = np.random.default_rng(0).standard_normal((1, model.image_shape[0], *plan.tiles.shape)).astype(np.float32)
    model.run(values, outputs=[output], runtime=runtime)
    start = perf_counter()
    for _ in range(count):
        model.run(values, outputs=[output], runtime=runtime)
    return perf_counter() - start


def _demo() -> tuple[fullconv.Model, str]:
    with demo_files() as data:
        return fullconv.load(data / "digits.prototxt", data / "digits.caffemodel"), "unit"


def _resnet18() -> tuple[fullconv.Model, str]:
    declare_torchvision()
    module = sane(build("torchvision:resnet18", None).module, (3, 224, 224))
    return fullconv.load(module, input_shape=(3, 224, 224)), "imagenet"


def _caffenet() -> tuple[fullconv.Model, str]:
    with TemporaryDirectory() as folder:
        return fullconv.load(*build_caffenet(Path(folder))), "caffe"


_MODELS = {"demo": _demo, "resnet18": _resnet18, "caffenet": _caffenet}

if __name__ == "__main__":
    main()
