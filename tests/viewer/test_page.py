"""The page in a real browser: what is drawn is what the map says, at every zoom; what is chosen asks the server nothing.

It needs Chromium (Debian: ``apt-get install chromium``) and the built page (``make web``).
"""

from __future__ import annotations

import io
import json
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
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
from tests.viewer.conftest import Mapped, pixels

pytestmark = pytest.mark.long
TOKEN = "a-token"
IMAGE = (400, 600)
GRID = Grid(75, 144, (Fraction(5), Fraction(4)), (Fraction(28), Fraction(28)), (Fraction(13), Fraction(27, 2)), (Fraction(40), Fraction(36)), IMAGE)  # fmt: skip
LABELS = ("plain", "<img src=x onerror=document.title=1>", "\u202egniht", "other")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="the page is tested by playwright")
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    serving = pytest.importorskip(
        "fullconv.viewer.serve", reason="the viewer's server is of the extra view", exc_type=ImportError
    )
    if not all((serving.PAGE / name).is_file() for name in serving.FILES.values()):
        pytest.skip("the page is not built: make web")
    with api.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


Open = Callable[..., Any]


@pytest.fixture
def show(browser: Any) -> Iterator[Open]:
    """Opens a page of 1,200 × 800 pixels over results; at its end nothing was complained of, and no other machine asked."""
    import uvicorn

    from fullconv.viewer.server import application
    from fullconv.viewer.shown import Shown

    wrong: list[str] = []
    with ExitStack() as stack:

        def start(*results: Any, image: Any = None, model: Any = None, ratio: float = 1) -> Any:
            shown = Shown([str(each) for each in results], None if image is None else str(image), model)
            stack.callback(shown.close)
            listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            host = f"127.0.0.1:{listening.getsockname()[1]}"
            server = uvicorn.Server(
                uvicorn.Config(application(shown, frozenset([host]), TOKEN), log_level="error", lifespan="off")
            )
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
            thread.start()
            stack.callback(thread.join)
            stack.callback(setattr, server, "should_exit", True)
            context = browser.new_context(viewport={"width": 1200, "height": 800}, device_scale_factor=ratio)
            stack.callback(context.close)
            page = context.new_page()
            page.asked = []
            page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on("request", lambda request: page.asked.append(request.url))
            page.goto(f"http://{host}/?token={TOKEN}")
            page.wait_for_selector("#classes button")
            settled(page)
            wrong.extend(url for url in page.asked if not url.startswith((f"http://{host}/", "blob:", "data:")))
            return page

        yield start
    assert wrong == []


def settled(page: Any) -> None:
    page.wait_for_load_state("networkidle")
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def look(page: Any, x: float, y: float, zoom: float, what: str = "w,0") -> tuple[float, float]:
    """Look at a place of the image; (left, top) of the canvas's middle in the window."""
    page.evaluate(f"() => {{ location.hash = '#{x},{y},{zoom},{what}' }}")
    settled(page)
    box = page.locator("#canvas").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def seen(page: Any) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))


def at(found: ClassMap, x: float, y: float) -> np.ndarray:
    """The map's scores at a place: pixel i of the image covers [i, i + 1)."""
    return np.asarray(found.at(max(x - 0.5, 0), max(y - 0.5, 0)))


def set_slider(page: Any, name: str, value: int) -> None:
    page.evaluate(
        f"() => {{ const s = document.getElementById('{name}'); s.value = {value}; s.dispatchEvent(new Event('input')); s.dispatchEvent(new Event('change')); }}"
    )
    settled(page)


@pytest.fixture(scope="module")
def random_map(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, ClassMap]:
    """A map of random scores over a random image: no cell is like the one beside it."""
    folder = tmp_path_factory.mktemp("page")
    scores = np.random.default_rng(3).random((4, GRID.rows, GRID.cols)).astype(np.float32)
    found = ClassMap(scores, GRID, LABELS, score_kind="probabilities")
    found.save(folder / "map.npz")
    Image.fromarray(pixels(IMAGE)).save(folder / "image.png")
    return folder / "map.npz", folder / "image.png", found


def places(
    page: Any, middle: tuple[float, float], x: float, y: float, zoom: float, count: int, most: float = np.inf
) -> Iterator[tuple[int, int, float, float]]:
    """Random pixels of the screen with their places in the image, at most so many pixels from a cell's edge; not within a pixel and a half of one, where
    either is right."""
    rng, panels, made = np.random.default_rng(int(zoom * 10)), page.viewport_size, 0
    covered = [page.locator(name).bounding_box() for name in ("#overview", "#bar", "#said")]
    box = page.locator("#canvas").bounding_box()
    assert panels is not None
    while made < count:
        left, top = (
            int(rng.integers(box["x"] + 2, box["x"] + box["width"] - 2)),
            int(rng.integers(box["y"] + 2, box["y"] + box["height"] - 2)),
        )
        if any(
            b and b["x"] - 2 <= left <= b["x"] + b["width"] + 2 and b["y"] - 2 <= top <= b["y"] + b["height"] + 2
            for b in covered
        ):
            continue
        across, down = (left + 0.5 - middle[0]) / zoom + x, (top + 0.5 - middle[1]) / zoom + y
        if not (0 <= across < IMAGE[1] and 0 <= down < IMAGE[0]):
            continue
        edges = [
            (float(v) - 0.5 - float(c) + float(s) / 2) / float(s)
            for v, c, s in ((down, GRID.centre0[0], GRID.stride[0]), (across, GRID.centre0[1], GRID.stride[1]))
        ]
        ends = GRID.rows, GRID.cols
        apart = [abs(edge - round(edge)) * float(s) * zoom for edge, s in zip(edges, GRID.stride, strict=True)]
        if not all(0 < edge < end for edge, end in zip(edges, ends, strict=True)) or not 1.5 <= min(apart) <= most:
            continue
        made += 1
        yield left, top, across, down


@pytest.mark.parametrize("ratio", [1, 1.5])
def test_what_is_drawn_at_a_hundred_places_is_what_the_map_says(show: Open, random_map: Any, ratio: float) -> None:
    result, image, found = random_map
    page = show(result, image=image, ratio=ratio)
    set_slider(page, "opacity", 100)
    for x, y, zoom in ((300, 200, 1.5), (123.4, 310, 3), (411.7, 99.9, 8), (77.7, 222.2, 23), (590, 395, 40)):
        middle = look(page, x, y, zoom)
        page.mouse.move(2, 2)
        screen = seen(page)
        for left, top, across, down in places(page, middle, x, y, zoom, 20):
            expected = found.colour(int(at(found, across, down).argmax()))
            drawn = screen[int((top + 0.5) * ratio), int((left + 0.5) * ratio)]
            assert np.abs(drawn.astype(int) - expected).max() <= 2, (zoom, across, down)


def test_the_cell_under_the_pointer_is_the_maps(show: Open, random_map: Any) -> None:
    result, image, found = random_map
    page = show(result, image=image)
    for x, y, zoom in ((300, 200, 1.2), (123.4, 310, 6), (411.7, 99.9, 30)):
        middle = look(page, x, y, zoom)
        for left, top, across, down in places(page, middle, x, y, zoom, 5, max(2, zoom / 2 - 1)):
            page.mouse.move(left + 0.5, top + 0.5)
            row, col = found.grid.nearest(max(across - 0.5, 0), max(down - 0.5, 0))
            page.wait_for_function(
                f"() => document.querySelector('#point h3')?.textContent === 'Cell {row}, {col}'", timeout=4000
            )


def test_what_is_chosen_asks_nothing_and_is_drawn(show: Open, random_map: Any) -> None:
    result, image, found = random_map
    page = show(result, image=image)
    x, y, zoom = 200.0, 150.0, 12.0
    middle = look(page, x, y, zoom)
    set_slider(page, "opacity", 100)
    before = len(page.asked)
    page.locator("#classes button").nth(3).click()
    names = page.locator("#classes button .label").all_inner_texts()
    plane = next(i for i, label in enumerate(LABELS) if names[3][:3] == label[:3])
    set_slider(page, "threshold", 600)
    page.mouse.move(2, 2)
    screen, own = seen(page), pixels(IMAGE)
    kept = 0
    for left, top, across, down in places(page, middle, x, y, zoom, 30):
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
    page.wait_for_selector("table.peaks tbody tr")
    page.focus("table.peaks")
    for key, kind in (("a", "accept"), ("r", "reject")):
        page.keyboard.press("ArrowDown")
        page.keyboard.press(key)
        page.wait_for_selector(f"tr.{kind}")
    features = json.loads((tmp_path / "own.zarr.verdicts.geojson").read_text(encoding="utf-8"))["features"]
    told = [feature["properties"] for feature in features]
    assert [(each["row"], each["col"], each["verdict"]) for each in told] == [
        (peaks[0].row, peaks[0].col, "accept"), (peaks[1].row, peaks[1].col, "reject"),
    ]  # fmt: skip


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
