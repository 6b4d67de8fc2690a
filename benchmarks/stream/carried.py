"""What the stream carries by itself: runs with an engine that costs nothing, each in a process of its own, of one fullconv or of two in turns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

import fullconv
from benchmarks.gpu.slide import repeated
from benchmarks.scene import jpeg_tiff
from fullconv.trust.bench import cores, processor

_LARGEST = 20_000  # px a side; larger slides are some encoded tiles again and again, without a .npy beside
_STAGES = ("read", "decode", "where", "prepare", "write", "encode", "levels", "settle")


def carried(folder: Path, images: Path, side: int, memory: float, runs: int, against: Path | None) -> None:
    """Print a line for each image and fullconv."""
    own = Path(fullconv.__file__).parent.parent
    print(
        f"{processor()}, {cores()} threads, fullconv {fullconv.__version__}, {side}² px RGB, {memory:g} GB, best of {runs}\n"
    )
    print(f"{'':10} {'':8} {'MP/s':>7} {'MP/s of a core':>15}   ms a megapixel")
    for kind, image in _images(images, side).items():
        found: dict[str, list[dict[str, Any]]] = {}
        for _ in range(runs):
            for name, sources in {"now": own, **({} if against is None else {"before": against})}.items():
                found.setdefault(name, []).append(_run(image, folder / "x.zarr", sources, memory))
        rates = {
            name: [max(each["megapixels"] / each[by] for each in all_) for by in ("seconds", "processor_seconds")]
            for name, all_ in found.items()
        }
        for name, (wall, core) in rates.items():
            best = min(found[name], key=lambda each: each["processor_seconds"])
            stages = ", ".join(
                f"{stage} {1e3 * best['stages'][stage] / best['megapixels']:.2f}"
                for stage in _STAGES
                if stage in best["stages"]
            )
            print(f"{kind:10} {name:8} {wall:7.1f} {core:15.1f}   {stages}", flush=True)
        if against is not None:
            print(
                f"{kind:10} {'ratio':8} {rates['now'][0] / rates['before'][0]:7.2f} {rates['now'][1] / rates['before'][1]:15.2f}"
            )


def _images(folder: Path, side: int) -> dict[str, Path]:
    if side > _LARGEST:
        return {"JPEG TIFF": repeated(folder / f"slide{side}.tif", side)}
    return {"JPEG TIFF": jpeg_tiff(folder / f"scene{side}.tif", side), ".npy": _npy(folder / f"scene{side}.npy", side)}


def _run(image: Path, out: Path, sources: Path, memory: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.stream.free", str(image), str(out), "--memory", str(memory)]
    found = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(sources)}, capture_output=True, text=True, check=True
    )
    told: dict[str, Any] = json.loads(found.stdout.splitlines()[-1])
    return told


def _npy(path: Path, side: int) -> Path:
    if not path.exists():
        rng = np.random.default_rng(0)
        whole = np.lib.format.open_memmap(path, "w+", np.uint8, (side, side, 3))
        for row in range(0, side, 500):
            whole[row : row + 500] = rng.integers(0, 256, whole[row : row + 500].shape, np.uint8)
        whole.flush()
    return path
