"""An image to a map in memory: in one run of the engine where that fits, tile by tile where it does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from fullconv.errors import BadInput, Refused
from fullconv.loading import load
from fullconv.maps.classmap import ClassMap
from fullconv.maps.cost import engine_bytes
from fullconv.maps.crops import Progress
from fullconv.maps.mapping import map_image
from fullconv.maps.ways import Way, way_over
from fullconv.model import Model
from fullconv.rasters.access import Access
from fullconv.rasters.view import Selection, View, parse_bands
from fullconv.stream.run import map_raster
from fullconv.system.memory import available_bytes, resident_bytes

_SURELY = (
    4096  # bytes that a run takes for a pixel, at most, by any network that was tried: below it nothing is computed
)
_SHARE = 0.75  # of what is free
_WAY = ("by", "stride", "finer", "output", "activation", "runtime", "precision")


def map_whole(
    model: Model | str | Path,
    image: Any,
    *,
    memory: int | None = None,
    scales: Sequence[float] | None = None,
    notes: Callable[[str], None] = lambda note: None,
    progress: Progress = lambda done, total: None,
    **options: Any,
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
        options: preprocess, labels, by, stride, finer, fuse, output, activation, bands, nodata, missing, runtime, precision, batch, trust, allow_remote and subdataset,
            see ``map_image``.

    Raises:
        CannotCast: ``by="cast"`` and the network cannot be cast; crops still work.
        BadInput: the image is smaller than one crop, has other channels, or fits neither whole nor in tiles; labels do not fit, ...
    """
    model = load(model)
    own = resident_bytes()
    budget = own + int(available_bytes() * _SHARE) if memory is None else memory
    need = own + _bytes_of(model, image, scales, budget - own, options)
    if need <= budget:
        return map_image(model, image, scales=scales, notes=notes, progress=progress, **options)
    name = str(image) if isinstance(image, str | Path) else "the image"
    much = f"{name}: to be mapped whole it takes {need / 1e6:,.0f} MB, and {budget / 1e6:,.0f} MB may be taken"
    if scales is not None:
        raise BadInput(f"{much}; map it at one scale, or resize it")
    notes(f"{much}: it is mapped tile by tile")
    try:
        return _by_tiles(model, image, budget, notes, progress, options)
    except Refused as error:
        raise BadInput(f"{much}; tile by tile it cannot be mapped: {error}") from None


def _bytes_of(model: Model, image: Any, scales: Sequence[float] | None, budget: int, options: dict[str, Any]) -> int:
    """Predicted bytes of the image in memory and of the largest run over it, or less than the budget where that is clear."""
    access = Access(options.get("trust", False), options.get("allow_remote", False), options.get("subdataset"))
    select = Selection(bands=parse_bands(options.get("bands")), nodata=options.get("nodata"), access=access)
    with closing(View(image, select)) as view:
        largest = max([1.0, *(scales or ())])
        height, width = (max(1, round(side * largest)) for side in view.size)
        channels = model.image_shape[0]
        pixels = view.stage_bytes(*view.size) + height * width * 4 * 3 * max(channels, view.channels)
        if pixels + height * width * _SURELY <= budget:
            return 0
        way = way_over(model, **{key: options[key] for key in _WAY if key in options})
        return pixels + _run_bytes(way, (height, width), channels, options)


def _run_bytes(way: Way, size: tuple[int, int], channels: int, options: dict[str, Any]) -> int:
    runtime = options.get("runtime", "auto")
    if way.by == "crops":
        return engine_bytes(way, runtime)((options.get("batch", 16), *way.model.image_shape))
    height, width = way.model.fitting(size, way.output)
    return engine_bytes(way, runtime)((1, channels, height, width))


def _by_tiles(
    model: Model, image: Any, budget: int, notes: Callable[[str], None], progress: Progress, options: dict[str, Any]
) -> ClassMap:
    def report(event: str, what: Any) -> None:
        if event == "tile":
            progress(what["done"], what["of"])

    given = {key: value for key, value in options.items() if key != "fuse"}
    with TemporaryDirectory(prefix="fullconv-", ignore_cleanup_errors=True) as folder:
        stored = map_raster(model, image, Path(folder) / "map.zarr", memory=budget, report=report, notes=notes, **given)
        scores = np.asarray(stored.scores[:, :, :])
    return replace(stored, scores=scores, record=None, image=image)
