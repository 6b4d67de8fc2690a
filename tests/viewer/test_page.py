"""The page in a real browser: what is drawn is what the map says, at every zoom; what is chosen asks the server nothing.

It needs Chromium (Debian: ``apt-get install chromium``) and the built page (``make web``).
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import fullconv
from fullconv.geometry.grid import Grid
from fullconv.maps.classmap import ClassMap
from fullconv.results.local import Local
from fullconv.results.store import Store
from tests.viewer.browsing import Open, at, look, places, seen, set_slider, settled
from tests.viewer.conftest import Mapped, pixels

pytestmark = pytest.mark.long
IMAGE = (400, 600)
GRID = Grid(75, 144, (Fraction(5), Fraction(4)), (Fraction(28), Fraction(28)), (Fraction(13), Fraction(27, 2)), (Fraction(40), Fraction(36)), IMAGE)  # fmt: skip
LABELS = ("plain", "<img src=x onerror=document.title=1>", "\u202egniht", "other")


@pytest.fixture(scope="module")
def random_map(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, ClassMap]:
    """A map of random scores over a random image: no cell is like the one beside it."""
    folder = tmp_path_factory.mktemp("page")
    scores = np.random.default_rng(3).random((4, GRID.rows, GRID.cols)).astype(np.float32)
    found = ClassMap(scores, GRID, LABELS, score_kind="probabilities")
    found.save(folder / "map.npz")
    Image.fromarray(pixels(IMAGE)).save(folder / "image.png")
    return folder / "map.npz", folder / "image.png", found


@pytest.mark.parametrize("ratio", [1, 1.5])
def test_what_is_drawn_at_a_hundred_places_is_what_the_map_says(show: Open, random_map: Any, ratio: float) -> None:
    result, image, found = random_map
    page = show(result, image=image, ratio=ratio)
    set_slider(page, "opacity", 100)
    for x, y, zoom in ((300, 200, 1.5), (123.4, 310, 3), (411.7, 99.9, 8), (77.7, 222.2, 23), (590, 395, 40)):
        look(page, x, y, zoom)
        page.mouse.move(2, 2)
        screen = seen(page)
        for left, top, across, down in places(page, GRID, (x, y, zoom, 0), 20):
            expected = found.colour(int(at(found, across, down).argmax()))
            drawn = screen[int((top + 0.5) * ratio), int((left + 0.5) * ratio)]
            assert np.abs(drawn.astype(int) - expected).max() <= 2, (zoom, across, down)


def test_the_cell_under_the_pointer_is_the_maps(show: Open, random_map: Any) -> None:
    result, image, found = random_map
    page = show(result, image=image)
    for x, y, zoom in ((300, 200, 1.2), (123.4, 310, 6), (411.7, 99.9, 30)):
        look(page, x, y, zoom)
        for left, top, across, down in places(page, GRID, (x, y, zoom, 0), 5, max(2, zoom / 2 - 1)):
            page.mouse.move(left + 0.5, top + 0.5)
            row, col = found.grid.nearest(max(across - 0.5, 0), max(down - 0.5, 0))
            page.wait_for_function(
                f"() => document.querySelector('#point h2')?.textContent === 'Cell {row}, {col}'", timeout=4000
            )


def test_what_is_chosen_asks_nothing_and_is_drawn(show: Open, random_map: Any) -> None:
    result, image, found = random_map
    page = show(result, image=image)
    x, y, zoom = 200.0, 150.0, 12.0
    look(page, x, y, zoom)
    set_slider(page, "opacity", 100)
    before = len(page.asked)
    page.locator("#classes button").nth(3).click()
    names = page.locator("#classes button .label").all_inner_texts()
    plane = next(i for i, label in enumerate(LABELS) if names[3][:3] == label[:3])
    set_slider(page, "threshold", 600)
    page.mouse.move(2, 2)
    screen, own = seen(page), pixels(IMAGE)
    kept = 0
    for left, top, across, down in places(page, GRID, (x, y, zoom, 0), 30):
        score = at(found, across, down)[plane]
        plain = np.abs(screen[top, left].astype(int) - int(own[int(down), int(across)])).max() <= 2
        assert plain == (score < 0.6), (score, screen[top, left])
        kept += score >= 0.6
    assert 0 < kept < 30
    assert page.asked[before:] == []


def test_another_result_is_looked_at_in_the_same_way(show: Open, random_map: Any, tmp_path: Path) -> None:
    result, image, found = random_map
    turned = ClassMap(found.scores[::-1].copy(), GRID, LABELS[::-1], score_kind="probabilities")
    turned.save(tmp_path / "turned.npz")
    page = show(result, tmp_path / "turned.npz", image=image)
    look(page, 300, 200, 8, "3,0.5")
    page.mouse.move(2, 2)
    box = page.locator("#canvas").bounding_box()
    part = slice(int(box["y"]) + 60, int(box["y"]) + 400), slice(int(box["x"]) + 10, int(box["x"]) + 400)
    before = seen(page)[part]
    page.select_option("#result", "1")
    page.wait_for_function("() => location.hash === '#300.0,200.0,8,0,0.5,1'")
    settled(page)
    np.testing.assert_array_equal(seen(page)[part], before)


def test_one_class_is_shown_by_its_scores(show: Open, random_map: Any, tmp_path: Path) -> None:
    """As the winner of each cell it would be one colour all over."""
    _, image, found = random_map
    one = ClassMap(found.scores[:1].copy(), GRID, LABELS[:1], score_kind="probabilities")
    one.save(tmp_path / "one.npz")
    page = show(tmp_path / "one.npz", image=image)
    assert page.locator("#classes button .label").count() == 1
    settled(page)
    page.mouse.move(2, 2)
    before = seen(page)
    look(page, 300, 200, 8, "0,0.5")
    page.mouse.move(2, 2)
    box = page.locator("#canvas").bounding_box()
    part = slice(int(box["y"]) + 60, int(box["y"]) + 400), slice(int(box["x"]) + 10, int(box["x"]) + 400)
    drawn = seen(page)[part]
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 50
    assert len(np.unique(before[part].reshape(-1, 3), axis=0)) > 50


def test_names_are_text_and_the_page_says_what_it_shows(show: Open, random_map: Any) -> None:
    result, image, _ = random_map
    page = show(result, image=image)
    assert page.title() == "map.npz · fullconv"
    names = page.locator("#classes button .label").all_inner_texts()
    assert "<img src=x onerror=document.title=1>" in names
    assert "·gniht" in names  # what turns the direction of writing is shown, not done
    page.fill("#search", "OTH")
    assert page.locator("#classes button .label").all_inner_texts() == ["Winner of each cell", "other"]
    assert page.locator("#classes img").count() == 0


def test_keys_pan_zoom_and_link(show: Open, random_map: Any) -> None:
    result, image, _ = random_map
    page = show(result, image=image)
    look(page, 300, 200, 4)
    page.focus("#canvas")
    for key in ("ArrowRight", "+", "]"):
        page.keyboard.press(key)
    page.wait_for_function(
        "() => { const p = location.hash.slice(1).split(','); return +p[0] > 310 && +p[2] === 6 && p[3] !== 'w' }"
    )
    link = page.url.partition("#")[2]
    page.reload()
    page.wait_for_selector("#classes button")
    settled(page)
    page.wait_for_timeout(300)
    assert page.url.partition("#")[2] == link
    middle = look(page, 300, 200, 4)
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] - 40, middle[1] - 20, steps=4)
    page.mouse.up()
    page.mouse.wheel(0, -240)
    page.wait_for_function("() => +location.hash.split(',')[2] === 8")
    x, y = (float(part) for part in page.url.partition("#")[2].split(",")[:2])
    assert abs(x - 305) < 0.2  # 10 px by hand, then half of the way to the pointer
    assert abs(y - 202.5) < 0.2


def test_a_click_asks_the_classifier_and_peaks_are_judged_by_keyboard(
    show: Open, mapped: Mapped, tmp_path: Path
) -> None:
    result = tmp_path / "own.zarr"
    shutil.copytree(mapped.result, result)
    page = show(result, image=mapped.image, model=fullconv.load(*mapped.net))
    page.mouse.click(*look(page, 500, 200, 4))
    page.wait_for_selector("img.crop")
    page.click("#ask")
    page.wait_for_selector("#answer")
    assert page.inner_text("#answer").startswith("The crop alone says")
    found = ClassMap.load(result)
    plane, peaks = next((i, peaks) for i in range(3) if len(peaks := found.peaks(i)) > 1)
    look(page, 500, 200, 4, f"{plane},0")
    page.click("#find")
    page.wait_for_selector("table.finds tbody tr")
    page.focus("table.finds")
    for key, kind in (("a", "accept"), ("r", "reject")):
        page.keyboard.press("ArrowDown")
        page.keyboard.press(key)
        page.wait_for_selector(f"tr.{kind}")
    features = json.loads((tmp_path / "own.zarr.verdicts.geojson").read_text(encoding="utf-8"))["features"]
    told = [feature["properties"] for feature in features]
    assert [(each["row"], each["col"], each["verdict"]) for each in told] == [
        (peaks[0].row, peaks[0].col, "accept"), (peaks[1].row, peaks[1].col, "reject"),
    ]  # fmt: skip


def test_a_note_on_what_was_judged_takes_nothing_back(show: Open, mapped: Mapped, tmp_path: Path) -> None:
    result, path = tmp_path / "own.zarr", tmp_path / "own.zarr.verdicts.geojson"
    shutil.copytree(mapped.result, result)
    page = show(result, image=mapped.image)
    page.mouse.click(*look(page, 500, 200, 4))
    verdict = page.locator("fieldset.verdict")

    def kept(button: str) -> list[tuple[str, str, str]]:
        settled(page)
        page.wait_for_selector(f"fieldset.verdict button:text-is('{button}')")
        told = [each["properties"] for each in json.loads(path.read_text(encoding="utf-8"))["features"]]
        return [(each["verdict"], each["label"], each["note"]) for each in told]

    verdict.get_by_text("Accept").click()
    assert kept("Accept") == [("accept", "", "")]
    verdict.get_by_label("note").fill("folded")
    verdict.get_by_text("Accept").click()
    assert kept("Accept") == [("accept", "", "folded")]
    verdict.get_by_label("note").fill("blurred")
    page.keyboard.press("Enter")
    assert kept("Accept") == [("accept", "", "blurred")]
    for label in ("ink", "pen"):
        verdict.get_by_label("other class").fill(label)
        page.keyboard.press("Enter")
        assert kept("Relabel") == [("relabel", label, "blurred")]
    verdict.get_by_text("Relabel").click()
    assert kept("Relabel") == []


def test_a_run_in_progress_fills_in(show: Open, mapped: Mapped, tmp_path: Path) -> None:
    whole = ClassMap.load(mapped.result)
    assert whole.record is not None
    running = Store.create(Local(str(tmp_path / "run.zarr")), replace(whole.record, finished=False))
    page = show(running.storage.name)
    middle = look(page, 600, 200, 2)
    page.wait_for_function("() => document.getElementById('run').textContent.includes('0 of 1 tiles')")
    grey = seen(page)[int(middle[1]) + 5, int(middle[0]) + 5]
    (tile,) = whole.record.tiles
    running.write(tile, np.asarray(whole.scores))
    running.finish([], 0)
    page.wait_for_function("() => document.getElementById('run').textContent === ''", timeout=8000)
    settled(page)
    assert (seen(page)[int(middle[1]) + 5, int(middle[0]) + 5] != grey).any()
