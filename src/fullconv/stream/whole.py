"""An image to a map in memory: in one run of the engine where that fits, tile by tile where it does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Unpack

import numpy as np

from fullconv.errors import BadInput, Refused
from fullconv.loading import load
from fullconv.maps.carded import as_trained
from fullconv.maps.classmap import ClassMap
from fullconv.maps.cost import engine_bytes
from fullconv.maps.crops import Progress
from fullconv.maps.mapping import map_image
from fullconv.maps.ways import Way, class_labels, way_over
from fullconv.model import Model
from fullconv.rasters.access import Access
from fullconv.rasters.view import Selection, View
from fullconv.stream.options import WholeOptions, takes
from fullconv.stream.plan import StreamPlan
from fullconv.stream.run import job_of, map_raster, plan_raster
from fullconv.system.memory import available_bytes, resident_bytes

_SURELY = (
    4096  # bytes that a run takes for a pixel, at most, by any network that was tried: below it nothing is computed
)
_SHARE = 0.75  # of what is free
_WAY = ("by", "stride", "finer", "output", "activation", "runtime", "precision")
# What is done tile by tile alone, and what each is where it is not asked for.
_TILED: Mapping[str, Any] = {
    "level": None, "mpp": None, "where": None, "on_error": "stop", "workers": None, "confirm": None,
}  # fmt: skip
_SAID: Mapping[str, Any] = {"confirm_class": None, "confirm_threshold": None}  # more of what is done so


@takes(map_image, job_of, known_as="map")
def map_whole(
    model: Model | str | Path,
    image: Any,
    *,
    memory: int | None = None,
    scales: Sequence[float] | None = None,
    notes: Callable[[str], None] = lambda note: None,
    progress: Progress = lambda done, total: None,
    workers: int | None = None,
    **options: Unpack[WholeOptions],
) -> ClassMap:
    """Map an image, into memory.

    An image that does not fit is mapped tile by tile, as ``map_raster`` does; the map is the same.

    Args:
        model: a classifier, or one that is fully convolutional already.
        image: a path, an address (``https://``, ``s3://``, ``gs://``), a PIL image, or an array of (H, W) or (H, W, C), colours as RGB.
        memory: bytes that the process may take; what it holds and three quarters of what is free by default.
        scales: map the image at each of these sizes (0.5: half as wide), and fuse the maps on the finest grid.
        notes: told what was decided on the way.
        progress: told crops, shifts or tiles done, of how many.
        workers: do tiles in so many processes of this machine.
        options: preprocess, labels, by, stride, finer, fuse, output, activation, bands, nodata, missing, runtime, precision, batch, trust, allow_remote and subdataset,
            see ``map_image``; level or mpp, where, on_error and confirm, see ``map_raster``: with these, as with workers, it is mapped tile by tile.

    Raises:
        CannotCast: ``by="cast"`` and the network cannot be cast; crops still work.
        BadInput: the image is smaller than one crop, has other channels, or fits neither whole nor in tiles; labels do not fit, ...
    """
    model = load(model)
    asked: dict[str, Any] = {**options} if workers is None else {**options, "workers": workers}
    plan = _plan(model, image, memory, scales, asked)
    if not plan.tiled:
        whole: dict[str, Any] = {key: value for key, value in asked.items() if key not in _TILED and key not in _SAID}
        return map_image(model, image, scales=scales, notes=notes, progress=progress, **whole)
    if not plan.much:
        return _by_tiles(model, image, plan.budget, notes, progress, asked)
    if scales is not None:
        raise BadInput(f"{plan.much}; map it at one scale, or resize it")
    notes(f"{plan.much}: it is mapped tile by tile")
    try:
        return _by_tiles(model, image, plan.budget, notes, progress, asked)
    except Refused as error:
        raise BadInput(f"{plan.much}; tile by tile it cannot be mapped: {error}") from None


@takes(map_image, job_of)
def plan_whole(
    model: Model | str | Path,
    image: Any,
    *,
    memory: int | None = None,
    scales: Sequence[float] | None = None,
    notes: Callable[[str], None] = lambda note: None,
    workers: int | None = None,
    **options: Unpack[WholeOptions],
) -> WholePlan | StreamPlan:
    """What ``map_whole`` would do; the arguments are its own. No pixel is read."""
    model = load(model)
    asked: dict[str, Any] = {**options} if workers is None else {**options, "workers": workers}
    plan = _plan(model, image, memory, scales, asked)
    if not plan.tiled:
        return plan
    if plan.much:
        notes(f"{plan.much}: it is mapped tile by tile")
    given: dict[str, Any] = {key: value for key, value in asked.items() if key != "fuse"}
    return plan_raster(model, image, memory=plan.budget, notes=notes, **given)


@dataclass(frozen=True, slots=True)
class WholePlan:
    """How an image is mapped into memory.

    Attributes:
        size: (height, width) in pixels.
        peak_bytes: predicted of the process, at most.
        budget: bytes that may be taken.
        tiled: it goes tile by tile.
        much: why, in words, where it does not fit; empty where it does, or was asked to be tiled.
    """

    size: tuple[int, int]
    peak_bytes: int
    budget: int
    tiled: bool = False
    much: str = ""

    def __str__(self) -> str:
        return (
            f"{self.size[1]}×{self.size[0]} px, in one run; predicted peak memory {self.peak_bytes / 1e6:,.0f} MB at most, "
            f"budget {self.budget / 1e6:,.0f} MB"
        )

    def to_json(self) -> dict[str, Any]:
        return {"size": list(self.size), "predicted_bytes": {"peak": self.peak_bytes}, "budget_bytes": self.budget}


def _plan(
    model: Model, image: Any, memory: int | None, scales: Sequence[float] | None, options: Mapping[str, Any]
) -> WholePlan:
    asked = [key for key, usual in _TILED.items() if options.get(key, usual) != usual]
    if asked and scales is not None:
        raise BadInput(
            f"scales map the whole image at several sizes, and {asked[0]} maps it tile by tile; give one of them"
        )
    own = resident_bytes()
    budget = own + int(available_bytes() * _SHARE) if memory is None else memory
    if asked:
        return WholePlan((0, 0), 0, budget, True)
    if model.card is not None and model.card.pixel_size is not None and not _is_finest(model, image, options):
        if scales is not None:
            raise BadInput(
                f"scales are of the image's own pixels, and {model.card.origin} has a pixel size; give leave scales out"
            )
        return WholePlan((0, 0), 0, budget, True)
    size, need = _bytes_of(model, image, scales, budget - own, options)
    plan = WholePlan(size, own + need, budget)
    if plan.peak_bytes <= budget:
        return plan
    name = str(image) if isinstance(image, str | Path) else "the image"
    much = (
        f"{name}: to be mapped whole it takes {plan.peak_bytes / 1e6:,.0f} MB, and {budget / 1e6:,.0f} MB may be taken"
    )
    return replace(plan, tiled=True, much=much)


def _is_finest(model: Model, image: Any, options: Mapping[str, Any]) -> bool:
    """Whether the pixel size of the network's card is the image's own."""
    access = Access(options.get("trust", False), options.get("allow_remote", False), options.get("subdataset"))
    with closing(View(image, as_trained(model, Selection(access=access), None))) as view:
        return view.size == view.about.size


def _bytes_of(
    model: Model, image: Any, scales: Sequence[float] | None, budget: int, options: Mapping[str, Any]
) -> tuple[tuple[int, int], int]:
    """The image's (height, width), and predicted bytes of it in memory and of the largest run over it: at most, where that is clear to fit."""
    access = Access(options.get("trust", False), options.get("allow_remote", False), options.get("subdataset"))
    select = as_trained(model, Selection(nodata=options.get("nodata"), access=access), options.get("bands"))
    with closing(View(image, select)) as view:
        largest = max([1.0, *(scales or ())])
        height, width = (max(1, round(side * largest)) for side in view.size)
        channels = model.image_shape[0]
        pixels = view.stage_bytes(*view.size) + height * width * 4 * 3 * max(channels, view.channels)
        if pixels + height * width * _SURELY <= budget:
            return view.size, pixels + height * width * _SURELY
        way = way_over(model, **{key: options[key] for key in _WAY if key in options})
        return view.size, pixels + _run_bytes(way, (height, width), channels, options)


def _run_bytes(way: Way, size: tuple[int, int], channels: int, options: Mapping[str, Any]) -> int:
    engine = engine_bytes(way, options.get("runtime", "auto"), options.get("precision", "fp32"))
    if way.by == "crops":
        return engine((options.get("batch", 16), *way.model.image_shape))
    height, width = way.model.fitting(size, way.output)
    return engine((1, channels, height, width))


def _by_tiles(
    model: Model, image: Any, budget: int, notes: Callable[[str], None], progress: Progress, options: dict[str, Any]
) -> ClassMap:
    def report(event: str, what: Any) -> None:
        if event == "tile":
            progress(what["done"], what["of"])
        elif event == "plan":
            _require_room(what["grid"]["rows"] * what["grid"]["cols"] * classes * 4, budget - resident_bytes())

    given = {key: value for key, value in options.items() if key != "fuse"}
    classes = len(class_labels(model, options.get("labels"), options.get("output"), options.get("by", "cast")))
    with TemporaryDirectory(prefix="fullconv-", ignore_cleanup_errors=True) as folder:
        stored = map_raster(model, image, Path(folder) / "map.zarr", memory=budget, report=report, notes=notes, **given)
        scores = np.asarray(stored.scores[:, :, :])
        confirmed = None if stored.confirmed is None else np.asarray(stored.confirmed)
    return replace(stored, scores=scores, image=image, confirmed=confirmed)


def _require_room(size: int, room: int) -> None:
    """BadInput, before the work, where the scores of all cells are more than memory holds."""
    if size > room:
        raise BadInput(
            f"the scores alone take {size / 1e6:,.0f} MB, and {max(0, room) / 1e6:,.0f} MB are left; map it into a store, which holds any "
            "size: -o x.zarr (map_raster)"
        )
