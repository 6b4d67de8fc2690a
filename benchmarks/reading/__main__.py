"""Prints megapixels a second of ``View.read`` over all of an image in windows, the processor's time of one, and the peak of memory against what is planned.

    python -m benchmarks.reading [--side 100000] [--window 4096] [--halo 256] [--share 0.05] [--threads N] [--folder /tmp]

Every kind in a process of its own: a JPEG TIFF of repeated blocks, and a ``.npy`` of a tenth of its side. ``a core`` is by the processor's
time, so that what else runs on the machine counts less.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

import numpy as np

from benchmarks.reading.repeated import repeated_tiff
from fullconv.rasters import blocks
from fullconv.rasters.view import View
from fullconv.system.memory import peak_bytes, resident_bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=100_000)
    parser.add_argument("--window", type=int, default=4096)
    parser.add_argument("--halo", type=int, default=256)
    parser.add_argument("--share", type=float, default=1.0, help="of the windows' rows that are read")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--only", type=Path, default=None, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only is not None:
        _read(options)
        return
    with TemporaryDirectory(dir=options.folder) as folder:
        made = [
            repeated_tiff(Path(folder) / "jpeg.tif", options.side),
            _npy(Path(folder) / "x.npy", options.side // 10),
        ]
        for path in made:
            subprocess.run([sys.executable, "-m", "benchmarks.reading", *sys.argv[1:], "--only", str(path)], check=True)


def _npy(path: Path, side: int) -> Path:
    rows = np.lib.format.open_memmap(path, "w+", np.uint8, (side, side, 3))
    rng = np.random.default_rng(0)
    for top in range(0, side, 512):
        rows[top : top + 512] = rng.integers(0, 256, rows[top : top + 512].shape, np.uint8)
    return path


def _read(options: argparse.Namespace) -> None:
    if options.threads:
        blocks.threads = lambda: options.threads
    view = View(options.only)
    (height, width), step = view.size, options.window - options.halo
    tops = list(range(0, height, step))
    tops = tops[: max(1, round(options.share * len(tops)))]
    before, pixels, new = resident_bytes(), 0, 0
    wall, core = perf_counter(), process_time()
    for top in tops:
        for left in range(0, width, step):
            read, _ = view.read((top, top + options.window), (left, left + options.window))
            pixels += read.shape[0] * read.shape[1]
            new += min(step, height - top) * min(step, width - left)
            del read  # one window is in memory
    wall, core = perf_counter() - wall, process_time() - core
    planned = view.stage_bytes(options.window, options.window)
    print(
        f"{options.only.name:10} {height}×{width}, windows of {options.window} px, {options.halo} of them shared: {pixels / 1e6 / wall:6.0f} MP/s, "
        f"{pixels / 1e6 / core:6.0f} a core ({core * 1e9 / pixels:.2f} ms/MP; {core * 1e9 / new:.2f} a megapixel of the image); "
        f"memory {(peak_bytes() - before) / 1e6:.0f} MB, planned {planned / 1e6:.0f} MB",
        flush=True,
    )


if __name__ == "__main__":
    main()
