"""An image to a ClassMap: by the cast network, or crop by crop with the untouched one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.errors import BadInput, TooSmall
from fullconv.geometry.grid import Grid
from fullconv.loading import load
from fullconv.maps.classmap import ClassMap
from fullconv.maps.crops import CROP_BATCH, Progress, answers_each, run_crops
from fullconv.maps.finite import require_numbers
from fullconv.maps.scales import Fuse, fused
from fullconv.maps.ways import By, Finer, class_labels, way_over
from fullconv.model import Model
from fullconv.rasters.pictures import read_image, resized, to_channels
from fullconv.rasters.preprocess import Preprocess
from fullconv.runtimes.runtime import Precision

Array = npt.NDArray[Any]
_LARGEST_SCALE = 16.0


def map_image(
    model: Model | str | Path,
    image: Any,
    *,
    preprocess: str | Path | Preprocess | None = None,
    labels: str | Path | Sequence[str] | None = None,
    by: By = "cast",
    stride: int | None = None,
    finer: Finer = "auto",
    scales: Sequence[float] | None = None,
    fuse: Fuse = "max",
    output: str | None = None,
    runtime: str = "auto",
    precision: Precision = "fp32",
    batch: int = CROP_BATCH,
    notes: Callable[[str], None] = lambda note: None,
    progress: Progress = lambda done, total: None,
) -> ClassMap:
    """Map an image.

    Args:
        model: a classifier, or one that is fully convolutional already.
        image: a path, a PIL image, or an array of (H, W) or (H, W, C), colours as RGB.
        preprocess: pixels to network input; the model's own where it states one, else ``raw``.
        labels: a file of one label a line, or the labels.
        by: ``cast`` runs the cast network once; ``crops`` the untouched one on every crop.
        stride: step between cells in pixels; the network's own by default. The cast network takes divisors of its own
            stride; crops take any.
        finer: how the cast network steps finer: ``dilation`` runs a network with dilated windows once, ``shifts`` the network itself
            once for each shift of the image; ``auto`` takes dilation where the network has such a form.
        scales: map the image at each of these sizes (0.5: half as wide), and fuse the maps on the finest grid.
        fuse: ``max`` or ``mean`` of each class over the scales.
        output: which output, where there are several; the last by default.
        batch: crops a run.
        notes: told what was decided on the way.
        progress: told crops done, of how many.

    Raises:
        CannotCast: ``by="cast"`` and the network cannot be cast; crops still work.
        BadInput: the image is smaller than one crop or has other channels, labels do not fit, ...
    """
    model = load(model)
    names = class_labels(model, labels, output, by)  # what is wrong is told before the work
    if scales is not None:
        again = {
            "by": by,
            "stride": stride,
            "finer": finer,
            "output": output,
            "runtime": runtime,
            "precision": precision,
            "batch": batch,
        }
        return _at_scales(
            model, image, scales, fuse, notes, preprocess=preprocess, labels=names, progress=progress, **again
        )
    pixels = read_image(image)
    given = preprocess if preprocess is not None else model.preprocess
    values, told = prepare(pixels, given, model.image_shape[0])
    if told:
        notes(told)
    way = way_over(model, by, stride, finer, output, notes)
    full, name, sampling = way.model, way.output, way.sampling
    grid = sampling.over((values.shape[2], values.shape[3]))
    require_room(grid, image)
    if precision == "bf16":
        notes(_bf16_cost(full, values, name, grid, runtime))
    if by == "cast":
        scores = run_shifted(full, values, name, grid, way.shifts, runtime, precision, progress)
    else:
        if batch > 1 and grid.rows * grid.cols > 1 and not answers_each(full, name, runtime, precision):
            notes("crops run one at a time: together, the network does not answer each of them by itself")
        scores = run_crops(full, values, name, grid, runtime, precision, batch, progress)
    scores = np.ascontiguousarray(scores, np.float32)
    require_numbers(full, values, scores)
    return ClassMap(scores, grid, names, name, by, way.exactness, pixels)


def _at_scales(
    model: Model, image: Any, scales: Sequence[float], fuse: Fuse, notes: Callable[[str], None], **options: Any
) -> ClassMap:
    """The image mapped at every scale at which it is as large as a crop, fused."""
    if not scales or not all(np.isfinite(s) and 0 < s <= _LARGEST_SCALE for s in scales):
        raise BadInput(f"scales {list(scales)}: must be numbers above 0, up to {_LARGEST_SCALE}")
    if fuse not in ("max", "mean"):
        raise BadInput(f"fuse {fuse!r}: not max or mean")
    pixels = read_image(image)
    height, width = pixels.shape[:2]
    parts, used, small = [], [], []
    told: set[str] = set()

    def once(note: str) -> None:
        if note not in told:
            notes(note)
        told.add(note)

    for scale in dict.fromkeys(float(s) for s in scales):
        size = max(1, round(height * scale)), max(1, round(width * scale))
        try:
            part = map_image(
                model, pixels if size == (height, width) else resized(pixels, *size), notes=once, **options
            )
        except TooSmall as error:
            small.append((scale, error))
            continue
        parts.append(replace(part, grid=part.grid.over_original((height, width)), pixels=None))
        used.append(scale)
    if not parts:
        raise small[-1][1]
    for scale, _ in small:
        notes(f"at scale {scale:g} the image is smaller than one crop: left out")
    return fused(parts, used, fuse, pixels)


def prepare(
    pixels: Array, preprocess: str | Path | Preprocess | None, channels: int
) -> tuple[npt.NDArray[np.float32], str | None]:
    """(H, W, C) pixels to (1, C, H, W) network input, and what was done to the channels."""
    fitted, told = to_channels(pixels, channels)
    try:
        return Preprocess.of(preprocess).apply(fitted), told
    except BadInput as error:
        if isinstance(preprocess, str | Path) and str(preprocess) not in str(error):
            raise BadInput(f"{preprocess}: {error}") from None
        raise


def run_cast(full: Model, values: Array, output: str, runtime: str = "auto", precision: Precision = "fp32") -> Array:
    """One run of the cast network over (1, C, H, W); (classes, rows, cols).

    Where the network takes only some sizes (blocks of cells, branches that meet), the image is cut at the bottom and on the
    right behind the last crop, or, where that would cost cells, filled up with zeros; cells past the image are the caller's to cut.
    """
    height, width = values.shape[2:]
    rows, cols = full.fitting((height, width), output)
    values = np.ascontiguousarray(values[:, :, :rows, :cols])
    if rows > height or cols > width:
        values = np.pad(values, ((0, 0), (0, 0), (0, max(0, rows - height)), (0, max(0, cols - width))))
    found = full.run(values, outputs=[output], runtime=runtime, precision=precision)[output]
    if found.ndim != 4:
        raise BadInput(f"output {output!r} has the shape {found.shape}, which is no map; choose another output")
    return np.asarray(found[0])


def run_shifted(
    full: Model,
    values: Array,
    output: str,
    grid: Grid,
    shifts: tuple[int, int] = (1, 1),
    runtime: str = "auto",
    precision: Precision = "fp32",
    progress: Progress = lambda done, total: None,
) -> Array:
    """The cast network over the image and its shifts; (classes, rows, cols) of the grid, cells past the image cut.

    With a grid of stride N and a network of stride k·N, shifting the image by 0, N, ..., (k - 1)·N pixels a side
    gives every cell of the finer map, each exactly what the network says there.

    Args:
        shifts: k for rows and columns.
    """
    down, right = (int(step) for step in grid.stride)
    scores: Array | None = None
    for i, (row, col) in enumerate(product(range(shifts[0]), range(shifts[1]))):
        part = values[:, :, row * down :, col * right :]
        room = _room(grid, row, col, shifts)
        if min(room) < 1:
            continue
        found = run_cast(full, np.ascontiguousarray(part), output, runtime, precision)
        if shifts == (1, 1):
            return found[:, : grid.rows, : grid.cols]
        if scores is None:
            scores = np.empty((len(found), grid.rows, grid.cols), np.float32)
        scores[:, row :: shifts[0], col :: shifts[1]] = found[:, : room[0], : room[1]]
        progress(i + 1, shifts[0] * shifts[1])
    assert scores is not None, "a grid with cells has one at the first shift"
    return scores


def _room(grid: Grid, row: int, col: int, shifts: tuple[int, int]) -> tuple[int, int]:
    """(rows, cols) of the finer grid that the shift (row, col) fills."""
    return -(-(grid.rows - row) // shifts[0]), -(-(grid.cols - col) // shifts[1])


def _bf16_cost(model: Model, values: Array, output: str, grid: Grid, runtime: str) -> str:
    """What bf16 does to the first crop's answer, in words."""
    height, width = (int(side) for side in grid.crop)
    crop = np.ascontiguousarray(values[:, :, :height, :width])
    rough = model.run(crop, outputs=[output], runtime=runtime, precision="bf16")[output]
    exact = model.run(crop, outputs=[output])[output]
    return f"bf16 moves the first crop's scores by up to {float(np.abs(rough - exact).max()):.1e}"


def require_room(grid: Grid, image: Any) -> None:
    """TooSmall where a grid has no cell."""
    if grid.rows < 1 or grid.cols < 1:
        name = f"{image}: " if isinstance(image, str | Path) else ""
        height, width = grid.image
        least = f"{grid.crop[1]}×{grid.crop[0]}"
        raise TooSmall(
            f"{name}the image is {width}×{height}, smaller than one crop; the least size is {least} (width × height)"
        )
