"""Two maps side by side and as a difference, a study, a picture that is saved, and two pages of one run, in a real browser."""

from __future__ import annotations

import io
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fullconv.geometry.grid import Grid
from fullconv.maps.classmap import ClassMap
from fullconv.render.palette import diverging_colours
from tests.viewer.browsing import Open, at, look, places, seen, set_slider, settled
from tests.viewer.conftest import Mapped, pixels

pytestmark = pytest.mark.long
IMAGE = (400, 600)
GRID = Grid(90, 140, (Fraction(4), Fraction(4)), (Fraction(28), Fraction(28)), (Fraction(27, 2), Fraction(27, 2)), (Fraction(28), Fraction(28)), IMAGE)  # fmt: skip
OTHER = replace(GRID, rows=60, cols=93, stride=(Fraction(6), Fraction(6)), centre0=(Fraction(14), Fraction(15)))


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ClassMap, ClassMap]:
    """A folder with ``a.npz``, ``b.npz`` and their image."""
    folder, made = tmp_path_factory.mktemp("two"), []
    for name, grid, labels, seed in (("a", GRID, ("x", "y", "z"), 1), ("b", OTHER, ("z", "x", "y"), 2)):
        scores = np.random.default_rng(seed).random((3, grid.rows, grid.cols)).astype(np.float32)
        made.append(ClassMap(scores, grid, labels, score_kind="probabilities"))
        made[-1].save(folder / f"{name}.npz")
    Image.fromarray(pixels(IMAGE)).save(folder / "image.png")
    return folder, made[0], made[1]


def test_side_by_side_both_show_the_same_place(show: Open, two: Any) -> None:
    folder, first, second = two
    page = show(folder / "a.npz", folder / "b.npz", image=folder / "image.png")
    set_slider(page, "opacity", 100)
    look(page, 300, 200, 7, "w,0,0,30,beside1")
    page.wait_for_selector("#canvas2")
    settled(page)
    page.mouse.move(2, 2)
    screen, own, beside = seen(page), page.locator("#canvas").bounding_box(), page.locator("#canvas2").bounding_box()
    assert abs(own["width"] - beside["width"]) <= 2.5
    middles = [box["x"] + box["width"] / 2 for box in (own, beside)]
    for left, top, across, down in places(page, GRID, (300, 200, 7, 30), 15):
        assert (
            np.abs(screen[top, left] - np.array(first.colour(int(at(first, across, down).argmax())), float)).max() <= 2
        )
    shift, checked = middles[1] - middles[0], 0
    for left, top, across, down in places(page, OTHER, (300, 200, 7, 30), 25, 1e9):
        right = left + shift
        if not (beside["x"] + 4 < right < beside["x"] + beside["width"] - 4 and right % 1 == 0):
            continue
        name = page.locator("#name2").bounding_box()
        if name["x"] - 2 <= right <= name["x"] + name["width"] + 2 and top >= name["y"] - 2:
            continue
        checked += 1
        colour = np.array(second.colour(int(at(second, across, down).argmax())), float)
        assert np.abs(screen[top, int(right)] - colour).max() <= 2
    assert checked or shift % 1
    page.mouse.move(middles[0] + 20, own["y"] + 300)
    page.wait_for_selector("text=this map / the one beside")
    page.keyboard.press("r")
    page.wait_for_function("() => location.hash.endsWith(',45,beside1')")


def test_a_difference_is_drawn_as_it_is(show: Open, two: Any, tmp_path: Path) -> None:
    folder, first, second = two
    Image.fromarray(np.full(IMAGE, 100, np.uint8)).save(tmp_path / "image.png")
    page = show(folder / "a.npz", folder / "b.npz", image=tmp_path / "image.png")
    page.select_option("#compare", "less1")
    page.wait_for_function("() => document.title.includes('−')")
    settled(page)
    assert page.locator("#canvas[aria-busy=false]").count() == 1
    set_slider(page, "opacity", 100)
    look(page, 300, 200, 7, "w,0,0,0,less1")
    page.mouse.move(2, 2)
    screen = seen(page)
    for left, top, across, down in places(page, OTHER, (300, 200, 7, 0), 25):
        x, y = OTHER.centre(*OTHER.nearest(across - 0.5, down - 0.5))
        one, two_ = first.at(x, y), second.at(x, y)
        same = first.labels[int(one.argmax())] == second.labels[int(two_.argmax())]
        assert np.abs(screen[top, left] - np.array((0, 114, 178) if same else (213, 94, 0))).max() <= 2
    look(page, 300, 200, 7, "1,0.3,0,0,less1")  # class y
    page.mouse.move(2, 2)
    screen, hidden = seen(page), 0
    for left, top, across, down in places(page, OTHER, (300, 200, 7, 0), 40):
        x, y = OTHER.centre(*OTHER.nearest(across - 0.5, down - 0.5))
        gap = float(second.at(x, y)[2] - first.at(x, y)[1])
        step = round((gap + 1) / 2 * 255)
        share = 0 if abs(gap) < 0.3 else abs(2 * step - 255) / 255
        hidden += share == 0
        colour = 100 * (1 - share) + diverging_colours(np.array([step / 255]))[0] * share
        assert np.abs(screen[top, left] - colour).max() <= 3, gap
    assert 0 < hidden < 40


@pytest.mark.parametrize("times", [1, 3])
def test_a_saved_picture_is_drawn_anew(show: Open, two: Any, times: int) -> None:
    folder, first, _ = two
    page = show(folder / "a.npz", image=folder / "image.png")
    set_slider(page, "opacity", 100)
    look(page, 300, 200, 3, "w,0,0,90")
    page.click("#shot")
    page.select_option("#times", str(times))
    with page.expect_download() as waits:
        page.click("#shots button[value=save]")
    assert waits.value.suggested_filename == "a.png"
    saved = np.asarray(Image.open(io.BytesIO(Path(waits.value.path()).read_bytes())).convert("RGB")).astype(int)
    box = page.locator("#canvas").bounding_box()
    assert saved.shape[1] == round(box["width"] * times)
    assert saved.shape[0] > box["height"] * times
    for left, top, across, down in places(page, GRID, (300, 200, 3, 90), 40):
        place = int((top + 0.5 - box["y"]) * times), int((left + 0.5 - box["x"]) * times)
        assert np.abs(saved[place] - np.array(first.colour(int(at(first, across, down).argmax())))).max() <= 2
    bar = saved[int((box["height"] - 45) * times) : int(box["height"] * times), : 160 * times]
    assert (np.abs(bar - [27, 31, 39]).max(axis=2) <= 8).sum() > 100 * times  # the scale bar
    foot = saved[int(box["height"] * times) + 4 :]
    for i in range(3):  # every class in the legend
        assert (np.abs(foot - np.array(first.colour(i))).max(axis=2) <= 2).sum() >= 100 * times**2


def test_a_study_is_sorted_and_opened(show: Open, mapped: Mapped, tmp_path: Path) -> None:
    for name in ("one.zarr", "two.zarr"):
        (tmp_path / name).symlink_to(mapped.result)
    lines = [
        "image,status,error,<b>share</b>,result",
        "1.tif,mapped,,10,one.zarr",
        "2.tif,mapped,,9,two.zarr",
        "x.tif,failed,<i>why</i>,,",
    ]
    (tmp_path / "summary.csv").write_text("\n".join(lines), encoding="utf-8")
    page = show(tmp_path)
    page.wait_for_function(
        "() => [...document.querySelectorAll('#study img')].every((image) => image.complete && image.naturalWidth > 50)"
    )
    assert page.inner_text("#study tbody tr:nth-child(3) .error") == "<i>why</i>"
    names = page.locator("#study tbody th")
    page.click("#study thead >> text=<b>share</b>")
    assert [text.split("\n")[0] for text in names.all_inner_texts()] == [
        "two.zarr",
        "one.zarr",
        "x.tif",
    ]  # 9 is less than 10
    page.click("#study thead >> text=<b>share</b>")
    assert [text.split("\n")[0] for text in names.all_inner_texts()] == ["one.zarr", "two.zarr", "x.tif"]
    assert page.get_attribute("#study thead th[aria-sort=descending]", "scope") == "col"
    page.click("#study >> text=two.zarr")
    page.wait_for_selector("#classes button")
    page.wait_for_function("() => location.hash.split(',')[5] === '1'")
    page.focus("#canvas")
    page.keyboard.press("b")
    page.wait_for_selector("#study table")
    page.click("#study >> text=one.zarr")
    page.wait_for_selector("#classes button")
    page.go_back()
    page.wait_for_selector("#study table")
    held: list[Any] = []
    page.route("**/api/1/about", lambda route: held.append(route))
    with page.expect_request("**/api/1/about"):
        page.click("#study >> text=two.zarr")
    page.go_back()  # before it is there
    with page.expect_response("**/api/1/about"):
        held[0].continue_()
    page.wait_for_timeout(500)
    assert page.is_visible("#study table"), "what is opened late comes over nothing else"
    assert page.evaluate("() => location.hash") == ""


def test_of_a_layers_features_a_channel_is_shown_and_no_winner(show: Open, two: Any, tmp_path: Path) -> None:
    folder, first, _ = two
    replace(first, score_kind="features", labels=("0", "1", "2")).save(tmp_path / "features.npz")
    page = show(tmp_path / "features.npz", image=folder / "image.png")
    settled(page)
    assert page.locator("#classes button .label").all_inner_texts() == ["0", "1", "2"]
    page.wait_for_function("() => location.hash.split(',')[3] === '0'")
    page.keyboard.press("w")  # winners
    look(page, 300, 200, 7, "w,0")
    assert page.locator("#classes [aria-selected=true] .label").all_inner_texts() == ["0"]
    page.locator("#classes button").nth(2).click()
    page.wait_for_function("() => location.hash.split(',')[3] === '2'")
    assert not [each for each in page.asked if "areas" in each or "winners" in each]
