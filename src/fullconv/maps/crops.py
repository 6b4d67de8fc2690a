"""The untouched network over crops: one row of classes a crop, many crops a run where it answers each by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from math import prod
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from fullconv.errors import BadInput, FullconvError
from fullconv.geometry.grid import Grid
from fullconv.graph.nodes import Graph
from fullconv.model import Model
from fullconv.runtimes.runtime import Precision

Array = npt.NDArray[Any]
Progress = Callable[[int, int], None]  # done, of how many
CROP_BATCH = 16
# Of the largest score: far above the rounding of one batch size and another, far below another crop's answer.
_ALIKE = {"fp32": 1e-3, "tf32": 1e-2, "fp16": 1e-2, "bf16": 5e-2}


def no_crops(graph: Graph) -> str | None:
    """Why a network cannot be run on crops of an image, None where it can."""
    if graph.image is None:
        return "it has no image input of (N, C, H, W)"
    others = [name for name in graph.inputs if name != graph.image and graph.consumers(name)]
    if others:
        return f"it needs more than an image: its inputs are {', '.join(graph.inputs)}"
    return None


def classes_of(model: Model, output: str) -> int:
    """How many classes an output of the untouched network has; one without a batch axis is a row of them itself."""
    axes = model.graph.values[output]
    if axes.is_map and not model.plan.refusals:  # a network that is fully convolutional already, at whatever size
        return prod(axes.shape[1:]) // prod(axes.map_size)  # one, where it says the winner alone
    if _has_batch(model.graph, output):
        return prod(axes.shape[1:])
    image = model.graph.image
    if image is None or model.graph.values[image].shape[0] == 1:
        return prod(axes.shape)
    # It states a batch of several and folds it into the classes: one crop tells how many there are.
    return model.run(np.zeros((1, *model.image_shape), np.float32), outputs=[output])[output].size


def _has_batch(graph: Graph, output: str) -> bool:
    shape = graph.values[output].shape
    return len(shape) > 1 and (graph.image is None or shape[0] == graph.values[graph.image].shape[0])


def run_crops(
    model: Model,
    values: Array,
    output: str,
    grid: Grid,
    runtime: str = "auto",
    precision: Precision = "fp32",
    batch: int = CROP_BATCH,
    progress: Progress = lambda done, total: None,
) -> Array:
    """The network over every crop of the grid, ``batch`` at a time; (classes, rows, cols)."""
    every = list(product(range(grid.rows), range(grid.cols)))
    scores = run_cells(model, values, output, grid, every, runtime, precision, batch, progress)
    return scores.T.reshape(-1, grid.rows, grid.cols)


def run_cells(
    model: Model,
    values: Array,
    output: str,
    grid: Grid,
    cells: Sequence[tuple[int, int]],
    runtime: str = "auto",
    precision: Precision = "fp32",
    batch: int = CROP_BATCH,
    progress: Progress = lambda done, total: None,
) -> Array:
    """The network over the crops of some cells, ``batch`` at a time; (cells, classes)."""

    at_once = max(1, batch) if len(cells) > 1 and answers_each(model, output, runtime, precision) else 1
    found: list[Array] = []
    for start in range(0, len(cells), at_once):
        crops = np.stack([_crop(values, grid, *cell) for cell in cells[start : start + at_once]])
        scores = model.run(crops, outputs=[output], runtime=runtime, precision=precision)[output]
        if scores.ndim == 4 and output in model.recorded:  # a finer network has cells behind its crop's
            scores = scores[:, :, :1, :1]
        found.append(_rows(scores, len(crops), output))
        progress(start + len(crops), len(cells))
    return np.concatenate(found)


_tried: WeakKeyDictionary[Model, dict[tuple[str, str, str], bool]] = WeakKeyDictionary()


def answers_each(model: Model, output: str, runtime: str = "auto", precision: Precision = "fp32") -> bool:
    """Whether a batch's answers are those of its crops, each by itself: tried, once, with two crops of noise.

    A network may fold the batch into its classes, normalise over it, or take one crop only.
    """
    known = _tried.setdefault(model, {})
    key = (output, runtime, precision)
    if key not in known:

        def answers(crops: Array) -> Array:
            return model.run(crops, outputs=[output], runtime=runtime, precision=precision)[output]

        known[key] = _same_alone(answers, model.image_shape, _ALIKE[precision])
    return known[key]


def _same_alone(answers: Callable[[Array], Array], shape: tuple[int, int, int], alike: float) -> bool:
    crops = np.random.default_rng(0).integers(0, 256, (2, *shape)).astype(np.float32)  # as every network takes them
    alone = [answers(crops[i : i + 1]) for i in range(2)]
    try:
        both = answers(crops)
    except FullconvError:
        return False
    if both.shape != (2, *alone[0].shape[1:]) or any(each.shape[:1] != (1,) for each in alone):
        return False
    limit = alike * max(float(np.abs(np.nan_to_num(each)).max(initial=0.0)) for each in alone)
    return all(np.allclose(both[i], each[0], rtol=0, atol=limit, equal_nan=True) for i, each in enumerate(alone))


def _rows(scores: Array, crops: int, output: str) -> Array:
    """The answers for some crops as (crops, classes)."""
    shape = scores.shape
    if crops == 1 and (scores.ndim < 2 or shape[0] != 1):
        scores = scores[None]  # without an axis of the batch
    elif scores.ndim == 1:
        scores = scores[:, None]  # one number a crop: the winner's, say
    if len(scores) != crops or scores[0].size != max(scores.shape[1:]):
        raise BadInput(
            f"output {output!r} has the shape {shape} for {'one crop' if crops == 1 else f'{crops} crops'}, which is no row of classes; "
            "choose another output"
        )
    return scores.reshape(crops, -1)


def _crop(values: Array, grid: Grid, row: int, col: int) -> Array:
    x0, y0, x1, y1 = (int(v) for v in grid.box(row, col))
    return values[0, :, y0:y1, x0:x1]
