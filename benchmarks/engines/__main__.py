"""Engines of the processor over one tile of six families: ``python -m benchmarks.engines [FAMILY ...]``.

Weights are random, drawn as for training, so that activations stay sane. Engines take turns, so that what else the machine does meets
all of them; the least time of each counts.
"""

from __future__ import annotations

import argparse
import time
from contextlib import nullcontext
from importlib.util import find_spec

import numpy as np
import torch
from torch import nn

from benchmarks.coverage.models import declare_torchvision
from fullconv.loading import load
from fullconv.system.parse import compiling

ENGINES = {
    "ONNX Runtime": ("onnxruntime", None),
    "OpenVINO": ("openvino", None),
    "PyTorch": ("torch:cpu", False),
    "PyTorch compiled": ("torch:cpu", True),
}


def caffenet() -> nn.Module:
    """Caffe's reference network: large strides, normalisation across channels, a head of three products."""
    return nn.Sequential(
        nn.Conv2d(3, 96, 11, 4), nn.ReLU(), nn.MaxPool2d(3, 2), nn.LocalResponseNorm(5),
        nn.Conv2d(96, 256, 5, padding=2, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.LocalResponseNorm(5),
        nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 384, 3, padding=1, groups=2), nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Flatten(),
        nn.Linear(9216, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 1000),
    )  # fmt: skip


def family(name: str) -> nn.Module:
    if name == "caffenet":
        return caffenet()
    declare_torchvision()
    import torchvision

    return getattr(torchvision.models, name)(weights=None)


FAMILIES = {
    "caffenet": 227, "resnet18": 224, "mobilenet_v2": 224, "squeezenet1_1": 224, "efficientnet_b0": 224, "convnext_tiny": 224,
}  # fmt: skip


def timed(name: str, side: int, rounds: int, compiled: bool) -> dict[str, tuple[float, float]]:
    """Least seconds of a run of each engine, and of its first, over one tile."""
    torch.manual_seed(0)
    crop = FAMILIES[name]
    values = np.random.default_rng(0).normal(0, 1, (1, 3, side, side)).astype(np.float32)
    there = {engine: how for engine, how in ENGINES.items() if find_spec(how[0].partition(":")[0]) is not None}
    engines = {engine: how for engine, how in there.items() if compiled or not how[1]}
    # A network each: a session that was compiled is not taken for one that was not.
    module = family(name).eval()
    models = {engine: load(module, input_shape=(3, crop, crop), check=False).cast() for engine in engines}
    first: dict[str, float] = {}
    least: dict[str, float] = {}
    answers = {}
    for turn in range(rounds + 1):
        for engine, (runtime, compiles) in engines.items():
            with nullcontext() if compiles is None else compiling(compiles):
                start = time.perf_counter()
                answers[engine] = models[engine].run(values, runtime=runtime)[models[engine].output()]
                took = time.perf_counter() - start
            if turn == 0:
                first[engine] = took
            else:
                least[engine] = min(took, least.get(engine, np.inf))
    usual = answers["ONNX Runtime"]
    for engine, found in answers.items():
        apart = float(np.abs(found - usual).max() / np.abs(usual).max())
        if not apart < 1e-4:
            raise SystemExit(f"{name}: {engine} answers otherwise by {apart:.1e}")
    return {engine: (least[engine], first[engine]) for engine in engines}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("families", nargs="*", metavar="FAMILY", help=f"of {', '.join(FAMILIES)}; all by default")
    parser.add_argument("--side", type=int, default=768, help="pixels of the tile")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--no-compiled", action="store_true", help="leave PyTorch's compiler out, which takes a minute a network"
    )
    given = parser.parse_args()
    print(
        f"one tile of {given.side}×{given.side}, {torch.get_num_threads()} threads; time, for ONNX Runtime's; (first run, s)"
    )
    print(f"| network | ONNX Runtime, s | {' | '.join(list(ENGINES)[1:])} |")
    for name in given.families or FAMILIES:
        found = timed(name, given.side, given.rounds, not given.no_compiled)
        usual = found["ONNX Runtime"][0]
        rest = [
            f"{found[engine][0] / usual:.2f} ({found[engine][1]:.1f})" if engine in found else "–"
            for engine in list(ENGINES)[1:]
        ]
        print(f"| {name} | {usual:.2f} ({found['ONNX Runtime'][1]:.1f}) | {' | '.join(rest)} |", flush=True)


if __name__ == "__main__":
    main()
