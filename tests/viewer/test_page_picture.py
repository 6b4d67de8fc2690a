"""The whole picture in a real browser is the one that the scores say, computed here by numpy: winners, heat, and heat between the centres of cells; near,
whole, and from afar; over the edges of tiles, beside cells without an answer, in stores whose arrays begin before the map.

Of all pixels one in five thousand may be off by more than a browser's rounding, where its middle lies on a cell's edge, and no small block of them is wrong.
"""

from __future__ import annotations

import io
import re
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

import fullconv
from fullconv.demonstration import demo_files
from fullconv.geometry.grid import Grid
from fullconv.maps.classmap import ClassMap
from fullconv.render.palette import scale_colours
from tests.viewer.browsing import Open, look, set_slider, settled
from tests.viewer.conftest import Mapped
from tests.viewer.stores import filled

pytestmark = pytest.mark.long
IMAGE = (900, 1300)
GROUND = 100  # the grey of the image
HALF = Fraction(27, 2)
GRID = Grid(437, 637, (Fraction(2), Fraction(2)), (Fraction(28), Fraction(28)), (HALF, HALF), (Fraction(28), Fraction(28)), IMAGE)  # fmt: skip
CLASSES = 4
_SLACK = 3  # of 255: heat is laid over the image by a browser's own rounding
_BLOCK = 16  # pixels a side of what must not be wrong as a whole


def field(rows: int, cols: int, seed: int = 0) -> np.ndarray:
    """Scores (classes, rows, cols) of patches some cells wide, rough within, from 0 to 1, with round holes that have no answer."""
    rng = np.random.default_rng(seed)
    smooth = gaussian_filter(rng.standard_normal((CLASSES + 1, rows, cols)), (0, 5, 5))
    scores = 0.7 / (1 + np.exp(-6 * smooth[:CLASSES] / smooth.std())) + 0.3 * rng.random((CLASSES, rows, cols))
    scores[:, smooth[CLASSES] > 1.6 * smooth.std()] = np.nan
    return scores.astype(np.float32)


@dataclass(frozen=True)
class View:
    """What is looked at, and what is beneath each pixel of the canvas as (y, x) of the image."""

    x: float
    y: float
    zoom: float

    def places(self, pixels: tuple[int, int], ratio: float, size: tuple[float, float]) -> list[np.ndarray]:
        """Of the middle of every pixel of a canvas that has a (height, width) in CSS pixels."""
        return [
            middle + ((np.arange(count) + 0.5) / ratio - side / 2) / self.zoom
            for middle, count, side in zip((self.y, self.x), pixels, size, strict=True)
        ]


def coarser(scores: np.ndarray, lead: tuple[int, int], level: int) -> np.ndarray:
    """Means of 2^level × 2^level cells of those with an answer, counted from the array's first, halved level by level."""
    found = np.pad(scores, ((0, 0), (lead[0], 0), (lead[1], 0)), constant_values=np.nan)
    for _ in range(level):
        even = np.pad(found, ((0, 0), (0, found.shape[1] % 2), (0, found.shape[2] % 2)), constant_values=np.nan)
        parts = even.reshape(len(even), even.shape[1] // 2, 2, even.shape[2] // 2, 2)
        known = np.isfinite(parts).sum(axis=(2, 4))
        total = np.nansum(parts, axis=(2, 4), dtype=np.float64)
        found = np.divide(total, known, out=np.full(total.shape, np.nan), where=known > 0).astype(np.float32)
    return found


def nearest(scores: np.ndarray, down: np.ndarray, across: np.ndarray) -> np.ndarray:
    """(classes, H, W) at places in cells: cell i reaches from i to i + 1."""
    return scores[:, np.floor(down).astype(int)[:, None], np.floor(across).astype(int)[None]]


def between(scores: np.ndarray, down: np.ndarray, across: np.ndarray) -> np.ndarray:
    """The same, of the four cells whose centres are around, by how near they are; cells without an answer do not count, and keep having none."""
    whole = np.pad(scores.astype(np.float64), ((0, 0), (1, 1), (1, 1)), constant_values=np.nan)
    total = np.zeros((len(scores), len(down), len(across)))
    weights = np.zeros_like(total)
    first = [np.floor(places + 0.5).astype(int) for places in (down, across)]  # in the padded array
    share = [places + 0.5 - start for places, start in zip((down, across), first, strict=True)]
    for low in (0, 1):
        for left in (0, 1):
            part = whole[:, (first[0] + low)[:, None], (first[1] + left)[None]]
            weight = np.where(low, share[0], 1 - share[0])[:, None] * np.where(left, share[1], 1 - share[1])[None]
            weight = np.where(np.isfinite(part), weight, 0)
            total += weight * np.nan_to_num(part)
            weights += weight
    own = np.isfinite(nearest(scores, down, across))
    return np.where(own, total / np.where(weights > 0, weights, 1), np.nan)


def laid(colours: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Colours (H, W, 3) over the image, by their opacity (H, W)."""
    return GROUND + (colours - GROUND) * share[:, :, None]


def winners(found: ClassMap, scores: np.ndarray) -> np.ndarray:
    gone = np.isnan(scores).all(axis=0)
    best = np.nan_to_num(scores, nan=-np.inf).argmax(axis=0)
    colours = np.array([found.colour(i) for i in range(CLASSES)], float)[best]
    colours[gone] = 128
    return laid(colours, np.where(gone, 110 / 255, 1.0))


def heat(scores: np.ndarray, threshold: float) -> np.ndarray:
    """Of one class's scores (H, W)."""
    step = np.rint(np.clip(np.nan_to_num(scores), 0, 1) * 255).astype(int)
    colours = scale_colours(np.linspace(0, 1, 256), "viridis").astype(float)[step]
    share = np.where(scores >= threshold, step / 255, 0)
    gone = np.isnan(scores)
    colours[gone] = 128
    return laid(colours, np.where(gone, 110 / 255, share))


@dataclass(frozen=True)
class Likeness:
    """How far a picture is the expected one: the share of pixels that are, of all that count and of the block with the fewest."""

    whole: float
    worst: float

    @staticmethod
    def of(drawn: np.ndarray, expected: np.ndarray, counts: np.ndarray) -> Likeness:
        same = (np.abs(drawn - expected) <= _SLACK).all(axis=2)
        rows, cols = (length // _BLOCK for length in counts.shape)
        blocks = [
            part[: rows * _BLOCK, : cols * _BLOCK].reshape(rows, _BLOCK, cols, _BLOCK).mean(axis=(1, 3))
            for part in (same, counts)
        ]
        assert (blocks[1] == 1).sum() > 50
        return Likeness(float(same[counts].mean()), float(blocks[0][blocks[1] == 1].min()))

    @property
    def is_it(self) -> bool:
        return self.whole >= 0.9998 and self.worst >= 0.97


def drawn(page: Any) -> np.ndarray:
    """The canvas (H, W, 3), in pixels of the device."""
    settled(page)
    data = page.evaluate("() => document.getElementById('canvas').toDataURL()")
    return np.asarray(Image.open(io.BytesIO(b64decode(data.partition(",")[2]))).convert("RGB")).astype(float)


def saved(page: Any, times: int) -> np.ndarray:
    """The picture that is saved, with its foot."""
    page.click("#shot")
    page.select_option("#times", str(times))
    with page.expect_download() as waits:
        page.click("#shots button[value=save]")
    return np.asarray(Image.open(io.BytesIO(Path(waits.value.path()).read_bytes())).convert("RGB")).astype(float)


def level_of(page: Any) -> int:
    """Which level is drawn, by what the page says of its squares."""
    told = re.search(r"means? of (\d+) ×", page.inner_text("#said"))
    return 0 if told is None else int(np.log2(int(told[1])))


def cells_at(found: ClassMap, lead: tuple[int, int], level: int, places: list[np.ndarray]) -> list[np.ndarray]:
    """Places as cells of a level of the arrays: cell i reaches from i to i + 1."""
    grid, made = found.grid, []
    for axis in range(2):
        step, first = float(grid.stride[axis]), float(grid.centre0[axis]) + 0.5
        made.append(((places[axis] - first) / step + 0.5 + lead[axis]) / 2**level)
    return made


def compared(page: Any, found: ClassMap, lead: tuple[int, int], view: View, ratio: float, make: Callable[[np.ndarray, list[np.ndarray]], np.ndarray]) -> Likeness:  # fmt: skip
    """The canvas, against what ``make`` makes of a level's scores and places in its cells."""
    picture = drawn(page)
    box, level = page.locator("#canvas").bounding_box(), level_of(page)
    places = view.places(picture.shape[:2], ratio, (box["height"], box["width"]))
    scores, at = coarser(np.asarray(found.scores), lead, level), cells_at(found, lead, level, places)
    # The map's own cells, without a pixel at their edge and the first cells of a level, some of which lie before the map.
    counts = np.ones(picture.shape[:2], np.bool_)
    for axis in range(2):
        edge = 1 / (view.zoom * ratio * float(found.grid.stride[axis]) * 2**level)
        first = -(-lead[axis] // 2**level)
        count = ((found.grid.rows, found.grid.cols)[axis] + lead[axis]) / 2**level
        inside = (at[axis] > first + edge) & (at[axis] < count - edge)
        counts &= inside[:, None] if axis == 0 else inside[None]
        at[axis] = np.clip(at[axis], 0, scores.shape[axis + 1] - 1e-6)
    return Likeness.of(picture, make(scores, at), counts)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, ClassMap]:
    """A map of 2 × 3 tiles, and a grey image."""
    folder = tmp_path_factory.mktemp("picture")
    found = ClassMap(field(GRID.rows, GRID.cols), GRID, ("a", "b", "c", "d"), score_kind="probabilities")
    found.save(folder / "map.npz")
    Image.fromarray(np.full(IMAGE, GROUND, np.uint8)).save(folder / "image.png")
    return folder / "map.npz", folder / "image.png", found


# About where four tiles meet; all of it; and from so far that squares are means.
VIEWS = {"near": View(538.0, 533.0, 12.0), "middle": View(530.3, 500.7, 2.7), "whole": View(650.4, 450.4, 0.47), "afar": View(650.4, 450.4, 0.16)}  # fmt: skip


@pytest.mark.parametrize("ratio", [1, 1.5])
@pytest.mark.parametrize("name", VIEWS)
def test_the_whole_picture_is_that_of_the_scores(show: Open, made: Any, name: str, ratio: float) -> None:
    result, image, found = made
    page, view = show(result, image=image, ratio=ratio), VIEWS[name]
    set_slider(page, "opacity", 100)
    for what, make, smooth in (
        ("w,0", lambda scores, at: winners(found, nearest(scores, *at)), ""),
        ("1,0.3", lambda scores, at: heat(nearest(scores, *at)[1], 0.3), ""),
        ("1,0.3", lambda scores, at: heat(between(scores, *at)[1], 0.3), ",0,0,,i"),
        ("w,0", lambda scores, at: winners(found, nearest(scores, *at)), ",0,0,,i"),  # a winner is of one cell
    ):
        look(page, view.x, view.y, view.zoom, what + smooth)
        likeness = compared(page, found, (0, 0), view, ratio, make)
        assert likeness.is_it, (what, smooth, likeness)
    assert level_of(page) == {"afar": 2, "whole": 1 if ratio == 1 else 0}.get(name, 0)


def test_a_picture_that_is_another_is_found_out(show: Open, made: Any) -> None:
    """What this is measured by tells half a cell, colours interpolated instead of scores, and one cell that is wrong."""
    result, image, found = made
    page, view = show(result, image=image), VIEWS["near"]
    set_slider(page, "opacity", 100)
    look(page, view.x, view.y, view.zoom, "1,0.3,0,0,,i")

    def moved(scores: np.ndarray, at: list[np.ndarray]) -> np.ndarray:
        return heat(between(scores, at[0] + 0.5, at[1])[1], 0.3)

    def seam(scores: np.ndarray, at: list[np.ndarray]) -> np.ndarray:
        one = scores.copy()
        one[:, 256:] = np.nan  # as if no tile had known of the one below
        return heat(np.where(np.arange(len(at[0]))[:, None] < (at[0] < 256).sum(), between(one, *at)[1], between(scores, *at)[1]), 0.3)  # fmt: skip

    def wrong(scores: np.ndarray, at: list[np.ndarray]) -> np.ndarray:
        one = scores.copy()
        row, col = (int(places[len(places) // 2]) for places in at)
        one[1, row, col] = 1 - np.nan_to_num(one[1, row, col])
        return heat(between(one, *at)[1], 0.3)

    for make in (moved, seam, wrong, lambda scores, at: heat(nearest(scores, *at)[1], 0.3)):
        assert not compared(page, found, (0, 0), view, 1, make).is_it
    assert compared(page, found, (0, 0), view, 1, lambda scores, at: heat(between(scores, *at)[1], 0.3)).is_it


STORES: dict[str, dict[str, Any]] = {
    "as it is": {},
    "in halves": {"stored": "float16"},
    "in eight bits": {"stored": "uint8"},
}


@pytest.mark.parametrize("name", STORES)
def test_so_is_that_of_a_store(show: Open, mapped: Mapped, tmp_path: Path, name: str) -> None:
    """Of a padded network the arrays begin before the map's first cell, so that tiles are cut elsewhere."""
    with demo_files() as data:
        model = fullconv.load(data / "padded.onnx", check=False)
        Image.fromarray(np.full((1500, 1900), GROUND, np.uint8)).save(tmp_path / "image.png")
        made = fullconv.map_raster(
            model, tmp_path / "image.png", tmp_path / "made.zarr", keep="0,1,2,3", **STORES[name]
        )
    found = filled(tmp_path / "made.zarr", tmp_path / "x.zarr", field(made.grid.rows, made.grid.cols, 1))
    assert found.record is not None
    lead = found.record.tiles.lead
    page = show(tmp_path / "x.zarr", image=tmp_path / "image.png")
    set_slider(page, "opacity", 100)
    step = float(found.grid.stride[0])
    for view in (View(900.4, 700.2, 20.3 / step), View(950.4, 750.3, 0.3)):
        for smooth, places in (("", nearest), (",0,0,,i", between)):
            look(page, view.x, view.y, view.zoom, f"2,0.1{smooth}")
            likeness = compared(page, found, lead, view, 1, lambda scores, at, places=places: heat(places(scores, *at)[2], 0.1))  # fmt: skip
            assert likeness.is_it, (view, smooth, likeness)


def test_interpolation_is_a_switch(show: Open, made: Any) -> None:
    """Off until it is asked for; by key, in the link and in the picture that is saved; of winners it says why not; what is told of a cell stays its own."""
    result, image, found = made
    page, view = show(result, image=image), VIEWS["near"]
    set_slider(page, "opacity", 100)
    middle = look(page, view.x, view.y, view.zoom, "1,0.3")
    assert not page.is_checked("#smooth")
    plain, before = saved(page, 2), len(page.asked)
    page.focus("#canvas")
    page.keyboard.press("i")
    page.wait_for_function("() => location.hash.endsWith(',1,0.3,0,0,,i')")
    assert page.inner_text("#smooth-said") == "interpolated between the centres of cells"
    assert [url for url in page.asked[before:] if "/api/" in url] == []
    row, col = found.grid.nearest(view.x + 2.5, view.y + 2.5)
    page.mouse.move(middle[0] + 36, middle[1] + 36)
    page.wait_for_function(f"() => document.querySelector('#point h2')?.textContent === 'Cell {row}, {col}'")
    told = dict(zip(page.locator("#bars .label").all_inner_texts(), page.locator("#bars .number").all_inner_texts(), strict=True))  # fmt: skip
    assert float(told["b"]) == pytest.approx(found.scores[1, row, col], abs=1e-4)
    page.mouse.move(2, 2)
    picture, box = saved(page, 2), page.locator("#canvas").bounding_box()
    size = round(box["height"] * 2), round(box["width"] * 2)
    at = cells_at(found, (0, 0), 0, view.places(size, 2, (box["height"], box["width"])))
    counts = np.ones(size, np.bool_)
    counts[-100:] = False  # the scale bar
    expected = heat(between(np.asarray(found.scores), *at)[1], 0.3)
    assert Likeness.of(picture[: size[0]], expected, counts).is_it
    assert not Likeness.of(plain[: size[0]], expected, counts).is_it
    assert np.abs(picture[size[0] :] - plain[size[0] :]).max() > 100  # its legend says so
    page.reload()
    page.wait_for_selector("#classes button")
    assert page.is_checked("#smooth")
    page.focus("#canvas")
    page.keyboard.press("w")
    page.wait_for_function("() => document.getElementById('smooth-why').textContent.startsWith('A winner is of one cell')")  # fmt: skip
    assert page.locator("#smooth-said").count() == 0
    page.keyboard.press("i")
    page.wait_for_function("() => !location.hash.endsWith('i')")
    assert page.inner_text("#smooth-why") == ""
