"""An image to a ClassMap: by the cast network, or crop by crop with the untouched one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.errors import BadInput, TooSmall
from fullconv.fingerprint import of_model
from fullconv.geometry.grid import Grid
from fullconv.geometry.place import Place
from fullconv.graph.axes import SPACE
from fullconv.loading import load
from fullconv.maps.carded import advice_of, colours_in, preprocess_of, with_bands
from fullconv.maps.classmap import ClassMap
from fullconv.maps.colours import Given
from fullconv.maps.crops import CROP_BATCH, Progress, answers_each, run_crops
from fullconv.maps.engines import faster_engine, may_choose
from fullconv.maps.features import at_layer, require_for_features
from fullconv.maps.finite import require_numbers
from fullconv.maps.missing import without_answer
from fullconv.maps.probabilities import Asked
from fullconv.maps.scales import Fuse, fused, require_fuse
from fullconv.maps.ways import By, Finer, Way, class_labels, way_over
from fullconv.model import Model
from fullconv.rasters.access import Access
from fullconv.rasters.pictures import resized, to_channels
from fullconv.rasters.preprocess import Preprocess
from fullconv.rasters.transforms import told_of
from fullconv.rasters.view import Selection, View
from fullconv.runtimes.runtime import Precision

Array = npt.NDArray[Any]
_LARGEST_SCALE = 16.0
_MUCH = 16  # crops' areas, from which on an image may take long


def map_image(
    model: Model | str | Path,
    image: Any,
    *,
    preprocess: str | Path | Preprocess | None = None,
    labels: str | Path | Sequence[str] | None = None,
    colours: Given = None,
    by: By = "cast",
    stride: int | None = None,
    finer: Finer = "auto",
    scales: Sequence[float] | None = None,
    fuse: Fuse = "max",
    output: str | None = None,
    activation: Asked = "auto",
    bands: str | Sequence[int | str] | None = None,
    nodata: float | None = None,
    missing: float = 0.5,
    runtime: str = "auto",
    precision: Precision = "fp32",
    batch: int = CROP_BATCH,
    trust: bool = False,
    allow_remote: bool = False,
    subdataset: str | None = None,
    notes: Callable[[str], None] = lambda note: None,
    progress: Progress = lambda done, total: None,
) -> ClassMap:
    """Map an image.

    Args:
        model: a classifier, or one that is fully convolutional already.
        image: a path, an address (``https://``, ``s3://``, ``gs://``), a PIL image, or an array of (H, W) or (H, W, C), colours as RGB.
        preprocess: pixels to network input; the model's own where it states one, else ``raw``.
        labels: a file of labels (text, JSON, a table), a list by its name (``imagenet1k``), or the labels.
        colours: of classes: names to ``#rrggbb`` or (red, green, blue), or a file (``maps.colours``).
        by: ``cast`` runs the cast network once; ``crops`` the untouched one on every crop.
        stride: step between cells in pixels; the network's own by default. The cast network takes divisors of its own
            stride; crops take any.
        finer: how the cast network steps finer: ``dilation`` runs a network with dilated windows once, ``shifts`` the network itself
            once for each shift of the image; ``auto`` takes dilation where the network has such a form.
        scales: map the image at each of these sizes (0.5: half as wide), and fuse the maps on the finest grid.
        fuse: ``max`` or ``mean`` of each class over the scales.
        output: which output, where there are several; the last by default.
        activation: behind that output: ``softmax`` makes probabilities of logits where a crop is of one class, ``sigmoid`` where several may
            be there at once; ``none`` takes scores as they are, and so does ``auto``, which says what they are.
        bands: which, in the network's order: by number, from 1 on, or by the name that the image gives it.
        nodata: the value that stands for no data; the image's own where it states one. Transparent and masked pixels, and what is no
            number, hold none either.
        missing: share of a cell's crop above which pixels without data leave it without an answer (NaN).
        batch: crops a run.
        trust: a mosaic (VRT) may name files outside its folder, and compute bands by GDAL's own functions.
        allow_remote: a mosaic may name files on other machines.
        subdataset: which image of a file of several (HDF5, NetCDF).
        notes: told what was decided on the way.
        progress: told crops done, of how many.

    Raises:
        CannotCast: ``by="cast"`` and the network cannot be cast; crops still work.
        BadInput: the image is smaller than one crop or has other channels, labels do not fit, ...
    """
    model = load(model)
    names = class_labels(model, labels, output, by)  # what is wrong is told before the work
    asked_of = at_layer(model, output)
    own = colours_in(asked_of, names, colours)
    if asked_of is not model:
        require_for_features({"scales": scales})
    advice = advice_of(model, names, output, activation)
    require_fuse(fuse, scales)
    if not 0 <= missing <= 1:
        raise BadInput(f"missing {missing}: a share, 0 to 1")
    select = with_bands(model, Selection(nodata=nodata, access=Access(trust, allow_remote, subdataset)), bands)
    seen = see(image, select, model.image_shape[0], notes)
    for remark in told_of(preprocess, model.image_shape[1:]):
        notes(remark)
    if scales is not None:
        again = {
            "by": by,
            "stride": stride,
            "finer": finer,
            "output": output,
            "activation": activation,
            "runtime": runtime,
            "precision": precision,
            "batch": batch,
        }
        found = _at_scales(
            model,
            seen,
            scales,
            fuse,
            notes,
            preprocess=preprocess,
            names=names,
            missing=missing,
            progress=progress,
            **again,
        )
        return replace(found, colours=own, advice=advice)
    found = _map_seen(
        model, seen, preprocess=preprocess, names=names, by=by, stride=stride, finer=finer, output=output,
        activation=activation, missing=missing, runtime=runtime, precision=precision, batch=batch, notes=notes, progress=progress,
    )  # fmt: skip
    return replace(found, colours=own, advice=advice)


@dataclass(frozen=True, slots=True)
class Seen:
    """An image as a network reads it.

    Attributes:
        name: for people; empty for an image in memory.
        pixels: (H, W, channels) on 0..255.
        gone: (H, W), pixels without data; None where there are none.
        ordered: channels are in the network's order already.
        place: where its pixels lie.
    """

    name: str
    pixels: Array
    gone: npt.NDArray[np.bool_] | None
    ordered: bool
    place: Place

    def values(
        self, preprocess: str | Path | Preprocess | None, channels: int
    ) -> tuple[npt.NDArray[np.float32], str | None]:
        """(1, C, H, W) network input, zeros where there is no data, and what was done to the channels."""
        values, remark = prepare(self.pixels, preprocess, channels, self.ordered)
        if self.gone is not None:
            values[:, :, self.gone] = 0  # as padding is
        return values, remark


def see(
    image: Any,
    select: Selection,
    channels: int,
    notes: Callable[[str], None] = lambda note: None,
) -> Seen:
    """Read the whole of an image, as a stream of tiles would.

    Args:
        channels: what the network takes.
    """
    name = str(image) if isinstance(image, str | Path) else ""
    with closing(View(image, select)) as view:
        view.require(channels)
        for remark in view.remarks:
            notes(remark)
        pixels, gone = view.read((0, view.size[0]), (0, view.size[1]))
        return Seen(name, pixels, gone, view.ordered, view.about.place)


def _map_seen(
    model: Model, seen: Seen, *, preprocess: str | Path | Preprocess | None, names: tuple[str, ...], by: By, stride: int | None,
    finer: Finer, output: str | None, activation: Asked, missing: float, runtime: str, precision: Precision, batch: int, notes: Callable[[str], None],
    progress: Progress,
) -> ClassMap:  # fmt: skip
    given = preprocess_of(model, preprocess)
    values, remark = seen.values(given, model.image_shape[0])
    if remark:
        notes(remark)
    way = way_over(model, by, stride, finer, output, notes, activation, runtime, precision)
    full, name, sampling = way.model, way.output, way.sampling
    grid = sampling.over((values.shape[2], values.shape[3]))
    require_room(grid, seen.name or None)
    runtime = _engine(model, way, values, runtime, precision, notes)
    if precision != "fp32":
        notes(_rounding(full, values, name, grid, runtime, precision))
    if by == "cast":
        scores = run_shifted(full, values, name, grid, way.shifts, runtime, precision, progress)
    else:
        if batch > 1 and grid.rows * grid.cols > 1 and not answers_each(full, name, runtime, precision):
            notes("crops run one at a time: together, the network does not answer each of them by itself")
        scores = run_crops(full, values, name, grid, runtime, precision, batch, progress)
    scores = np.ascontiguousarray(scores, np.float32)
    require_numbers(full, values, scores, precision)
    if seen.gone is not None:
        scores[:, without_answer(seen.gone, grid, missing)] = np.nan
    return ClassMap(
        scores, grid, names, name, by, way.exactness, seen.pixels, place=seen.place, score_kind=way.score_kind
    )


def _engine(
    model: Model, way: Way, values: Array, runtime: str, precision: Precision, notes: Callable[[str], None]
) -> str:
    """The engine to be taken: as asked, or where the image takes long the faster one of the processor's."""
    (height, width), (_, *crop) = values.shape[2:], way.model.image_shape
    crops = height * width / (crop[0] * crop[1])
    if crops < _MUCH or not may_choose(way, runtime, precision):
        return runtime
    took = []
    for _ in range(2):  # the first compiles
        start = perf_counter()
        run_cast(way.model, values[:, :, : crop[0], : crop[1]], way.output, runtime)
        took.append(perf_counter() - start)
    seconds = min(took) * crops * way.shifts[0] * way.shifts[1]

    def parts(size: tuple[int, int]) -> list[Array]:
        return [part_at(values, size, share) for share in (1 / 3, 2 / 3)]

    found = faster_engine(way, runtime, precision, (height, width), seconds, seconds, lambda: of_model(model), parts)
    if found is None:
        return runtime
    notes(str(found))
    return found.engine


def part_at(values: Array, size: tuple[int, int], share: float) -> Array:
    """A part of (1, C, H, W) of this (height, width), that far between its beginning and its end; zeros where it is smaller."""
    y, x = (int(max(0, have - want) * share) for have, want in zip(values.shape[2:], size, strict=True))
    return filled_to(values[:, :, y : y + size[0], x : x + size[1]], size)


def filled_to(values: Array, size: tuple[int, int]) -> Array:
    """(1, C, H, W) with zeros behind it, up to a (height, width)."""
    down, right = (max(0, want - have) for have, want in zip(values.shape[2:], size, strict=True))
    return np.pad(values, ((0, 0), (0, 0), (0, down), (0, right)))


def _at_scales(
    model: Model, seen: Seen, scales: Sequence[float], fuse: Fuse, notes: Callable[[str], None], **options: Any
) -> ClassMap:
    """The image mapped at every scale at which it is as large as a crop, fused."""
    if not scales or not all(np.isfinite(s) and 0 < s <= _LARGEST_SCALE for s in scales):
        raise BadInput(f"scales {list(scales)}: must be numbers above 0, up to {_LARGEST_SCALE}")
    height, width = seen.pixels.shape[:2]
    parts, used, small = [], [], []
    told: set[str] = set()

    def once(note: str) -> None:
        if note not in told:
            notes(note)
        told.add(note)

    for scale in dict.fromkeys(float(s) for s in scales):
        size = max(1, round(height * scale)), max(1, round(width * scale))
        try:
            part = _map_seen(model, seen if size == (height, width) else _at_size(seen, size), notes=once, **options)
        except TooSmall as error:
            small.append((scale, error))
            continue
        if part.score_kind == "winner":
            raise BadInput(
                "scales: scores are fused, and the network gives the winner's number alone; map the image at each size"
            )
        parts.append(replace(part, grid=part.grid.over_original((height, width)), pixels=None))
        used.append(scale)
    if not parts:
        raise small[-1][1]
    for scale, _ in small:
        notes(f"at scale {scale:g} the image is smaller than one crop: left out")
    return replace(fused(parts, used, fuse, seen.pixels), place=seen.place)


def _at_size(seen: Seen, size: tuple[int, int]) -> Seen:
    """The image at another size; a pixel has no data where half of what it covers has none."""
    gone = None if seen.gone is None else resized(seen.gone[:, :, None], *size)[:, :, 0] >= 0.5
    return replace(seen, pixels=resized(seen.pixels, *size), gone=gone, place=Place())


def prepare(
    pixels: Array, preprocess: str | Path | Preprocess | None, channels: int, ordered: bool = False
) -> tuple[npt.NDArray[np.float32], str | None]:
    """(H, W, C) pixels to (1, C, H, W) network input, and what was done to the channels."""
    fitted, remark = to_channels(pixels, channels)
    try:
        return Preprocess.of(preprocess).apply(fitted, ordered=ordered), remark
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
        values = filled_to(values, (rows, cols))
    found = full.run(values, outputs=[output], runtime=runtime, precision=precision)[output]
    axes = full.graph.values[output]
    if found.ndim == 3 == axes.rank and axes.is_map:  # one number a cell: the winner's, say
        found = np.moveaxis(found, [axes.space_axis(root) or 0 for root in SPACE], (1, 2))[:, None]
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


def _rounding(model: Model, values: Array, output: str, grid: Grid, runtime: str, precision: Precision) -> str:
    """What a precision does to the first crop's answer, in words."""
    height, width = (int(side) for side in grid.crop)
    crop = np.ascontiguousarray(values[:, :, :height, :width])
    rough = model.run(crop, outputs=[output], runtime=runtime, precision=precision)[output]
    exact = model.run(crop, outputs=[output])[output]
    return f"{precision} moves the first crop's scores by up to {float(np.abs(rough - exact).max()):.1e}"


def require_room(grid: Grid, image: Any) -> None:
    """TooSmall where a grid has no cell."""
    if grid.rows < 1 or grid.cols < 1:
        name = f"{image}: " if isinstance(image, str | Path) else ""
        height, width = grid.image
        least = f"{grid.crop[1]}×{grid.crop[0]}"
        raise TooSmall(
            f"{name}the image is {width}×{height}, smaller than one crop; the least size is {least} (width × height)"
        )
