"""Prints the share of the work that is lost to halos, for networks and budgets: tiles that stand alone, the same with values of half the size, and rows kept.

    python -m benchmarks.halo [--models resnet18,...] [--budgets 1,2,4] [--side 100000] [--base 330] [--digits]

Nothing is run but one crop: tiles are planned as for a map, over an image that takes no room. The process before the first pixel is taken for --base MB.
"""

from __future__ import annotations

import argparse
import warnings
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time

import numpy as np

import fullconv
from benchmarks.coverage.models import declare_torchvision, sane
from fullconv.errors import BadInput, Refused
from fullconv.formats.torch.source import build
from fullconv.model import Model
from fullconv.rasters.view import View
from fullconv.stream import plan as planning
from fullconv.stream import strips_plan
from fullconv.stream.job import Job
from fullconv.stream.lines import line_of
from fullconv.stream.run import job_of
from fullconv.tiling.tiles import Tiles, plan_tiles

MODELS = (
    "resnet18,resnet50,mobilenet_v2,efficientnet_b0,vgg16,squeezenet1_1,alexnet,googlenet,densenet121,convnext_tiny"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default=MODELS)
    parser.add_argument("--budgets", default="1,2,4", help="GB")
    parser.add_argument("--side", type=int, default=100_000)
    parser.add_argument("--base", type=int, default=330, help="MB")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    declare_torchvision()
    planning._planned_base = lambda *_: options.base * 10**6  # the same on every machine
    strips_plan.WORTH = -1.0
    print(f"fullconv {fullconv.__version__}, {options.side}² pixels\n")
    print(
        f"{'model':18} {'GB':>3} {'halo':>5} {'alone':>7} {'half':>7} {'kept':>7}  "
        f"{'tiles alone':>13} {'strips':>13} {'bands':>5} {'links':>5} {'s':>5}"
    )
    with TemporaryDirectory() as folder:
        for name in options.models.split(","):
            source = build(f"torchvision:{name}", None)
            assert source.input_shape is not None
            model = fullconv.load(sane(source.module, source.input_shape), input_shape=source.input_shape, check=False)
            image = _image(Path(folder) / f"{model.image_shape[0]}.npy", options.side, model.image_shape[0])
            for budget in options.budgets.split(","):
                print(f"{name:18} {budget:>3} {_line(model, image, int(float(budget) * 1e9))}", flush=True)


def _image(path: Path, side: int, channels: int) -> Path:
    """A hole, read as zeros."""
    if not path.exists():
        np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(side, side, channels))
    return path


def _line(model: Model, image: Path, budget: int) -> str:
    job = job_of(model, str(image), "the result", runtime="onnxruntime")
    with closing(View(str(image), job.select)) as view:
        try:
            plan = planning.plan_stream(model, view, job, budget)
        except (BadInput, Refused) as error:
            return str(error).splitlines()[0][:100]
        halved = _halved(plan, view, job)
        start = process_time()
        kept = planning.keeping_rows(plan, view, job).tiles
        took = process_time() - start
        lines = [line_of(plan.way, view.size, side, plan.read_grid) for side in (0, 1)]
        halo = max(float(r.before + r.length - r.slack) for line in lines for r in line.reaches)
    strips = "no" if kept.kept is None else f"{_size(kept)} {len(kept.x):5} {len(kept.kept.links):5} {took:5.1f}"
    shares = "".join(
        f" {tiles.waste:7.1%}" if tiles is not None else f" {'-':>7}" for tiles in (plan.tiles, halved, kept)
    )
    return f"{halo:5.0f}{shares}  {_size(plan.tiles)} {strips}"


def _size(tiles: Tiles) -> str:
    return f"{f'{tiles.shape[1]}×{tiles.shape[0]}':>13}"


def _halved(plan: planning.StreamPlan, view: View, job: Job) -> Tiles | None:
    """Tiles whose values take half the engine's memory, as fp16 storage would."""
    lines = [line_of(plan.way, view.size, side, plan.read_grid) for side in (0, 1)]
    cost = planning._cost(plan.way, view, job, plan.way.model.image_shape[0], plan.base, None, (0, 0), False)
    try:
        return plan_tiles(*lines, replace(cost, run=lambda h, w: cost.run(h, w) // 2), plan.budget, view.tile)
    except BadInput:
        return None


if __name__ == "__main__":
    main()
