"""The viewer in the frame of a notebook's page, in a real browser: a page of this machine shows it, one of another site may not."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fullconv
from fullconv.maps.classmap import ClassMap
from tests.viewer.browsing import at, places, seen, set_slider, settled
from tests.viewer.conftest import Mapped

pytestmark = pytest.mark.long
CELL = "<!doctype html><title>notebook</title><body style='margin:0'>{}"


class Notebook(BaseHTTPRequestHandler):
    """A notebook's server: its page, and behind ``/user/me/proxy/PORT/`` the ports of this machine, as jupyter-server-proxy leads to them."""

    page = ""

    def do_GET(self) -> None:
        if not self.path.startswith("/user/me/proxy/"):
            return self.answered(200, [("content-type", "text/html")], self.page.encode())
        port, _, path = self.path.removeprefix("/user/me/proxy/").partition("/")
        length = int(self.headers.get("content-length", 0))
        with closing(http.client.HTTPConnection("127.0.0.1", int(port), timeout=20)) as asking:
            # With the Host that came, and closed behind it.
            asking.request(self.command, f"/{path}", self.rfile.read(length), dict(self.headers))
            came = asking.getresponse()
            body = came.read()
        kept = [(name, value) for name, value in came.getheaders() if name.lower() not in ("content-length", "transfer-encoding", "connection")]  # fmt: skip
        return self.answered(came.status, kept, body)

    do_POST = do_GET  # noqa: N815

    def answered(self, status: int, heads: list[tuple[str, str]], body: bytes) -> None:
        self.send_response(status)
        for name, value in (*heads, ("content-length", str(len(body)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def notebook() -> Iterator[Callable[[str], str]]:
    """Serves a cell's output as a page; its address."""
    with ExitStack() as stack:

        def start(html: str = "") -> str:
            handler = type("Own", (Notebook,), {"page": CELL.format(html)})
            server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), handler))
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            start.handler = handler  # type: ignore[attr-defined]
            return f"http://localhost:{server.server_port}"

        yield start


@pytest.fixture
def tab(browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1200, "height": 900}, color_scheme="light")
    page = context.new_page()
    page.complaints = []
    page.on("console", lambda message: page.complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    yield page
    context.close()


def shown(tab: Any) -> Any:
    """The frame, once the map is there."""
    tab.wait_for_selector("iframe")
    frame = tab.locator("iframe").element_handle().content_frame()
    frame.wait_for_selector("#classes button", timeout=20_000)
    tab.wait_for_load_state("networkidle")
    frame.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return frame


class Placed:
    """A frame, with elements where they lie on the tab's screen."""

    def __init__(self, frame: Any) -> None:
        self.locator, self.evaluate = frame.locator, frame.evaluate
        self.wait_for_load_state = frame.page.wait_for_load_state


def test_a_page_of_this_machine_shows_the_map(tab: Any, notebook: Any, mapped: Mapped) -> None:
    """The notebook's page is of another site (localhost) than the viewer's (127.0.0.1), as Jupyter's is: no cookie of the frame is kept."""
    found = ClassMap.load(mapped.result)
    rng = np.random.default_rng(3)
    random = ClassMap(rng.random(found.scores.shape, np.float32), found.grid, found.labels, score_kind="probabilities")
    with fullconv.view([random], mapped.image, opens=False, height=640) as viewer:
        tab.goto(notebook(viewer._repr_html_()))
        frame = shown(tab)
        assert tab.context.cookies() == []
        frame.evaluate("() => { location.hash = '#600,200,6,w,0' }")
        placed = Placed(frame)
        set_slider(placed, "opacity", 100)
        tab.mouse.move(2, 890)
        screen = seen(tab)
        for left, top, across, down in places(placed, random.grid, (600, 200, 6, 0), 40):
            expected = random.colour(int(at(random, across, down).argmax()))
            assert np.abs(screen[top, left].astype(int) - expected).max() <= 2
        frame.locator("#canvas").click()
        frame.wait_for_selector("img.crop")
        with tab.expect_popup() as opened:  # beside the notebook
            tab.click("text=Open in a tab")
        opened.value.wait_for_selector("#classes button")
        assert tab.complaints == []


def test_behind_a_proxy_with_a_path_it_is_the_same(tab: Any, notebook: Any, mapped: Mapped, tmp_path: Path) -> None:
    """Also what is sent: the verdict of a person."""
    found = ClassMap.load(mapped.result)
    file = tmp_path / "own.npz"
    ClassMap(np.asarray(found.scores), found.grid, found.labels).save(file)
    address = notebook()
    with fullconv.view(file, mapped.image, opens=False, through=f"{address}/user/me/proxy/{{port}}/") as viewer:
        notebook.handler.page = CELL.format(viewer._repr_html_())
        tab.goto(f"{address}/user/me/lab")
        frame = shown(tab)
        frame.locator("#canvas").click()
        frame.wait_for_selector("img.crop")
        frame.wait_for_function("() => document.querySelector('img.crop')?.naturalWidth === 28")
        frame.evaluate(
            "() => fetch('api/0/verdicts', {method: 'POST', headers: {'content-type': 'application/json'}, body: JSON.stringify({row: 3, col: 7, class: 0, verdict: 'accept'})})"
        )
        settled(tab)
        assert Path(f"{file}.verdicts.geojson").exists()
        assert tab.complaints == []


def test_a_page_of_another_site_may_not(tab: Any, mapped: Mapped) -> None:
    with fullconv.view(mapped.result, mapped.image, opens=False) as viewer:
        html = CELL.format(viewer._repr_html_())
        # Chromium lets a public page at this machine where a person allows it; one that does not ask has no such permission.
        with suppress(Exception):
            tab.context.grant_permissions(["local-network-access"])
        tab.route("https://evil.example/", lambda route: route.fulfill(body=html, content_type="text/html"))
        tab.goto("https://evil.example/")
        tab.wait_for_timeout(1500)
        frame = tab.locator("iframe").element_handle().content_frame()
        assert frame.locator("#classes button").count() == 0
        assert any("frame-ancestors" in text for text in tab.complaints), tab.complaints


def test_the_commands_page_is_framed_by_nobody(tab: Any, notebook: Any, mapped: Mapped) -> None:
    from fullconv.viewer import serve
    from fullconv.viewer.shown import Shown

    ready = threading.Event()
    address: list[str] = []
    servers: list[Any] = []

    class Server(serve.uvicorn.Server):  # type: ignore[misc, name-defined]
        def __init__(self, config: Any) -> None:
            super().__init__(config)
            servers.append(self)

    made = Shown([str(mapped.result)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serve.uvicorn, "Server", Server)
        thread = threading.Thread(
            target=serve.serve, args=(made, "127.0.0.1", 0, lambda told: (address.append(told), ready.set()))
        )
        thread.start()
        assert ready.wait(20)
        tab.goto(notebook(f"<iframe src='{address[0]}'></iframe>"))
        tab.wait_for_timeout(1500)
        frame = tab.locator("iframe").element_handle().content_frame()
        assert frame.locator("#classes button").count() == 0
        assert any("'none'" in text or "deny" in text.lower() for text in tab.complaints), tab.complaints
        servers[0].should_exit = True
        thread.join()
    made.close()
