"""A pixel of the screen shows the cell that ``ClassMap.at`` says, whatever the store: its type, its classes, its cells before the first, its steps, its
resolution, turned or not."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

import fullconv
from fullconv.maps.classmap import ClassMap
from fullconv.rasters.view import View
from tests.viewer.browsing import Open, at, look, places, seen, set_slider
from tests.viewer.conftest import Mapped, pixels
from tests.viewer.stores import noise

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


UNDONE: dict[str, dict[str, Any]] = {
    "in progress": {"undone": ["0-1", "1-0"]},
    "with failed tiles": {"failed": ["0-0", "1-1"]},
}


@pytest.mark.parametrize("name", UNDONE)
def test_a_pixel_of_a_store_that_is_filled_in_part_is_its_cell(
    show: Open, mapped: Mapped, slide: Path, tmp_path: Path, name: str
) -> None:
    """What no tile answered is grey, or hatched in red where its tile failed; and never a neighbour's, or a coarser cell's."""
    model = fullconv.load(*mapped.net, check=False)
    fullconv.map_raster(model, slide, tmp_path / "made.zarr", labels=LABELS, finer="auto", stride=2)
    found = noise(tmp_path / "made.zarr", tmp_path / "x.zarr", cut=True, **UNDONE[name])
    page = show(tmp_path / "x.zarr", image=slide)
    set_slider(page, "opacity", 100)
    assert found.record is not None
    tiles = {tile.name: (*tile.y.cells, *tile.x.cells) for tile in found.record.tiles}
    assert len(tiles) == 4
    edge = float(tiles["0-0"][1]) * 2, float(tiles["0-0"][3]) * 2  # (y, x), about where the four meet
    own, kinds = whole(), set()
    for x, y, zoom, angle in ((edge[1], edge[0], 2, 0), (edge[1] + 9, edge[0] - 7, 12, 0), (edge[1], edge[0], 30, 90), (450, 300, 2.5, 30)):  # fmt: skip
        look(page, x, y, zoom, f"w,0,0,{angle}")
        page.mouse.move(2, 2)
        screen = seen(page)
        for left, top, across, down in places(page, found.grid, (x, y, zoom, angle), 40):
            row, col = found.grid.nearest(max(across - 0.5, 0), max(down - 0.5, 0))
            inside = next(each for each, (a, b, c, d) in tiles.items() if a <= row < b and c <= col < d)
            known = not np.isnan(at(found, across, down)).all()
            drawn = screen[top, left].astype(int)
            if known:
                assert np.abs(drawn - found.colour(int(np.nanargmax(at(found, across, down))))).max() <= 2, (zoom, across, down)  # fmt: skip
            elif inside in UNDONE[name].get("failed", ()):  # the hatching's red, or more or less of it over grey
                red, green, blue = drawn
                assert abs(green - blue) < 12, (zoom, across, down, drawn)
                assert red > green - 12, (zoom, across, down, drawn)
            else:  # grey over the image, which is smoothed or turned
                ground = expected(found, across, down, np.repeat(float(own[int(down), int(across)]), 3))
                assert np.abs(drawn - ground).max() <= 60, (zoom, across, down, drawn)
                assert drawn.max() - drawn.min() < 12, (zoom, across, down, drawn)
            kinds.add((inside in {*UNDONE[name].get("undone", ()), *UNDONE[name].get("failed", ())}, known))
    assert kinds == {(False, True), (False, False), (True, False)}


@pytest.mark.parametrize("undone", [[], ["1-1"]], ids=["finished", "in progress"])
def test_a_store_that_goes_is_told_and_is_seen_when_it_is_back(
    show: Open, mapped: Mapped, slide: Path, tmp_path: Path, undone: list[str]
) -> None:
    """What is not there is not drawn as cells without an answer, and needs no new page."""
    model = fullconv.load(*mapped.net, check=False)
    fullconv.map_raster(model, slide, tmp_path / "made.zarr", labels=LABELS, finer="auto", stride=2)
    result, away = tmp_path / "x.zarr", tmp_path / "away"
    found = noise(tmp_path / "made.zarr", result, cut=True, undone=undone)
    page = show(result, image=slide, size=(620, 500))  # so small that the finest level is not asked for at first
    set_slider(page, "opacity", 100)
    assert not any("/scores/0/" in url for url in page.asked)
    result.rename(away)
    page.wait_for_function(
        "() => document.getElementById('run').textContent.includes('no such result')", timeout=25_000
    )
    look(page, 300, 250, 6)
    page.wait_for_function("() => document.getElementById('said').textContent.includes('cannot be read')")
    away.rename(result)
    page.wait_for_function("() => !document.getElementById('run').textContent.includes('no such')", timeout=15_000)
    page.wait_for_function("() => !document.getElementById('said').textContent.includes('cannot be read')")
    look(page, 300, 250, 6)
    page.mouse.move(2, 2)
    screen, checked = seen(page), 0
    for left, top, across, down in places(page, found.grid, (300, 250, 6, 0), 20):
        if not np.isnan(at(found, across, down)).all():
            colour = found.colour(int(np.nanargmax(at(found, across, down))))
            assert np.abs(screen[top, left].astype(int) - colour).max() <= 2
            checked += 1
    assert checked > 10
    assert all("400" in text for text in page.wrong), page.wrong
    page.wrong.clear()
