"""Who is let in, and what nobody gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.viewer.conftest import HOST, TOKEN, Mapped, Serve

ABOUT = "/api/about"


@pytest.fixture
def page(tmp_path: Path) -> Path:
    for name in ("index.html", "page.js", "page.css"):
        (tmp_path / name).write_text(f"this is {name}", encoding="utf-8")
    (tmp_path / "secret").write_text("secret", encoding="utf-8")
    return tmp_path


def test_the_address_with_its_token_opens_the_page_and_hides_the_token(
    mapped: Mapped, serve: Serve, page: Path
) -> None:
    client = serve(mapped.result, page=page, token="")
    first = client.get(f"/?token={TOKEN}")
    assert first.status_code == 303
    assert first.headers["location"] == "/"  # the token stays in no history, and is in no link that is sent on
    cookie = first.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    client.cookies.clear()
    client.cookies.set("fullconv_8017", TOKEN)
    assert client.get("/").text == "this is index.html"


@pytest.mark.parametrize("cookie", ["", "wrong", TOKEN[:-1], TOKEN + "x", "ü"])
def test_without_the_token_nothing_is_told(mapped: Mapped, serve: Serve, page: Path, cookie: str) -> None:
    client = serve(mapped.result, page=page, token="")
    client.cookies.clear()
    for path in ("/", "/page.js", ABOUT, "/api/0/state", f"/?token={cookie}"):
        head = {"cookie": f"fullconv_8017={cookie}".encode()} if cookie else {}
        answer = client.get(path, headers=head)  # type: ignore[arg-type]
        assert answer.status_code == 403
        assert "slide" not in answer.text


@pytest.mark.parametrize(
    "host", ["evil.example:8017", "127.0.0.1", "127.0.0.1:8018", "", "localhost:8017.evil.example"]
)
def test_another_name_is_another_server(mapped: Mapped, serve: Serve, host: str) -> None:
    """DNS rebinding: the browser takes this server for the other page's own."""
    assert serve(mapped.result).get(f"{ABOUT}?token={TOKEN}", headers={"host": host}).status_code == 421


@pytest.mark.parametrize(
    "head", [{"origin": "http://evil.example"}, {"origin": "null"}, {"origin": f"https://{HOST}"}, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}],
)  # fmt: skip
def test_another_page_gets_nothing_and_changes_nothing(mapped: Mapped, serve: Serve, head: dict[str, str]) -> None:
    client = serve(mapped.result)
    said = {"row": 1, "col": 1, "class": 0, "verdict": "accept"}
    assert client.get(ABOUT, headers=head).status_code == 403
    assert client.post("/api/0/verdicts", json=said, headers=head).status_code == 403
    assert not Path(f"{mapped.result}.verdicts.geojson").exists()


def test_a_page_of_its_own_is_let_in(mapped: Mapped, serve: Serve) -> None:
    assert (
        serve(mapped.result)
        .get(ABOUT, headers={"origin": f"http://{HOST}", "sec-fetch-site": "same-origin"})
        .status_code
        == 200
    )
    assert (
        serve(mapped.result)
        .get(ABOUT, headers={"host": "localhost:8017", "origin": "http://localhost:8017"})
        .status_code
        == 200
    )


@pytest.mark.parametrize(
    "path",
    [
        "/secret", "/../secret", "/%2e%2e/%2e%2e/etc/passwd", "/page.js/../secret", "//etc/passwd", "/api/0/../../secret", "/api/7/state", "/api/-1/state",
        "/api/0/crop/1/1", "/api/image/0/0/0/0", "/api/0/scores/0/9/0", "/api/0/scores/99/0/0", "/api/0/scores/0/0/0/3", "/api/0/cell/99999/0", "/api/0/peaks/3",
        "/api/0/cell/0/99999999999999999999",
    ],
)  # fmt: skip
def test_what_was_not_given_is_not_there(mapped: Mapped, serve: Serve, page: Path, path: str) -> None:
    answer = serve(mapped.result, page=page).get(path)
    assert answer.status_code == 404
    assert "secret" not in answer.text
    assert "root:" not in answer.text


@pytest.mark.parametrize("path", ["/", ABOUT, "/nothing", "/?token=wrong"])
def test_every_answer_says_what_a_page_may_do(mapped: Mapped, serve: Serve, page: Path, path: str) -> None:
    heads = serve(mapped.result, page=page).get(path).headers
    rules = dict(part.strip().split(" ", 1) for part in heads["content-security-policy"].split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == "'self'"  # no inline script, nothing of another machine
    assert rules["connect-src"] == "'self'"
    assert rules["frame-ancestors"] == "'none'"
    assert heads.get_list("cache-control") == ["no-store"]  # the next server at this port is another one
    assert heads["x-content-type-options"] == "nosniff"
    assert heads["referrer-policy"] == "no-referrer"
    assert "access-control-allow-origin" not in heads


def test_a_query_of_many_fields_is_no_fault_of_the_server(mapped: Mapped, serve: Serve) -> None:
    many = "/api/about?" + "&".join(f"f{i}=1" for i in range(1000))
    for token in (TOKEN, "another"):
        assert serve(mapped.result, token=token).get(many).status_code == 400


def test_bodies_are_json_and_bounded(mapped: Mapped, serve: Serve) -> None:
    client = serve(mapped.result)
    path = "/api/0/verdicts"
    assert client.post(path, content=b"x" * 70_000, headers={"content-type": "application/json"}).status_code == 413

    def endless():  # type: ignore[no-untyped-def]
        for _ in range(100):
            yield b" " * 1000

    assert client.post(path, content=endless(), headers={"content-type": "application/json"}).status_code == 413
    assert client.post(path, content=b"{}", headers={"content-type": "text/plain"}).status_code == 415
    for body in (b"", b"[1]", b"{", b"[" * 30_000, b"\xff"):
        assert client.post(path, content=body, headers={"content-type": "application/json"}).status_code == 400
