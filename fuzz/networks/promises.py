"""The promises of a cast, tried one by one: shapes, the answer at training size, cells against crops, finer maps, what is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.errors import BrokenPromise, FullconvError
from fullconv.geometry.lengths import map_sizes
from fullconv.loading import load
from fullconv.model import Model

Array = npt.NDArray[Any]
Answers = Callable[[Array], list[Array]]  # the untouched network's answers for (1, c, h, w)
Shape = tuple[int, int, int]
NOISE = 1e-5  # of the largest value: more than this is looked into
WRONG = 200.0  # times the network's own noise
_IMAGES = 3  # on which noise and the largest value are measured
_KNOWN = (
    "does not go through",
    "cast the network for other",
)  # a size that no fill was found for; a file that states its size


@dataclass(frozen=True)
class Verdict:
    """What came of one network.

    Attributes:
        kind: ``exact`` or ``inexact`` where all is well; ``refused`` and ``unread`` where fullconv said no; else what is wrong.
        detail: where and by how much.
        finer: whether a finer map was tried too: fullconv refuses some, and some networks have no stride.
    """

    kind: str
    detail: str = ""
    finer: bool = False

    @property
    def is_finding(self) -> bool:
        return self.kind not in ("exact", "inexact", "refused", "unread", "not an original")


def promises(net: Model, original: Answers, shape: Shape, random: Random, folder: Path) -> Verdict:
    """Every promise of a network's cast.

    Args:
        net: as it was read.
        original: the untouched network, in its own engine.
        shape: (C, H, W) that it was trained on.
        folder: where the cast may be written.

    Raises:
        FullconvError: one that should not have been.
    """
    plan = net.plan
    if plan.refusals:
        return Verdict("refused", "; ".join(f"{r.node}: {r.reason}" for r in plan.refusals))
    full = net.cast()
    seed = random.getrandbits(32)
    image = np.random.default_rng(seed).standard_normal((1, *shape)).astype(np.float32)
    found = full.run(image)
    answers = original(image)
    scales = _scales(original, shape, seed)
    at_training = map_sizes(full.graph, shape[1:])
    for i, name in enumerate(full.graph.outputs):
        wrong = _compare(found[name], _as_given(net, i, answers[i]), scales[i])
        if wrong:
            return Verdict("training size", f"{name}: {wrong}")
        if _size(full, name, found[name]) not in (None, at_training.get(name)):
            return Verdict(
                "told size",
                f"{name} at training size: told {at_training.get(name)}, is {_size(full, name, found[name])}",
            )
    ways = _ways(net, full, random)
    for way in ways:
        verdict = _larger(way, net, original, shape, random, seed, scales)
        if verdict is not None:
            return verdict
    well = Verdict("inexact" if plan.inexact else "exact", plan.exactness, len(ways) > 1)
    return _saved(folder, full, shape, scales, seed) or well


def _ways(net: Model, full: Model, random: Random) -> list[Model]:
    """The cast, and it with finer maps."""
    ways = [full]
    steps = {int(s) for s in net.sampling().stride if s.denominator == 1}
    fits = [n for n in range(1, max(steps, default=1)) if all(step % n == 0 for step in steps)]
    if fits and len(full.graph.outputs) >= 1:
        try:
            ways.append(net.refined(random.choice(fits)))
        except BrokenPromise:
            raise
        except FullconvError:
            pass
    return ways


def _larger(
    way: Model,
    net: Model,
    original: Answers,
    shape: Shape,
    random: Random,
    seed: int,
    scales: list[Scale],
) -> Verdict | None:
    """One or two larger sizes: told shapes, and cells against crops."""
    graph, finer = way.graph, bool(way.refinements)
    name = graph.outputs[-1]
    stride = [max(1, int(step)) for step in net.sampling(name).stride]
    sizes = [shape[1:]] if finer else []  # the cast itself was tried there
    for _ in range(2):
        more = random.randrange(0, 2 * stride[0] + 3), random.randrange(1, 2 * stride[1] + 4)
        sizes.append((shape[1] + more[0], shape[2] + more[1]))
    for rough in sizes:
        size = way.fitting(rough, name)
        image = (
            np.random.default_rng(seed + size[0] * 1000 + size[1])
            .standard_normal((1, shape[0], *size))
            .astype(np.float32)
        )
        what = f"{'finer map' if finer else 'map'} at {size[0]}×{size[1]}"
        try:
            found = way.run(image)
        except BrokenPromise:
            raise
        except FullconvError as error:
            if any(text in str(error) for text in _KNOWN):
                continue
            raise
        told = map_sizes(graph, size)
        for i, output in enumerate(graph.outputs):
            real = _size(way, output, found[output])
            if real is not None and real != told[output]:
                return Verdict("told size", f"{output}, {what}: told {told[output]}, is {real}")
            sampling = way.sampling(output)
            if real is None or any(step.denominator != 1 for step in sampling.stride):
                continue
            cells = sampling.cells(size)
            if output == name and (real[0] < cells[0] or real[1] < cells[1]):
                return Verdict("fitting", f"{output}, {what}: {real} cells where crops give {cells}")
            wrong = _cells(way, net, original, shape, output, i, image, found[output], scales[i])
            if wrong:
                return Verdict("finer cells" if finer else "cells", f"{output}, {what}: {wrong}")
    return None


def _cells(
    way: Model,
    net: Model,
    original: Answers,
    shape: Shape,
    output: str,
    i: int,
    image: Array,
    found: Array,
    scale: Scale,
) -> str | None:
    """Cells that should be their crops' answers and are not."""
    sampling = way.sampling(output)
    trained = net.plan.predicted.values[net.plan.predicted.outputs[i]]  # type: ignore[union-attr]
    patch = trained.map_size  # cells that one crop of training size gives: 1×1 for a classifier
    step = [int(s) for s in sampling.stride]
    coarse = [int(s) for s in net.sampling(net.plan.predicted.outputs[i]).stride]  # type: ignore[union-attr]
    size = image.shape[2:]
    grid = sampling.over((size[0], size[1]))
    rows, cols = net.plan.free_cells(grid)
    exact = not net.plan.inexact
    if not exact and patch != (1, 1):
        return None  # a crop of training size has several cells, with edges of its own
    for top in range(0, size[0] - shape[1] + 1, step[0]):
        for left in range(0, size[1] - shape[2] + 1, step[1]):
            row, col = top // step[0], left // step[1]
            if not exact and not (row < len(rows) and col < len(cols) and rows[row] and cols[col]):
                continue
            answer = _as_given(net, i, original(image[:, :, top : top + shape[1], left : left + shape[2]])[i])
            jump = [c // s for c, s in zip(coarse, step, strict=True)]
            cell = _take(way, output, found, (row, col), patch, jump)
            wrong = _compare(cell, answer, scale)
            if wrong:
                told = "exact" if exact else "free"
                return f"cell ({row}, {col}), told {told}, crop at ({top}, {left}): {wrong}"
    return None


def _sides(way: Model, output: str, array: Array) -> tuple[int, int] | None:
    axes = way.graph.values[output]
    if not axes.is_map or axes.rank != array.ndim:
        return None
    if axes.rank == 4:
        return 2, 3  # whatever its own order
    return axes.space_axis("h") or 0, axes.space_axis("w") or 0


def _size(way: Model, output: str, array: Array) -> tuple[int, int] | None:
    sides = _sides(way, output, array)
    return None if sides is None else (array.shape[sides[0]], array.shape[sides[1]])


def _take(
    way: Model, output: str, array: Array, cell: tuple[int, int], patch: tuple[int, int], jump: list[int]
) -> Array:
    """The cells of one crop out of a map."""
    sides = _sides(way, output, array)
    if sides is None:
        return array
    index: list[Any] = [slice(None)] * array.ndim
    for side, start, count, step in zip(sides, cell, patch, jump, strict=True):
        index[side] = slice(start, start + (count - 1) * step + 1, step)
    return np.asarray(array[tuple(index)])


@dataclass(frozen=True)
class Scale:
    """An output's largest value over some images, and how far it moves when the last bits of the input change, as a share of that."""

    largest: float
    noise: float


def _scales(original: Answers, shape: Shape, seed: int) -> list[Scale]:
    rng = np.random.default_rng(seed + 1)
    largest, noise = [], []
    for _ in range(_IMAGES):
        image = rng.standard_normal((1, *shape)).astype(np.float32)
        moved = (image * (1 + rng.uniform(-1, 1, image.shape) * 2**-22)).astype(np.float32)
        here, there = (original(each) for each in (image, moved))
        largest.append([float(np.abs(np.nan_to_num(np.asarray(a, np.float64))).max(initial=0)) for a in here])
        noise.append([_difference(a, b) for a, b in zip(here, there, strict=True)])
    sizes = [max(each) or 1e-3 for each in zip(*largest, strict=True)]
    return [Scale(size, max(moved) / size) for size, moved in zip(sizes, zip(*noise, strict=True), strict=True)]


def _difference(a: Array, b: Array) -> float:
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if np.array_equal(a, b, equal_nan=True):
        return 0.0
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return float("inf")
    return float(np.abs(a - b).max())


def _as_given(net: Model, i: int, answer: Array) -> Array:
    """An answer of the original as a Model gives it: maps of any order as (n, c, h, w)."""
    axes = net.graph.values[net.graph.outputs[i]]
    if not (axes.is_map and axes.rank == 4):
        return answer
    return np.asarray(answer).transpose(0, axes.channel_axis, axes.space_axis("h"), axes.space_axis("w"))


def _compare(found: Array, answer: Array, scale: Scale) -> str | None:
    if found.size != answer.size:
        return f"{found.shape} where the original gives {answer.shape}"
    share = _difference(found.ravel(), np.asarray(answer).ravel()) / scale.largest
    return (
        None
        if share <= max(NOISE, WRONG * scale.noise)
        else f"{share:.1e} of the largest value (noise {scale.noise:.0e})"
    )


def saved_again(full: Model, folder: Path) -> Model:
    """The model written and read."""
    (out, *_) = full.save(folder / "full.onnx")
    axes = full.graph.values[full.graph.image or ""]
    return load(out, input_shape=(axes.shape[axes.channel_axis], *axes.map_size))


def _saved(folder: Path, full: Model, shape: Shape, scales: list[Scale], seed: int) -> Verdict | None:
    again = saved_again(full, folder)
    if not again.is_fully_convolutional:
        return Verdict("saved", f"what was written is not fully convolutional: {again.plan}")
    name = full.graph.outputs[-1]
    stride = [max(1, int(step)) for step in full.sampling(name).stride]
    size = full.fitting((shape[1] + stride[0], shape[2] + 2 * stride[1]), name)
    image = np.random.default_rng(seed + 5).standard_normal((1, shape[0], *size)).astype(np.float32)
    try:
        mine, theirs = full.run(image), again.run(image)
    except BrokenPromise:
        raise
    except FullconvError as error:
        if any(text in str(error) for text in _KNOWN):
            return None
        raise
    for i, (value, other) in enumerate(zip(mine.values(), theirs.values(), strict=True)):  # another format, other names
        wrong = _compare(other, value, scales[i])
        if wrong:
            return Verdict("saved", f"output {i}: {wrong}")
    return None
