"""A real browser over a real server: what the page's tests share. It needs Chromium (Debian: ``apt-get install chromium``) and the built page (``make web``)."""

from __future__ import annotations

import io
import json
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fullconv.geometry.grid import Grid
from fullconv.maps.classmap import ClassMap

TOKEN = "a-token"
AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="pages are tested by playwright")
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with api.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def browser(chromium: Any) -> Any:
    """The same, where the viewer's page is there."""
    serving = pytest.importorskip(
        "fullconv.viewer.serve", reason="the viewer's server is of the extra view", exc_type=ImportError
    )
    if not all((serving.PAGE / name).is_file() for name in serving.FILES.values()):
        pytest.skip("the page is not built: make web")
    return chromium


Open = Callable[..., Any]


@pytest.fixture
def show(browser: Any) -> Iterator[Open]:
    """Opens a page over results; at its end nothing was complained of, and no other machine asked."""
    import uvicorn

    from fullconv.viewer.server import application
    from fullconv.viewer.shown import Shown

    wrong: list[str] = []
    with ExitStack() as stack:

        def start(
            *results: Any, image: Any = None, model: Any = None, ratio: float = 1, size: tuple[int, int] = (1200, 800),
            scheme: str = "light", touch: bool = False,
        ) -> Any:  # fmt: skip
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
            context = browser.new_context(
                viewport={"width": size[0], "height": size[1]},
                device_scale_factor=ratio,
                color_scheme=scheme,
                has_touch=touch,
            )
            stack.callback(context.close)
            page = context.new_page()
            page.asked, page.wrong, page.waiting = [], wrong, set()
            page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on("request", lambda request: (page.asked.append(request.url), page.waiting.add(request)))
            for end in ("requestfinished", "requestfailed"):
                page.on(end, lambda request: page.waiting.discard(request))
            page.goto(f"http://{host}/?token={TOKEN}")
            page.wait_for_selector("#classes button, #study td")
            settled(page)
            wrong.extend(url for url in page.asked if not url.startswith((f"http://{host}/", "blob:", "data:")))
            return page

        yield start
    assert wrong == []


def violations(page: Any) -> list[str]:
    """What axe complains of, in short."""
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: make web")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    told = page.evaluate(f"() => axe.run(document, {json.dumps(RULES)})")
    return [
        f"{each['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
        for each in told["violations"]
        for node in each["nodes"]
    ]


def settled(page: Any) -> None:
    """All that was asked for has come, and is drawn."""
    page.wait_for_load_state("networkidle")
    quiet, end = 0, time.monotonic() + 20
    while quiet < 3:
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        busy = page.locator("canvas[aria-busy=true]").count()  # what came is still to be decoded, or drawn
        quiet = 0 if busy or getattr(page, "waiting", ()) else quiet + 1  # in a frame it is not known
        assert time.monotonic() < end, "what was asked for did not come"


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


def places(
    page: Any, grid: Grid, sight: tuple[float, float, float, float], count: int, most: float = np.inf
) -> Iterator[tuple[int, int, float, float]]:
    """Random pixels of the screen with their places in the image, at most so many pixels from a cell's edge; not within a pixel and a half of one, where
    either is right.

    Args:
        sight: x, y, zoom, and degrees clockwise.
    """
    x, y, zoom, angle = sight
    rng = np.random.default_rng(int(zoom * 10))
    covered = [each.bounding_box() for name in ("#overview", "#bar", ".said-of") for each in page.locator(name).all()]
    box = page.locator("#canvas").bounding_box()
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    made = 0
    for _ in range(200_000):
        left = int(rng.integers(box["x"] + 4, box["x"] + box["width"] - 4))
        top = int(rng.integers(box["y"] + 4, box["y"] + box["height"] - 4))
        if any(
            b and b["x"] - 2 <= left <= b["x"] + b["width"] + 2 and b["y"] - 2 <= top <= b["y"] + b["height"] + 2
            for b in covered
        ):
            continue
        along, down = left + 0.5 - box["x"] - box["width"] / 2, top + 0.5 - box["y"] - box["height"] / 2
        place = x + (along * cos + down * sin) / zoom, y + (down * cos - along * sin) / zoom
        if not (0 <= place[0] < grid.image[1] and 0 <= place[1] < grid.image[0]):
            continue
        edges = [
            (float(v) - 0.5 - float(c) + float(s) / 2) / float(s)
            for v, c, s in zip(place[::-1], grid.centre0, grid.stride, strict=True)
        ]
        apart = [abs(edge - round(edge)) * float(s) * zoom for edge, s in zip(edges, grid.stride, strict=True)]
        inside = all(0 < edge < end for edge, end in zip(edges, (grid.rows, grid.cols), strict=True))
        if not inside or not 1.5 <= min(apart) <= most:
            continue
        made += 1
        yield left, top, *place
        if made == count:
            return
    raise AssertionError(f"only {made} of {count} places were found")
