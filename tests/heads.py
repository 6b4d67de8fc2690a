"""Heads of random weights over a cast network, and what they must answer by plain arithmetic on its values, cell by cell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import fullconv
from fullconv.formats.head import FittedHead
from fullconv.model import Model
from fullconv.surgery.head import Head, Level
from tests.formats.onnx.nets import write


def weights(**shapes: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Random numbers of sane size under these names, the same for the same names and shapes."""
    rng = np.random.default_rng(0)
    return {
        name: (rng.standard_normal(shape) / np.sqrt(max(1, np.prod(shape[1:])))).astype(np.float32)
        for name, shape in shapes.items()
    }


def level(full: Model, value: str, rows: tuple[int, ...], cols: tuple[int, ...], step: int = 1) -> Level:
    """A level whose regions are these blocks, which cover the crop's window but for what is no whole block."""
    axes = full.graph.values[value]
    sizes = axes.map_size
    block = sizes[0] // sum(rows), sizes[1] // sum(cols)
    return Level(value, axes.shape[axes.channel_axis], block, (step, step), rows, cols)


TRUNK = (
    "c1 = Conv <kernel_shape=[3,3], pads=[1,1,1,1]> (x, w1, b1)\nr1 = Relu(c1)\n"
    "c2 = Conv <kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]> (r1, w2, b2)\nr2 = Relu(c2)\n"
    "c3 = Conv <kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]> (r2, w3, b3)\nr3 = Relu(c3)\n"
    "g = GlobalAveragePool(r3)\nf = Flatten(g)\n"
)  # 16 -> 16 -> 8 -> 4: cells 4 px apart
NUMBERS = {"w1": (4, 3, 3, 3), "b1": (4,), "w2": (5, 4, 3, 3), "b2": (5,), "w3": (6, 5, 3, 3), "b3": (6,)}
GEMM = "z = Gemm(f, w, b)\n"


def network(
    folder: Path, tail: str = GEMM + "y = Softmax <axis=1> (z)", opset: int = 13, kind: str = "float", classes: int = 5
) -> Model:
    numbers = weights(**NUMBERS, w=(6, classes), b=(classes,))
    numbers = {n: v.astype({"float": np.float32, "float16": np.float16}[kind]) for n, v in numbers.items()}
    path = write(folder / "net.onnx", TRUNK + tail, numbers, f"{kind}[1,3,16,16] x", f"{kind}[1,{classes}] y", opset)
    return fullconv.load(path)


def levels(full: Model) -> tuple[Level, ...]:
    return (
        level(full, "r1", (1, 2, 1), (1, 2, 1)),
        level(full, "r2", (1, 2, 1), (1, 3)),
        level(full, "r3", (1, 2, 1), (2, 2)),
    )


def fitted(head: Head, seed: int = 0, mixes: bool = True, **about: Any) -> FittedHead:
    """Weights that move the logits by as much as they are."""
    rng = np.random.default_rng(seed)

    def numbers(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) / np.sqrt(max(1, np.prod(shape[1:])))).astype(np.float32)

    kernels = tuple(numbers(head.width, each.channels, len(each.rows), len(each.cols)) for each in head.levels)
    mixing = numbers(head.width, head.classes) if mixes else None
    spread = None if head.rank is None else numbers(head.classes, head.rank)
    return FittedHead(head, numbers(head.classes), mixing, kernels, about or {"crops": 1000}, spread)


def expected(full: Model, head: FittedHead, image: np.ndarray, cells: Sequence[tuple[int, int]]) -> np.ndarray:
    """(cells, K): each cell's logits by ``FittedHead.moved``, its means taken from the untouched cast network's values."""
    names = [head.head.logits, *(each.value for each in head.head.levels)]
    values = {name: _channels_first(full, name, array)[0] for name, array in full.values(image, names).items()}
    rows = []
    for row, col in cells:
        means = [_means(each, values[each.value], row, col) for each in head.head.levels]
        rows.append(head.moved(values[head.head.logits][None, :, row, col], means)[0])
    return np.array(rows)


def _means(level: Level, values: np.ndarray, row: int, col: int) -> np.ndarray:
    found = np.empty((1, level.channels, len(level.rows), len(level.cols)))
    top = row * level.step[0] * level.block[0]
    for i, high in enumerate(level.rows):
        left = col * level.step[1] * level.block[1]
        for j, wide in enumerate(level.cols):
            part = values[:, top : top + high * level.block[0], left : left + wide * level.block[1]]
            assert part.shape[1:] == (high * level.block[0], wide * level.block[1])
            found[0, :, i, j] = part.astype(np.float64).mean(axis=(1, 2))
            left += wide * level.block[1]
        top += high * level.block[0]
    return found


def _channels_first(full: Model, name: str, array: np.ndarray) -> np.ndarray:
    axes = full.graph.values[name]
    return array.transpose(0, axes.channel_axis, axes.space_axis("h"), axes.space_axis("w"))
