"""``fullconv.view``: servers of this process, who may frame their page, and how they end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import fullconv
from fullconv.errors import BadInput, MissingExtra
from fullconv.maps.classmap import ClassMap
from tests.viewer.conftest import HOST, TOKEN, Mapped

pytest.importorskip("fullconv.viewer.serve", reason="the viewer's server is of the extra view", exc_type=ImportError)
testclient = pytest.importorskip("starlette.testclient")
View = Callable[..., Any]


@pytest.fixture
def view(monkeypatch: pytest.MonkeyPatch) -> Iterator[View]:
    """``fullconv.view`` without a browser and without its page, whose viewers are closed."""
    monkeypatch.setattr("fullconv.viewer.served.require_page", lambda: None)
    monkeypatch.setattr("webbrowser.open", lambda _: True)
    opened = []

    def start(*given: Any, **how: Any) -> Any:
        opened.append(fullconv.view(*given, **how))
        return opened[-1]

    yield start
    for viewer in opened:
        viewer.close()


def asked(viewer: Any, path: str = "api/0/about") -> Any:
    with urllib.request.urlopen(viewer.address + path, timeout=20) as answer:
        return json.load(answer)


def test_a_map_of_a_store_has_its_image_and_is_asked_by_its_network(view: View, mapped: Mapped) -> None:
    found = ClassMap.load(mapped.result)
    viewer = view(found, mapped.image, model=fullconv.load(*mapped.net))
    told = asked(viewer)
    assert told["result"]["name"] == "slide.zarr"
    assert told["result"]["asks"] == ""
    assert (told["image"]["width"], told["image"]["height"]) == (1200, 400)
    assert viewer.address in repr(viewer)


def test_a_map_in_memory_is_seen_over_its_own_pixels(view: View, mapped: Mapped) -> None:
    found = fullconv.map(fullconv.load(*mapped.net), mapped.image, preprocess="raw")
    viewer = found.view(opens=False)
    try:
        told = asked(viewer)
        assert told["image"]["width"] == 1200
        assert told["result"]["asks"].startswith("only a map in a store")
        cell = asked(viewer, "api/0/cell/3/7")
        np.testing.assert_array_equal(np.float32(cell["scores"]), found.scores[:, 3, 7])
        say = {"row": 3, "col": 7, "class": 0, "verdict": "accept"}
        said = urllib.request.Request(viewer.address + "api/0/verdicts", json.dumps(say).encode(), {"content-type": "application/json"})  # fmt: skip
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(said, timeout=20)
        assert "save this map first" in json.load(refused.value)["error"]
    finally:
        viewer.close()


def test_what_is_viewed_again_has_the_same_server(view: View, mapped: Mapped) -> None:
    first = view(mapped.result)
    assert view(str(mapped.result)) is first
    assert view(ClassMap.load(mapped.result)) is first
    other = view(mapped.result, mapped.image)
    assert other is not first
    assert asked(first)["image"] is None
    assert asked(other)["image"] is not None
    first.close()
    assert not first.is_open
    assert repr(first) == "Viewer(slide.zarr, closed)"
    assert "iframe" not in first._repr_html_()
    with pytest.raises(urllib.error.URLError):
        asked(first)
    again = view(mapped.result)
    assert again.is_open
    assert again.address != first.address
    assert asked(other)["image"] is not None


def test_more_servers_than_anybody_looks_at_are_closed(
    view: View, mapped: Mapped, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fullconv.viewer.view._SERVERS", 2)
    maps = [ClassMap.load(mapped.result) for _ in range(3)]
    held = [ClassMap(np.asarray(each.scores), each.grid, each.labels) for each in maps]
    viewers = [view(each) for each in held[:2]]
    view(held[0])  # looked at again
    view(held[2])
    assert [viewer.is_open for viewer in viewers] == [True, False]


def test_it_closes_behind_a_block(view: View, mapped: Mapped) -> None:
    with view(mapped.result) as viewer:
        assert viewer.is_open
    assert not viewer.is_open


def test_a_script_that_ends_ends_its_viewers(mapped: Mapped, tmp_path: Path) -> None:
    script = (
        "import fullconv, urllib.request; import fullconv.viewer.served as served; served.require_page = lambda: None; "
        f"viewer = fullconv.view({str(mapped.result)!r}, {str(mapped.image)!r}, opens=False); "
        "urllib.request.urlopen(viewer.address + 'api/image/0/0/0/0').read(); print(viewer.address)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, env={**os.environ, "TMPDIR": str(tmp_path)})  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    assert ran.stdout.startswith("http://127.0.0.1:")
    assert list(tmp_path.iterdir()) == []  # tiles that were kept go with it


def test_outside_of_notebooks_the_browser_is_opened(
    view: View, mapped: Mapped, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    viewer = view(mapped.result)
    view(mapped.result, opens=False)
    assert opened == [viewer.address]
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=1)))  # type: ignore[arg-type]
    view(mapped.result)
    assert opened == [viewer.address]


def test_a_cell_shows_a_frame_and_what_opens_it_alone(view: View, mapped: Mapped, tmp_path: Path) -> None:
    found = ClassMap.load(mapped.result)
    file = tmp_path / '"><img src=x onerror=alert(1)>.npz'
    ClassMap(np.asarray(found.scores), found.grid, found.labels).save(file)
    viewer = view(file, height=333)
    html = viewer._repr_html_()
    assert f'src="{viewer.address}"' in html
    assert 'height="333"' in html
    assert "<img" not in html
    assert html.count("<") == html.count(">") == 8


def test_a_hub_is_told_of(view: View, mapped: Mapped, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=1)))  # type: ignore[arg-type]
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/me/")
    assert "through=&#x27;https://THE-HUB/user/me/proxy/{port}/&#x27;" in view(mapped.result)._repr_html_()
    viewer = view(mapped.result, through="https://hub.example.org/user/me/proxy/{port}/")
    assert viewer.address.startswith("https://hub.example.org/user/me/proxy/")
    assert "THE-HUB" not in viewer._repr_html_()


def test_colab_gives_the_address(view: View, mapped: Mapped, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    def answered(script: str) -> str:
        said.append(script)
        return "https://abc-8017-colab.googleusercontent.com/"

    for name in ("google.colab", "google.colab.output"):
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(eval_js=answered))  # type: ignore[arg-type]
    viewer = view(mapped.result)
    assert said[0].startswith("google.colab.kernel.proxyPort(")
    assert viewer.address.startswith("https://abc-8017-colab.googleusercontent.com/")


@pytest.mark.parametrize(
    "through", ["", "hub/{port}", "ftp://h/{port}", "https:///x", "https://a@h/", "https://h/?q", "https://h x/", "https://h;script-src *", "https://h'/"],
)  # fmt: skip
def test_what_is_no_proxy_is_refused(view: View, mapped: Mapped, through: str) -> None:
    with pytest.raises(BadInput, match="address of a proxy"):
        view(mapped.result, through=through)


def test_what_cannot_be_viewed_is_told(
    view: View, mapped: Mapped, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInput, match=r"nothing\.zarr"):
        view(tmp_path / "nothing.zarr")
    for nothing in ([], 5, [mapped.result, None]):
        with pytest.raises(BadInput, match="is no result; name a map"):
            view(nothing)
    with pytest.raises(BadInput, match="height 5"):
        view(mapped.result, height=5)
    with pytest.raises(BadInput, match="port 70000"):
        view(mapped.result, port=70_000)
    monkeypatch.setattr("fullconv.viewer.extra.find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match=r"fullconv\[view\]"):
        view(mapped.result)


@pytest.fixture
def framed(mapped: Mapped) -> Iterator[Any]:
    """A client of a server whose page may be framed, without a cookie."""
    from fullconv.viewer.gate import Framing
    from fullconv.viewer.server import application
    from fullconv.viewer.shown import Shown

    shown = Shown([str(mapped.result)])
    framing = Framing(("http://localhost:*",), frozenset(["https://hub.example.org"]))
    app = application(shown, frozenset([HOST, "hub.example.org"]), TOKEN, framing=framing)
    yield testclient.TestClient(app, base_url=f"http://{HOST}", follow_redirects=False)
    shown.close()


def test_a_framed_page_has_the_token_in_its_path_alone(framed: Any) -> None:
    assert framed.get(f"/{TOKEN}/api/about").status_code == 200
    for path in ("/api/about", f"/api/about?token={TOKEN}", f"/?token={TOKEN}", f"/{TOKEN}", f"/{TOKEN}x/api/about", "//api/about", f"//{TOKEN}/api/about"):  # fmt: skip
        assert framed.get(path).status_code == 403, path
    assert framed.get("/api/about", headers={"cookie": f"fullconv_8017={TOKEN}"}).status_code == 403
    assert framed.get(f"/{TOKEN}/../etc/passwd").status_code in (403, 404)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ({"host": "evil.example:8017"}, 421),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://localhost:8888"}, 403),  # a notebook may frame it, and ask it nothing
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "https://hub.example.org", "host": "hub.example.org"}, 200),
        ({"origin": "https://hub.example.org"}, 200),  # a proxy that says it is this machine
    ],
)
def test_the_page_of_a_notebook_asks_nothing(framed: Any, head: dict[str, str], status: int) -> None:
    assert framed.get(f"/{TOKEN}/api/about", headers=head).status_code == status


def test_its_answers_say_who_may_frame_it(framed: Any) -> None:
    heads = framed.get(f"/{TOKEN}/api/about").headers
    assert "frame-ancestors http://localhost:*" in heads["content-security-policy"]
    assert "'none'" not in heads["content-security-policy"].partition("frame-ancestors")[2]
    assert "x-frame-options" not in heads
    assert heads["referrer-policy"] == "no-referrer"  # the token is in the address
