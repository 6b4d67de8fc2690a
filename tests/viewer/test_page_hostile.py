"""What strangers wrote, in the viewer in a real browser: text wherever it stands, none of it run, and the page no broader for it. And images that are no photographs."""

from __future__ import annotations

import csv
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import fullconv
from fullconv.geometry.grid import Grid
from fullconv.maps.classmap import ClassMap
from fullconv.results.local import Local
from fullconv.results.store import Store
from tests.reports.test_browser import HOSTILE
from tests.viewer.browsing import Open, look, seen, settled, violations
from tests.viewer.conftest import Mapped
from tests.viewer.stores import noise

pytestmark = pytest.mark.long


def harmless(page: Any) -> None:
    """Nothing ran, nothing is markup that the page did not make, and all is within the screen."""
    settled(page)
    assert page.evaluate("() => window.ran") is None
    assert page.evaluate("() => document.scripts.length") == 1
    assert page.evaluate("() => document.querySelectorAll('iframe, object, embed, svg, style, base, meta[http-equiv], [onerror], [onload], [onmouseover]').length") == 0  # fmt: skip
    assert page.evaluate("() => [...document.images].every((e) => e.src.startsWith(location.origin) || e.src.startsWith('blob:'))")  # fmt: skip
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth && document.documentElement.scrollHeight <= innerHeight")  # fmt: skip
    for name in ("#left", "#right"):
        assert page.evaluate(f"() => {{ const e = document.querySelector('{name}'); return e.scrollWidth <= e.clientWidth }}"), name  # fmt: skip
    for name in ("#canvas", "#classes", "#nav", "text=Relabel"):
        if page.locator(name).is_visible():
            box, width = page.locator(name).bounding_box(), page.viewport_size["width"]
            assert box["x"] >= 0, name
            assert box["x"] + box["width"] <= width + 1, name
            assert box["width"] > 50, name


@pytest.mark.parametrize("size", [(1200, 800), (768, 1024)])
def test_a_store_of_strangers_is_text(show: Open, mapped: Mapped, tmp_path: Path, size: tuple[int, int]) -> None:
    fullconv.map_raster(fullconv.load(*mapped.net), mapped.image, tmp_path / "made.zarr")
    record = Store.open(Local(str(tmp_path / "made.zarr"))).record
    request = record.request | {"image": {**record.request["image"], "name": HOSTILE[1]}, "model": {**record.request["model"], "name": HOSTILE[0]}}  # fmt: skip
    for first in range(0 if size[0] > 1000 else 6, 9, 3):
        labels = tuple(HOSTILE[first + i] for i in range(3))
        result, plane = tmp_path / f"{first}.zarr", max(range(3), key=lambda i: len(labels[i]))
        found = noise(tmp_path / "made.zarr", result, labels=labels, request=request, output=HOSTILE[2], exactness=HOSTILE[7], failed=())  # fmt: skip
        kept = {"row": 3, "col": 7, "class": labels[plane], "score": 0.5, "verdict": "relabel", "label": HOSTILE[1], "note": HOSTILE[0] + HOSTILE[7], "box": [0, 0, 28, 28], "time": HOSTILE[1]}  # fmt: skip
        Path(f"{result}.verdicts.geojson").write_text(
            json.dumps({"features": [{"properties": kept}]}), encoding="utf-8"
        )
        page = show(result, image=mapped.image, size=size)
        harmless(page)
        shown = page.locator("#classes button .label").all_inner_texts()
        assert len(shown) == 4
        x, y = found.centre(3, 7)
        page.mouse.click(*look(page, x + 0.5, y + 0.5, 12, f"{plane},0"))
        page.wait_for_selector("img.crop")
        assert HOSTILE[0] in page.input_value("input[aria-label='note']")
        page.click("#find")
        page.wait_for_selector("#finds table")
        harmless(page)
        page.click("#help")
        page.keyboard.press("Escape")
        page.fill("#search", labels[0][:20])
        harmless(page)
        assert violations(page) == []


def test_a_study_of_strangers_is_text(show: Open, mapped: Mapped, tmp_path: Path) -> None:
    noise(mapped.result, tmp_path / "own.zarr")
    with (tmp_path / "summary.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["image", "status", "result", "error", *HOSTILE])
        table.writerow([HOSTILE[1], "mapped", "own.zarr", "", *HOSTILE])
        table.writerow([HOSTILE[7], "failed", "", HOSTILE[0] + HOSTILE[7], *HOSTILE])
    page = show(tmp_path)
    assert page.evaluate("() => window.ran") is None
    assert page.evaluate("() => document.scripts.length") == 1
    assert page.locator("#study tbody tr").count() == 2
    assert HOSTILE[0] in page.inner_text("#study")
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    assert violations(page) == []


def test_bands_of_sixteen_bits_are_chosen(show: Open, tmp_path: Path) -> None:
    """Eight bands: what is drawn is the numbers of those that were named, from the lowest to the highest."""
    rng, side = np.random.default_rng(0), 240
    ramps = [np.roll(np.linspace(100 * band, 4000 * band + 500, side), 30 * band) for band in range(1, 9)]
    image = np.stack([np.rint(np.tile(ramp, (side, 1))) for ramp in ramps], axis=2).astype(np.uint16)
    tifffile.imwrite(tmp_path / "x.tif", image, photometric="minisblack", planarconfig="contig", tile=(128, 128))
    step = (Fraction(8), Fraction(8))
    grid = Grid(28, 28, step, (Fraction(16), Fraction(16)), (Fraction(15, 2), Fraction(15, 2)), (Fraction(16), Fraction(16)), (side, side))  # fmt: skip
    ClassMap(rng.random((2, 28, 28)).astype(np.float32), grid, ("a", "b"), score_kind="probabilities").save(tmp_path / "x.npz")  # fmt: skip
    page = show(tmp_path / "x.npz", image=tmp_path / "x.tif")
    page.uncheck("#map")
    page.click("#contrast summary")
    assert page.input_value("#bands") == "1,2,3"
    page.select_option("#cut", "0")
    for bands in ((1, 2, 3), (5, 3, 8), (7,), (8, 8, 1)):
        page.fill("#bands", ",".join(map(str, bands)))
        page.keyboard.press("Enter")
        left, top = look(page, 120, 120, 8)
        page.mouse.move(2, 2)
        screen = seen(page)
        chosen = image[:, :, [band - 1 for band in bands]].astype(float)
        low, high = chosen.min(axis=(0, 1)), chosen.max(axis=(0, 1))
        toned = np.rint(255 * (chosen - low) / (high - low))
        for x, y in ((100, 100), (120, 130), (140, 110), (90, 120)):
            drawn = screen[int(top + (y + 0.5 - 120) * 8), int(left + (x + 0.5 - 120) * 8)]
            assert np.abs(drawn - toned[y, x]).max() <= 2, (bands, x, y, drawn, toned[y, x])
    canvas = "() => document.getElementById('canvas').toDataURL()"
    before = page.evaluate(canvas)
    for wrong in ("9", "1,9", "1,2", "1,x,2", ""):
        page.fill("#bands", wrong)
        page.keyboard.press("Enter")
        settled(page)
        assert page.locator("#bands:invalid[aria-invalid='true']").count() == 1, wrong
        assert "of 1 to 8" in page.evaluate("() => document.getElementById('bands').validationMessage")
        assert page.evaluate(canvas) == before  # what was chosen before is seen on
