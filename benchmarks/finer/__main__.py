"""Prints a table of ratios measured in one run.

    python -m benchmarks.finer [--models lenet,resnet18,caffenet] [--strides 16,8,4,1] [--size 451] [--runtime openvino]

dilation   one run of the network whose strides became dilations
shifts     one run of the network a shift of the image, the cells interleaved
bound      multiplications of all shifts over those of the dilated network
crops      multiplications of all crops over those of the dilated network
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import fullconv
from benchmarks.caffenet.build import build as build_caffenet
from benchmarks.coverage.models import declare_torchvision, sane
from fullconv.demonstration import demo_files
from fullconv.formats.onnx.refine import of_lowered
from fullconv.formats.torch.source import build
from fullconv.geometry.lengths import map_sizes
from fullconv.maps.mapping import run_cast, run_shifted
from fullconv.trust.bench import cores, interleaved, processor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default="lenet,resnet18,caffenet")
    parser.add_argument("--strides", default="16,8,4,1")
    parser.add_argument("--size", type=int, default=451)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--runtime", default="onnxruntime")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"{processor()}, {cores()} threads, fullconv {fullconv.__version__}, {options.size}×{options.size} px\n")
    print(
        f"{'network':10} {'stride':>6} {'cells':>9} {'dilation':>10} {'shifts':>10} {'ratio':>6} {'bound':>6} {'of it':>6} {'crops':>7}"
    )
    for name in options.models.split(","):
        model = _MODELS[name]()
        own = int(model.sampling().stride[0])
        for stride in (int(s) for s in options.strides.split(",")):
            if stride < own and own % stride == 0:
                _row(name, model, stride, options.size, options.runs if stride > 1 else 1, options.runtime)


def _row(name: str, model: fullconv.Model, stride: int, size: int, runs: int, runtime: str) -> None:
    refined, full = model.refined(stride), model.cast()
    output, own = refined.graph.outputs[-1], full.graph.outputs[-1]
    grid = refined.sampling(output).over((size, size))
    channels = model.image_shape[0]
    image = np.random.default_rng(0).random((1, channels, size, size), np.float32)
    shifts = tuple(int(step) // stride for step in model.sampling(own).stride)
    jobs = {
        "dilation": lambda: run_cast(refined, image, output, runtime),
        "shifts": lambda: run_shifted(full, image, own, grid, shifts, runtime),
    }
    times = interleaved(jobs, runs)
    once = _products(refined, (size, size))
    native = _as_onnx(full)
    many = sum(
        _products(native, (size - i * stride, size - j * stride)) for i in range(shifts[0]) for j in range(shifts[1])
    )
    crop = tuple(int(side) for side in grid.crop)
    ratio, bound = times["shifts"] / times["dilation"], many / once
    print(
        f"{name:10} {stride:6} {grid.rows * grid.cols:9} {times['dilation']:9.3f}s {times['shifts']:9.3f}s {ratio:6.2f} {bound:6.2f} "
        f"{ratio / bound:6.0%} {grid.rows * grid.cols * _products(native, crop) / once:7.1f}",
        flush=True,
    )


def _as_onnx(model: fullconv.Model) -> fullconv.Model:
    from fullconv.formats.onnx.format import Onnx

    if model.format.name == "onnx":
        return model
    inputs = {name: model.graph.values[name] for name in model.graph.inputs}
    lowered = model.format.lower(model.native, {name: axes.shape for name, axes in inputs.items()})
    return fullconv.Model(of_lowered(lowered, model.graph.outputs, inputs, "net"), Onnx())


def _products(model: fullconv.Model, size: tuple[int, ...]) -> int:
    """Multiplications of all convolutions for an image of this size."""
    sizes = map_sizes(model.graph, (size[0], size[1]))
    total = 0
    for node in model.native.model.graph:
        if node.op_type == "Conv" and node.outputs[0].name in sizes:
            height, width = sizes[node.outputs[0].name]
            total += int(np.prod(node.inputs[1].shape.numpy())) * height * width
    return total


def _lenet() -> fullconv.Model:
    with demo_files() as folder:
        return fullconv.load(folder / "digits.prototxt", folder / "digits.caffemodel")


def _resnet18() -> fullconv.Model:
    declare_torchvision()
    source = build("torchvision:resnet18", None)
    assert source.input_shape is not None
    return fullconv.load(sane(source.module, source.input_shape), input_shape=source.input_shape)


def _caffenet() -> fullconv.Model:
    with TemporaryDirectory() as folder:
        return fullconv.load(*build_caffenet(Path(folder)))


_MODELS = {"lenet": _lenet, "resnet18": _resnet18, "caffenet": _caffenet}

if __name__ == "__main__":
    main()
