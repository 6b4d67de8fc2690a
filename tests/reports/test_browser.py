"""Reports in a real browser: axe complains of nothing, nothing is broader than the screen or the paper, and what strangers wrote is text."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tifffile

import fullconv
from fullconv.results.local import Local
from fullconv.results.store import Store
from tests.cli.conftest import Run
from tests.cli.conftest import run as run  # a fixture
from tests.reports.conftest import Mapped
from tests.stream import runs
from tests.viewer.browsing import chromium, violations  # noqa: F401
from tests.viewer.stores import noise

pytestmark = pytest.mark.long
HOSTILE = (
    "<script>window.ran=1</script>", "\"><img src=x onerror=\"window.ran=1\">", "</style></svg><svg onload=window.ran=1>", "' onmouseover='window.ran=1", "javascript:window.ran=1",
    "&lt;b&gt;", "\u202egniht\u2066", "W" * 1500, "Z\u0341\u0321" * 60, "=cmd|' /C calc'!A0", "a\nb\tc",
)  # fmt: skip
Opened = Callable[..., Any]


@pytest.fixture
def opened(chromium: Any) -> Iterator[Opened]:  # noqa: F811
    """A page from its file; at its end nothing was asked for, and nothing complained of."""
    wrong: list[str] = []
    contexts = []

    def start(path: Path, size: tuple[int, int] = (1200, 900), scheme: str = "light") -> Any:
        contexts.append(chromium.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme))
        page = contexts[-1].new_page()
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: wrong.append(request.url) if not request.url.startswith(("file:", "data:")) else None)  # fmt: skip
        page.goto(path.as_uri())
        return page

    yield start
    for context in contexts:
        context.close()
    assert wrong == []


def pages(mapped: Mapped, folder: Path, run: Run) -> dict[str, Path]:
    """One of every kind."""
    model = runs.digits()
    made = {"map": fullconv.report(mapped.result, folder / "map.html", image=mapped.image, model=model, cells=5)}
    made["map alone"] = fullconv.report(mapped.result, folder / "alone.html")
    fullconv.map_raster(model, mapped.image, folder / "f.zarr", preprocess="unit", output="conv1")
    made["features"] = fullconv.report(folder / "f.zarr", folder / "features.html", image=mapped.image)
    images = folder / "images"
    images.mkdir()
    tifffile.imwrite(images / "one.tif", mapped.pixels[:120, :160])
    (images / "bad.tif").write_bytes(b"II*\0garbage")
    study = fullconv.run(model, [images / "one.tif", images / "bad.tif"], folder / "study", classes="7,3", threshold=0.9, exports="html", preprocess="unit")  # fmt: skip
    made["study"] = study.summary.with_suffix(".html")
    net = model.save(folder / "net.prototxt")
    command = ["verify", net[0], "-w", net[1], mapped.image, "--cells", 4, "-p", "unit", "--blame", 1, "-o", folder / "verify.html"]  # fmt: skip
    found = run(*command)
    assert found.status == 0, found.err
    made["verify"] = folder / "verify.html"
    return made


def test_axe_finds_nothing(mapped: Mapped, tmp_path: Path, run: Run, opened: Opened) -> None:
    found: dict[str, Any] = {}
    for name, path in pages(mapped, tmp_path, run).items():
        for scheme, size in (("light", (1200, 900)), ("dark", (1200, 900)), ("light", (390, 800))):
            page = opened(path, size, scheme)
            found[f"{name} {scheme} {size[0]}"] = violations(page)
            assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), (name, size)
        page.emulate_media(media="print")
        page.set_viewport_size({"width": 690, "height": 1000})  # A4 within its margins
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), f"{name} on paper"
    assert not any(found.values()), {key: value for key, value in found.items() if value}


def test_what_strangers_wrote_is_text(mapped: Mapped, tmp_path: Path, opened: Opened) -> None:
    record = Store.open(Local(str(mapped.result))).record
    labels = tuple(HOSTILE[i] if i < len(HOSTILE) else f"class {i}" for i in range(len(record.labels)))
    request = record.request | {"image": {**record.request["image"], "name": HOSTILE[1]}, "model": {**record.request["model"], "name": HOSTILE[0] + HOSTILE[7]}}  # fmt: skip
    noise(mapped.result, tmp_path / "x.zarr", labels=labels, request=request, output=HOSTILE[2], exactness=HOSTILE[1])
    path = fullconv.report(tmp_path / "x.zarr", tmp_path / "x.html", image=mapped.image, title=HOSTILE[0])
    folder = tmp_path / "study"
    folder.mkdir()
    (tmp_path / "x.zarr").rename(folder / "x.zarr")
    with (folder / "summary.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["image", "status", "result", "error", "cells", *HOSTILE[:3]])
        table.writerow([HOSTILE[1], "mapped", "x.zarr", "", "3", *HOSTILE[:3]])
        table.writerow([HOSTILE[7], "failed", "", HOSTILE[0] + HOSTILE[7], "", "", "", ""])
    for each in (path, fullconv.report(folder, tmp_path / "study.html")):
        for size in ((1200, 900), (390, 800)):
            page = opened(each, size)
            assert page.evaluate("() => window.ran") is None
            assert page.evaluate("() => document.scripts.length") == 0
            assert page.evaluate("() => [...document.querySelectorAll('*')].filter((e) => [...e.attributes].some((a) => a.name.startsWith('on'))).length") == 0  # fmt: skip
            assert page.evaluate("() => [...document.links].filter((e) => !['file:', ''].includes(e.protocol)).length") == 0  # fmt: skip
            assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), (each.name, size)
            assert violations(page) == []
            page.hover("body")
        assert "<script>window.ran=1</script>" in page.inner_text("body") + page.title()
