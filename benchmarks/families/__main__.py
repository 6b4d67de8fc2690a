"""Prints a table of ratios measured in one run.

    python -m benchmarks.families [--sizes 448,1024,2048] [--models resnet18,...] [--crops 32]

crops      the untouched network on crops in batches of 16, ONNX Runtime; a sample of them, times their number
eager      the sliding window that people write: crops cut and batched by 16 through the eager module; the same sample
bound      what arithmetic gives: multiplications of all crops over those of the map
"""

from __future__ import annotations

import argparse
import copy
import warnings
from time import perf_counter

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

import fullconv
from benchmarks.coverage.models import declare_torchvision, pictures, sane
from fullconv.formats.torch.source import build
from fullconv.maps.crops import run_cells
from fullconv.maps.mapping import run_cast
from fullconv.runtimes.onnxruntime import OnnxRuntimeSession
from fullconv.trust.bench import cores, interleaved, processor

MODELS = "resnet18,resnet50,vgg16,mobilenet_v3_large,efficientnet_b0,convnext_tiny"
BATCH = 16


def flops(module: torch.nn.Module, *shape: int) -> int:
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.inference_mode():
        copy.deepcopy(module).to("meta")(torch.zeros(shape))
    return counter.get_total_flops()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="448,1024,2048")
    parser.add_argument("--models", default=MODELS)
    parser.add_argument("--crops", type=int, default=32)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    declare_torchvision()
    torch.set_num_threads(cores())
    print(f"{processor()}, {cores()} threads, fullconv {fullconv.__version__}, PyTorch {torch.__version__}\n")
    print(
        f"{'model':20} {'read+cast':>9} {'size':>5} {'cells':>6} {'map':>9} {'overhead':>8} {'crops':>7} {'bound':>7} {'of it':>6} {'eager':>7}"
    )
    for name in options.models.split(","):
        _model(name, [int(size) for size in options.sizes.split(",")], options.crops, options.runs)


def _model(name: str, sizes: list[int], count: int, runs: int) -> None:
    source = build(f"torchvision:{name}", None)
    assert source.input_shape is not None
    module = sane(source.module, source.input_shape)
    start = perf_counter()
    model = fullconv.load(module, input_shape=source.input_shape)
    full = model.cast()
    reading = perf_counter() - start
    output, untouched = full.graph.outputs[-1], model.graph.outputs[-1]
    one = flops(module, 1, *source.input_shape)
    lowered = full.format.lower(full.native, {})
    bare = OnnxRuntimeSession(lowered, [output])
    (image_name,) = full.graph.inputs
    for size in sizes:
        image = pictures(1, 3, size, size).numpy()
        grid = full.sampling(output).over((size, size))
        cells = grid.rows * grid.cols
        rng = np.random.default_rng(0)
        some = [(int(i) // grid.cols, int(i) % grid.cols) for i in rng.choice(cells, min(count, cells), replace=False)]
        jobs = {
            "map": lambda image=image: run_cast(full, image, output),
            "bare": lambda image=image: bare.run({image_name: image}, [output]),
            "crops": lambda image=image, grid=grid, some=some: run_cells(
                model, image, untouched, grid, some, batch=BATCH
            ),
            "eager": lambda image=image, grid=grid, some=some: _eager(module, image, grid, some),
        }
        times = interleaved(jobs, runs, pause=0.3)  # the threads of the engine before stop spinning
        share = cells / len(some)
        bound = cells * one / flops(full.module, 1, 3, size, size)
        ratio = times["crops"] * share / times["map"]
        print(
            f"{name:20} {reading:8.1f}s {size:5} {cells:6} {times['map'] * 1e3:7.0f}ms {times['map'] / times['bare'] - 1:+8.1%} {ratio:7.1f} {bound:7.1f} "
            f"{ratio / bound:6.0%} {times['eager'] * share / times['map']:7.1f}",
            flush=True,
        )


def _eager(module: torch.nn.Module, image: np.ndarray, grid: object, cells: list[tuple[int, int]]) -> None:
    values = torch.from_numpy(image)
    with torch.inference_mode():
        for start in range(0, len(cells), BATCH):
            boxes = [[int(v) for v in grid.box(*cell)] for cell in cells[start : start + BATCH]]  # type: ignore[attr-defined]
            module(torch.cat([values[:, :, y0:y1, x0:x1] for x0, y0, x1, y1 in boxes]))


if __name__ == "__main__":
    main()
