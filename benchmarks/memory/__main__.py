"""Prints peak memory, as the system counts it, of maps of growing images on several budgets, beside what was predicted.

    python -m benchmarks.memory [--gigapixels 0.1,1,10] [--budgets 400,800,1600] [--layout npy,strip,strips,tiled,zarr] [--mpp 1.7] [--folder /tmp]

The network takes some hundred operations a pixel; the images take little room whatever their size. Every run is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import fullconv
from benchmarks.memory.layouts import LAYOUTS
from fullconv.formats.caffe.network import build_network
from fullconv.formats.caffe.text import parse_prototxt
from fullconv.formats.caffe.wire import SavedBlob, SavedLayer
from fullconv.formats.caffe.write import write_network
from fullconv.trust.bench import cores, processor

_SHAPES = {"c1": (8, 1, 5, 5), "c2": (16, 8, 3, 3), "ip": (4, 784)}
_NET = """name: "small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 1 dim: 64 dim: 64 } } }
layer { name: "c1" type: "Convolution" bottom: "data" top: "c1" convolution_param { num_output: 8 kernel_size: 5 stride: 2 } }
layer { name: "r1" type: "ReLU" bottom: "c1" top: "c1" }
layer { name: "p1" type: "Pooling" bottom: "c1" top: "p1" pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "c2" type: "Convolution" bottom: "p1" top: "c2" convolution_param { num_output: 16 kernel_size: 3 stride: 2 } }
layer { name: "r2" type: "ReLU" bottom: "c2" top: "c2" }
layer { name: "ip" type: "InnerProduct" bottom: "c2" top: "ip" inner_product_param { num_output: 4 } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigapixels", default="0.1,1,10")
    parser.add_argument("--budgets", default="400,800,1600", help="MB")
    parser.add_argument("--layout", default="npy", help=f"of {', '.join(LAYOUTS)}")
    parser.add_argument(
        "--mpp", default=None, help="micrometres a pixel that the network reads; the images have 1 (.npy says none)"
    )
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args()
    print(f"{processor()}, {cores()} threads, fullconv {fullconv.__version__}\n")
    print(
        f"{'layout':>8} {'budget':>8} {'gigapixels':>10} {'tiles':>6} {'peak':>9} {'predicted':>9} {'of it':>6} {'megapixels/s':>12}"
    )
    with TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        net = _net(folder)
        for layout in options.layout.split(","):
            _measure(layout, net, folder, options)


def _measure(layout: str, net: list[str], folder: Path, options: argparse.Namespace) -> None:
    """One line a budget and size."""
    for budget in options.budgets.split(","):
        peaks = []
        for giga in (float(g) for g in options.gigapixels.split(",")):
            image = LAYOUTS[layout](folder / f"{layout}{giga:g}", round((giga * 1e9) ** 0.5))
            done = _run(net, image, folder / "map.zarr", budget, options.mpp)
            peaks.append(done["peak"])
            ratio = done["peak"] / done["predicted"]
            over = "  OVER" if done["peak"] > float(budget) * 1e6 else ""
            print(
                f"{layout:>8} {budget:>5} MB {giga:10g} {done['tiles']:6} {done['peak'] / 1e6:6,.0f} MB {done['predicted'] / 1e6:6,.0f} MB {ratio:6.1%} "
                f"{giga * 1e3 / done['seconds']:12.1f}{over}",
                flush=True,
            )
            shutil.rmtree(folder / "map.zarr")
            _remove(image)
        if len(peaks) > 1:
            print(f"{'':8} peaks differ by {max(peaks) / min(peaks) - 1:.1%}")


def _remove(image: Path) -> None:
    if image.is_dir():
        shutil.rmtree(image)
    else:
        image.unlink()


def _net(folder: Path) -> list[str]:
    rng = np.random.default_rng(0)
    saved = []
    for name, shape in _SHAPES.items():
        values = rng.standard_normal(shape, np.float32) / np.float32(np.sqrt(np.prod(shape[1:])))
        saved.append(
            SavedLayer(name, (SavedBlob(values.ravel(), shape), SavedBlob(np.zeros(shape[0], np.float32), shape[:1])))
        )
    paths = folder / "small.prototxt", folder / "small.caffemodel"
    write_network(build_network(parse_prototxt(_NET), "small.prototxt", saved), *paths)
    return [str(path) for path in paths]


def _run(net: list[str], image: Path, out: Path, budget: str, mpp: str | None) -> dict[str, float]:
    """One run in a process of its own; its peak is what the system says of it when it has ended."""
    command = [
        str(Path(sys.executable).parent / "fullconv"),
        "map",
        net[0],
        "-w",
        net[1],
        str(image),
        "-o",
        str(out),
        "--json",
        "-p",
        "unit",
    ]
    command += ["--memory", f"{budget}MB", "--dtype", "uint8", "--keep", "1"]
    command += [] if mpp is None else ["--mpp", mpp]
    watched = f"import resource, subprocess, sys; r = subprocess.run({command!r}, capture_output=True, text=True); " + (
        "print(r.stdout, end=''); print(r.stderr, file=sys.stderr); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", watched], capture_output=True, text=True, check=True)
    *lines, peak = done.stdout.splitlines()
    events = {event["event"]: event for event in map(json.loads, lines)}
    if "done" not in events:
        raise SystemExit(done.stderr)
    return {
        "peak": int(peak) * 1024, "predicted": events["done"]["predicted_bytes"], "tiles": events["done"]["tiles"], "seconds": events["done"]["seconds"],
    }  # fmt: skip


if __name__ == "__main__":
    main()
