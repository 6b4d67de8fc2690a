"""CaffeNet: the map against crops and against peers, as ratios measured in one run.

python -m benchmarks.caffenet [--folder DIR] [--runs N]

a   one crop of 227×227
b   64 crops, as one batch and in the best batch size
c   the cast map at 451×451, 64 cells
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import fullconv
from benchmarks.caffenet import peers
from benchmarks.caffenet.build import build
from fullconv.errors import BadInput
from fullconv.loading import load
from fullconv.maps.crops import run_crops
from fullconv.model import Model
from fullconv.runtimes.onnxruntime import OnnxRuntimeSession
from fullconv.trust.bench import cores, interleaved, processor

SIDE = 451
PAUSE = 0.3  # s; engines keep their threads spinning for a while after a run

MEMORY = """
import shutil, sys, time
from pathlib import Path
import fullconv, fullconv.model, fullconv.formats.caffe.format, fullconv.formats.caffe.hdf5
def peak(): return next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("VmHWM")) * 1024
prototxt, weights, out = map(Path, sys.argv[1:4])
size = weights.stat().st_size
start = time.perf_counter(); weights.read_bytes(); print("read", time.perf_counter() - start)
"""
LOAD = MEMORY.replace("weights.read_bytes()", "open(weights, 'rb').close()") + """
before = peak(); start = time.perf_counter()
model = fullconv.load(prototxt, weights)
print("load", time.perf_counter() - start); print("load_memory", (peak() - before) / size)
start = time.perf_counter()
model.plan
print("plan", time.perf_counter() - start)
start = time.perf_counter()
model.cast().save(out)
print("cast", time.perf_counter() - start); print("cast_memory", (peak() - before) / size)
start = time.perf_counter(); shutil.copyfile(weights, out.with_suffix(".copy")); print("copy", time.perf_counter() - start)
"""  # fmt: skip


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument(
        "--folder",
        type=Path,
        default=Path(tempfile.gettempdir()) / "fullconv-caffenet",
        help="where the network is kept",
    )
    arguments.add_argument("--runs", type=int, default=7)
    given = arguments.parse_args()
    prototxt, weights = build(given.folder)
    print(
        f"{processor()}, {cores()} threads, fullconv {fullconv.__version__}, weights {weights.stat().st_size / 1e6:.0f} MB"
    )
    files(prototxt, weights, given.folder)
    model = load(prototxt, weights)
    image = np.random.default_rng(1).standard_normal((1, 3, SIDE, SIDE), np.float32) * 50
    speed(model, image, given.runs)
    against_peers(model, image, given.folder, given.runs)
    large(model, given.runs)


def files(prototxt: Path, weights: Path, folder: Path) -> None:
    read = peers.measured_in_a_fresh_process(MEMORY, prototxt, weights, folder / "cast.prototxt")
    told = peers.measured_in_a_fresh_process(LOAD, prototxt, weights, folder / "cast.prototxt")
    print("\nfiles, in a process of their own")
    print(f"  reading the file     {read['read'] * 1e3:8.0f} ms   copying it {told['copy'] * 1e3:.0f} ms")
    print(f"  load                 {told['load'] * 1e3:8.0f} ms   {told['load_memory']:.2f} of the file in memory")
    print(f"  plan                 {told['plan'] * 1e3:8.1f} ms")
    print(
        f"  cast and write       {told['cast'] * 1e3:8.0f} ms   {told['cast_memory']:.2f} of the file in memory, all together"
    )


def row(name: str, seconds: float, base: float, unit: str) -> None:
    print(f"  {name:28} {seconds * 1e3:9.1f} ms   {seconds / base:6.2f} {unit}")


def speed(model: Model, image: np.ndarray, runs: int) -> None:
    full, grid = model.cast(), model.sampling().over((SIDE, SIDE))
    crop = np.ascontiguousarray(image[:, :, :227, :227])
    bare = bare_call(full, image)
    pixels = np.random.default_rng(3).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    jobs: dict[str, Callable[[], Any]] = {
        "c  map at 451": lambda: full.run(image),
        "a  one crop": lambda: model.run(crop),
    }
    for batch in (1, 2, 4, 8, 16, 32, 64):
        jobs[f"b  64 crops by {batch}"] = lambda batch=batch: run_crops(model, image, "prob", grid, batch=batch)
    times = interleaved(jobs, runs, PAUSE)
    a, c = times["a  one crop"], times["c  map at 451"]
    print("\nmap against crops, ONNX Runtime, medians; ratio to c")
    for name, seconds in times.items():
        row(name, seconds, c, "c")
    best = min(seconds for name, seconds in times.items() if name.startswith("b"))
    print(
        f"  c/a {c / a:.2f}   b/c {times['b  64 crops by 64'] / c:.2f} as one batch, {best / c:.2f} in the best batch size"
    )
    # One engine alone, so no pause: what fullconv.map adds to a call of it, from an 8-bit image.
    pair = interleaved({"bare": bare, "map": lambda: fullconv.map(full, pixels, preprocess="caffe")}, 4 * runs)
    print(
        f"  fullconv.map {pair['map'] * 1e3:.1f} ms, the bare engine {pair['bare'] * 1e3:.1f} ms: {pair['map'] / pair['bare'] - 1:+.1%}"
    )


def bare_call(full: Model, image: np.ndarray) -> Callable[[], Any]:
    """The engine's own call, of the very session that fullconv uses, with nothing around it."""
    full.run(image)
    session = next(iter(full._runner._sessions.values()))
    assert isinstance(session, OnnxRuntimeSession)
    engine, name = session._session, session._outputs["prob"]
    return lambda: engine.run([name], {"data": image})


def against_peers(model: Model, image: np.ndarray, folder: Path, runs: int) -> None:
    full = model.cast()
    prototxt, weights = full.resized(SIDE, SIDE).save(folder / "full.prototxt")
    one = folder / "full-one.prototxt"
    one.write_text(prototxt.read_text().replace("dim: 10\n", "dim: 1\n", 1))
    jobs: dict[str, Callable[[], Any]] = {"fullconv, ONNX Runtime": lambda: full.run(image)["prob"]}
    there = peers.available()
    if "openvino" in there:
        jobs["fullconv, OpenVINO fp32"] = lambda: full.run(image, runtime="openvino")["prob"]
        try:
            full.run(image, runtime="openvino", precision="bf16")
            jobs["fullconv, OpenVINO bf16"] = lambda: full.run(image, runtime="openvino", precision="bf16")["prob"]
        except BadInput as error:
            print(f"\nbf16 not measured: {error}")
    if "cv2" in there:
        jobs["OpenCV 4 dnn"] = peers.opencv(one, weights, image)
    if "torch" in there:
        jobs["PyTorch, eager"] = peers.torch_eager(dict(full.native.weights), image)
    caffe = None
    if os.environ.get("CAFFE_PYTHON"):
        caffe = peers.Caffe(os.environ["CAFFE_PYTHON"], one, weights, image, folder)
        jobs["Caffe"] = caffe
    expected = jobs["fullconv, ONNX Runtime"]()
    differences = {name: float(np.abs(job() - expected).max()) for name, job in jobs.items()}
    times = interleaved(jobs, runs, PAUSE)
    if caffe is not None:
        caffe.close()
    print("\nthe map at 451, medians; ratio to fullconv on ONNX Runtime; largest difference of prob from it")
    for name, seconds in times.items():
        print(
            f"  {name:28} {seconds * 1e3:9.1f} ms   {seconds / times['fullconv, ONNX Runtime']:6.2f}   {differences[name]:.1e}"
        )


def large(model: Model, runs: int) -> None:
    full = model.cast()
    rng = np.random.default_rng(2)
    images = {side: rng.standard_normal((1, 3, side, side), np.float32) * 50 for side in (SIDE, 1024, 2048)}
    times = interleaved(
        {str(side): lambda image=image: full.run(image) for side, image in images.items()}, max(1, runs // 2)
    )
    print("\nlarger images, one run each after a warm-up in turn")
    for side in images:
        rows, cols = model.sampling().cells((side, side))
        seconds = times[str(side)]
        print(
            f"  {side:5} {rows * cols:6} cells {seconds * 1e3:9.0f} ms   {side * side / 1e6 / seconds:6.2f} megapixels/s"
        )


main()
