"""What a GPU does of a map: the bare network, the stream around it, crops, and windows as people write them. One command on a machine with PyTorch for CUDA:

    pip install '.[torch,slide]' torchvision timm
    python -m benchmarks.gpu [--networks resnet50,vit_small_16] [--side 30000,100000] [--folder /tmp] [--device cuda:all]

    python -m benchmarks.gpu --device cpu --small      # its own test, a minute: the same code over little networks and images

products   the device's own rate of matrix products in the precision
bare       the compiled network on tiles (or batches of crops) in the device's memory: megapixels a second (crops a second), TFLOP/s, its share of products
first      the whole map into a store, from a tiled JPEG TIFF: decoded, uploaded, run, downloaded, written; its share of bare; what limited it; how busy the GPU was
again      the same with what was compiled then
windows    eager PyTorch over windows of a smaller image at the same stride
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from time import perf_counter
from typing import Any

import numpy as np
import torch

import fullconv
from benchmarks.gpu.networks import NETWORKS, Measured
from benchmarks.gpu.rates import bare, operations, products
from benchmarks.gpu.slide import repeated
from benchmarks.gpu.windows import windows
from fullconv.rasters.view import View
from fullconv.runtimes.torch.device import devices_of
from fullconv.stream.device.memory import share_of
from fullconv.stream.device.network import Network
from fullconv.stream.run import job_of
from fullconv.system.parse import compiling
from fullconv.trust.bench import processor

_BATCHES = (128, 512)
_WINDOWS = 2048  # pixels a side of the image that is done by hand


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:all")
    parser.add_argument("--precision", default=None, help="bf16; fp32 on the processor")
    parser.add_argument("--networks", default="resnet18,resnet50,efficientnet_b0,caffenet,vit_small_16")
    parser.add_argument("--side", default="30000,100000", help="pixels of the slides, with commas")
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--small", action="store_true", help="little networks and images: whether all of it runs")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.small:
        options.networks, options.side = "small,small_crops", "900"
    devices = devices_of(options.device)
    precision = options.precision or ("fp32" if devices[0].type == "cpu" else "bf16")
    least = 0.2 if options.small else 3.0
    rate = products(devices[0], precision, 512 if options.small else 8192, least)
    name = torch.cuda.get_device_name(devices[0]) if devices[0].type == "cuda" else processor()
    print(
        f"{len(devices)} × {name}, fullconv {fullconv.__version__}, PyTorch {torch.__version__}, {precision}: products {rate / 1e12:.3g} TFLOP/s"
    )
    with TemporaryDirectory(dir=options.folder) as folder:
        slides = [repeated(Path(folder) / f"slide{side}.tif", int(side)) for side in options.side.split(",")]
        for each in options.networks.split(","):
            try:
                network = NETWORKS[each]()
            except ImportError as error:
                print(f"{each}: not measured ({error})")
                continue
            _measure(each, network, slides, options, precision, devices, rate, least)


def _measure(
    name: str, network: Measured, slides: list[Path], options: argparse.Namespace, precision: Any, devices: list[torch.device], rate: float, least: float
) -> None:  # fmt: skip
    how: dict[str, Any] = {
        "preprocess": network.preprocess, "by": network.by, "stride": network.stride, "runtime": f"torch:{options.device}", "precision": precision,
        "keep": "top1", "stored": "float16",
    }  # fmt: skip
    print(f"\n{name}{f', by crops at stride {network.stride}' if network.by == 'crops' else ''}")
    with compiling(devices[0].type == "cuda"):
        alone = _bare(network, slides[0], how, devices[0], rate, least)
        for slide in slides:
            _stream(network, slide, how, devices, alone, "first")
            _stream(network, slide, how, devices, alone, "again")
    if network.module is not None:
        _windows(network, precision, devices[0], options.small, alone)


def _bare(
    network: Measured, slide: Path, how: dict[str, Any], device: torch.device, rate: float, least: float
) -> float:
    """Pixels of the image a second that the network alone does; its halos and overlaps are work that counts as none."""
    plan = fullconv.plan_raster(network.model, slide, **how)
    way, channels = plan.way, network.model.image_shape[0]
    step = float(plan.read_grid.stride[0] * plan.read_grid.stride[1])
    if network.by == "cast":
        size = way.model.fitting(plan.tiles.shape, way.output)
        shapes = [(1, channels, *size)]
        pixels = [plan.tiles.shape[0] * plan.tiles.shape[1]]
    else:
        job = job_of(network.model, slide, "", **how)
        own = share_of(way, View(slide, job.select), job).batch
        crop = network.model.image_shape[1:]
        shapes = [(batch, channels, *crop) for batch in sorted({own, *(_BATCHES if device.type == "cuda" else ())})]
        pixels = [int(shape[0] * step) for shape in shapes]
    best = 0.0
    for shape, area in zip(shapes, pixels, strict=True):
        made = Network(way, how["precision"], str(device), (shape[0], shape[2], shape[3]))
        try:
            seconds, work = bare(made, shape, least), operations(way, shape)
        except torch.OutOfMemoryError:
            print(f"  bare     {shape}: out of memory")
            continue
        best = max(best, area / seconds)
        more = (
            f", {shape[0] / seconds:,.0f} crops/s in batches of {shape[0]}"
            if network.by == "crops"
            else f" on tiles of {shape[3]}×{shape[2]} px"
        )
        print(
            f"  bare     {area / seconds / 1e6:9.2f} MP/s{more}, {work / seconds / 1e12:.3g} TFLOP/s, {work / seconds / rate:.1%} of products",
            flush=True,
        )
    return best


def _stream(
    network: Measured, slide: Path, how: dict[str, Any], devices: list[torch.device], alone: float, which: str
) -> None:
    out, seen, start = slide.with_suffix(".zarr"), {}, perf_counter()

    def report(event: str, what: dict[str, Any]) -> None:
        seen[event] = what | {"at": perf_counter() - start}

    with _Busy(devices) as busy:
        fullconv.map_raster(
            network.model,
            slide,
            out,
            report=report,
            restart=out.exists(),
            **how,
        )
    shutil.rmtree(out)
    height, width = seen["plan"]["size"]
    done = seen["done"]
    speed = height * width / done["seconds"]
    print(
        f"  {which}    {speed / 1e6:9.2f} MP/s over {width}×{height} px in {done['seconds']:,.1f} s, {speed / max(alone, 1e-9) / len(devices):.1%} of bare, "
        f"{seen['plan']['waste']:.1%} in halos; limit {done.get('limit', 'not told')}; GPU busy {busy.told}",
        flush=True,
    )
    stages = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in done["stages"].items())
    print(
        f"           planned in {seen['plan']['at']:.1f} s, tiles of {seen['plan']['tile']} px; seconds of stages: {stages}",
        flush=True,
    )


def _windows(network: Measured, precision: str, device: torch.device, small: bool, alone: float) -> None:
    assert network.module is not None
    side, stride = network.model.image_shape[1], network.stride or int(network.model.sampling().stride[0])
    length = 256 if small else _WINDOWS
    pixels = np.random.default_rng(0).integers(0, 256, (length, length, 3), np.uint8)
    batch = 16 if small else 128
    windows(network.module, pixels[: side * 2, : side * 2], side, stride, batch, device, precision == "bf16")
    seconds = windows(network.module, pixels, side, stride, batch, device, precision == "bf16")
    speed = length * length / seconds
    print(
        f"  windows  {speed / 1e6:9.2f} MP/s at stride {stride}, batches of {batch}, eager; bare does {alone / speed:,.1f} times as much",
        flush=True,
    )


class _Busy:
    """How busy the GPUs are by their own counters, looked at while something runs."""

    def __init__(self, devices: list[torch.device]) -> None:
        self._looks = devices[0].type == "cuda" and shutil.which("nvidia-smi") is not None
        self._ended, self._shares = Event(), []  # type: ignore[var-annotated]

    def __enter__(self) -> _Busy:
        self._thread = Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while self._looks and not self._ended.wait(0.5):
            line = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
            told = subprocess.run(line, capture_output=True, text=True, check=False).stdout.split()
            self._shares.append(np.mean([float(each) for each in told if each.isdigit()] or [0]))

    @property
    def told(self) -> str:
        return f"{np.mean(self._shares):.0f} %" if self._shares else "not told"


if __name__ == "__main__":
    started = perf_counter()
    main()
    print(f"\n{perf_counter() - started:,.0f} s in all")
