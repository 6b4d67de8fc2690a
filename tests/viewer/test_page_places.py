"""A pixel of the screen shows the cell that ``ClassMap.at`` says, whatever the store: its type, its classes, its cells before the first, its steps, its
resolution, turned or not."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

import fullconv
from fullconv.maps.classmap import ClassMap
from fullconv.rasters.view import View
from fullconv.results.local import Local
from fullconv.results.store import Store
from tests.viewer.browsing import Open, at, look, places, seen, set_slider
from tests.viewer.conftest import Mapped, pixels

pytestmark = pytest.mark.long
LABELS = ["plain", "<img src=x onerror=document.title=1>", "other"]
CASES: dict[str, dict[str, Any]] = {
    "as it is": {},
    "in eight bits": {"stored": "uint8"},
    "in halves": {"stored": "float16"},
    "of winners": {"keep": "top1"},
    "of some classes": {"keep": "2,0"},
    "by crops": {"by": "crops", "stride": 7},
    "of a coarser level": {"level": 1},
    "resampled": {"mpp": 0.83},
    "finer": {"finer": "auto", "stride": 2},
}


def whole() -> np.ndarray:
    """The slide's pixels."""
    return pixels((625, 925))[:601, :901]


def noise(result: Path, made: Path, unfinished: bool = False) -> ClassMap:
    """A store like one that was made, of random scores with holes: no cell is like the one beside it."""
    record = Store.open(Local(str(result))).record
    store = Store.create(Local(str(made)), replace(record, finished=False, failed=()))
    rng, tiles = np.random.default_rng(5), list(record.tiles)
    for tile in tiles[: max(1, len(tiles) // 2)] if unfinished else tiles:
        size = tile.y.cells[1] - tile.y.cells[0], tile.x.cells[1] - tile.x.cells[0]
        scores = rng.random((record.classes, *size)).astype(np.float32)
        gone = rng.random(size) < 0.1
        scores[:, gone] = np.nan
        winners = np.where(gone, 65535, rng.integers(0, len(record.labels), size)).astype(np.uint16)
        store.write(tile, scores, winners if record.keep == "top1" else None)
    if not unfinished:
        store.finish([], 0)
    return ClassMap.load(made)


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a level whose scale is no whole number, and a pixel size."""
    path = tmp_path_factory.mktemp("places") / "slide.tif"
    small = np.asarray(Image.fromarray(whole()).resize((450, 300), Image.Resampling.BOX))
    about: dict[str, Any] = {"tile": (256, 256), "photometric": "minisblack", "resolution": (20_000, 20_000), "resolutionunit": "CENTIMETER"}  # fmt: skip
    with tifffile.TiffWriter(path) as writer:
        writer.write(whole(), subifds=1, **about)
        writer.write(small, subfiletype=1, **about)
    with closing(View(path)) as view:
        assert view.about.pixel_size == pytest.approx((0.5, 0.5))
    return path


def expected(found: ClassMap, x: float, y: float, ground: np.ndarray) -> np.ndarray:
    """The colour of a place: its winner's, or grey over what lies below."""
    scores = at(found, x, y)
    if np.isnan(scores).all():
        return ground + (np.array([128, 128, 128]) - ground) * (110 / 255)
    return np.array(found.colour(int(np.nanargmax(scores))), float)


@pytest.mark.parametrize("name", CASES)
def test_a_pixel_is_the_cell_that_the_map_says(
    show: Open, mapped: Mapped, slide: Path, tmp_path: Path, name: str
) -> None:  # fmt: skip
    model = fullconv.load(*mapped.net, check=False)
    fullconv.map_raster(model, slide, tmp_path / "made.zarr", labels=LABELS, **CASES[name])
    found = noise(tmp_path / "made.zarr", tmp_path / "x.zarr")
    page = show(tmp_path / "x.zarr", image=slide)
    set_slider(page, "opacity", 100)
    step = float(min(found.grid.stride))
    own = whole()
    for x, y, share, angle in ((450, 300, 5, 0), (123.4, 310, 8, 90), (711.7, 99.9, 40, 30), (880, 590, 160, 195)):  # fmt: skip
        zoom = min(share / step, 60)
        look(page, x, y, zoom, f"w,0,0,{angle}")
        page.mouse.move(2, 2)
        screen = seen(page)
        for left, top, across, down in places(page, found.grid, (x, y, zoom, angle), 25):
            colour = expected(found, across, down, np.repeat(float(own[int(down), int(across)]), 3))
            slack = 2 if not np.isnan(at(found, across, down)).all() else 60  # the image below is smoothed or turned
            assert np.abs(screen[top, left] - colour).max() <= slack, (zoom, across, down)
