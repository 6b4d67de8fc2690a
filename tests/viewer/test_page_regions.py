"""Regions in the page, in a real browser: listed, stepped through and judged by keys, outlined on the map, and there again when the page is opened anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from fullconv.maps.classmap import ClassMap
from tests.viewer.browsing import Open, look, seen, settled, violations
from tests.viewer.conftest import Mapped
from tests.viewer.stores import filled
from tests.viewer.test_regions import own

pytestmark = pytest.mark.long
AMBER, GREEN, RED = (255, 178, 36), (48, 164, 108), (229, 72, 77)


@pytest.fixture
def stored(mapped: Mapped, tmp_path: Path) -> tuple[Path, ClassMap]:
    grid = ClassMap.load(mapped.result).grid
    field = ndimage.gaussian_filter(np.random.default_rng(2).standard_normal((3, grid.rows, grid.cols)), (0, 5, 5))
    scores = (1 / (1 + np.exp(-4 * field / field.std()))).astype(np.float32)
    return tmp_path / "x.zarr", filled(mapped.result, tmp_path / "x.zarr", scores)


def shown(show: Open, result: Path, mapped: Mapped) -> Any:
    """The page with the regions of a class being listed."""
    page = show(result, image=mapped.image)
    look(page, 600, 200, 1, "1,0.7")
    page.focus("#canvas")
    page.keyboard.press("g")
    return page


def listed(page: Any) -> list[list[str]]:
    """The table's numbers, row by row."""
    page.wait_for_selector("table.finds tbody tr")
    return [row.split("\t") for row in page.locator("table.finds tbody tr").all_inner_texts()]


def line(page: Any, found: ClassMap, mask: np.ndarray, sight: tuple[float, float, float], colour: tuple[int, int, int]) -> float:  # fmt: skip
    """The share of a region's outline that has a colour on the screen, of what is seen of it."""
    page.mouse.move(2, 2)
    settled(page)
    screen, box = seen(page).astype(int), page.locator("#canvas").bounding_box()
    covered = [page.locator(name).bounding_box() for name in ("#overview", "#bar", "#said")]
    x, y, zoom = sight
    step, first = (np.array([float(pair[1]), float(pair[0])]) for pair in (found.grid.stride, found.grid.centre0))
    padded, hits, count = np.pad(mask, 1), 0, 0
    for row, col in np.argwhere(padded[1:-1, 1:] != padded[1:-1, :-1]):  # left of cell col there is a side
        place = first + 0.5 + (np.array([col, row]) - [0.5, 0.0]) * step
        left, top = ((place - [x, y]) * zoom + [box["width"] / 2, box["height"] / 2]).tolist()
        if not (8 < left < box["width"] - 8 and 8 < top < box["height"] - 8):
            continue
        left, top = left + box["x"], top + box["y"]
        if any(b and b["x"] - 2 <= left <= b["x"] + b["width"] + 2 and b["y"] - 2 <= top <= b["y"] + b["height"] + 2 for b in covered):  # fmt: skip
            continue
        near = screen[int(top), int(left) - 1 : int(left) + 2]
        hits += bool((np.abs(near - colour).max(axis=1) <= 12).any())
        count += 1
    assert count > 20
    return hits / count


def test_what_is_typed_while_a_verdict_is_being_kept_stays(show: Open, stored: Any, mapped: Mapped) -> None:
    page = shown(show, stored[0], mapped)
    listed(page)
    held: list[Any] = []
    page.route("**/verdicts", lambda route: held.append(route))
    page.keyboard.press("ArrowDown")
    page.wait_for_selector(".verdict input[aria-label=note]")
    page.click(".verdict >> text=Reject")
    page.locator("input[aria-label=note]").press_sequentially("between")
    page.wait_for_function("() => document.activeElement.value === 'between'")
    (route,) = held
    route.continue_()
    page.wait_for_selector("tr.reject[aria-selected=true]")
    assert page.get_attribute(".verdict >> text=Reject", "aria-pressed") == "true"
    settled(page)
    assert page.input_value("input[aria-label=note]") == "between"
    assert page.evaluate("() => document.activeElement.getAttribute('aria-label')") == "note"
    page.unroute("**/verdicts")
    page.fill("input[aria-label='other class']", "plain")
    page.click(".verdict >> text=Relabel")
    page.wait_for_selector("tr.relabel[aria-selected=true]")
    assert page.get_attribute(".verdict >> text=Reject", "aria-pressed") == "false"
    kept = json.loads(Path(f"{stored[0]}.verdicts.geojson").read_text(encoding="utf-8"))["features"]
    assert [(each["properties"]["verdict"], each["properties"]["note"]) for each in kept] == [("relabel", "between")]


def test_regions_are_stepped_through_and_judged_by_keys(show: Open, stored: Any, mapped: Mapped) -> None:
    result, found = stored
    every = sorted(own(found, 1, 0.7), key=lambda each: -each["score"])
    page = shown(show, result, mapped)
    rows = listed(page)
    assert page.locator("#finds [role=status]").inner_text() == f"{len(every)} regions of at least 0.7"
    assert [int(row[3].replace(",", "")) for row in rows] == [each["cells"] for each in every]
    assert [float(row[1]) for row in rows] == pytest.approx([each["score"] for each in every], rel=1e-3)
    assert [float(row[2]) for row in rows] == pytest.approx([each["mean"] for each in every], rel=1e-3)
    assert page.evaluate("() => document.activeElement.className") == "finds"  # the arrow keys step at once
    for key, kind in (("a", "accept"), ("r", "reject")):
        page.keyboard.press("ArrowDown")
        page.keyboard.press(key)
        page.wait_for_selector(f"tr.{kind}[aria-selected=true]")
    path = Path(f"{result}.verdicts.geojson")
    kept = [each["properties"] for each in json.loads(path.read_text(encoding="utf-8"))["features"]]
    assert [(each["row"], each["col"], each["cells"], each["verdict"]) for each in kept] == [
        (each["row"], each["col"], each["cells"], verdict)
        for each, verdict in zip(every, ("accept", "reject"), strict=False)
    ]
    page.wait_for_function(
        f"() => document.querySelector('#point h2').textContent === 'Region of {every[1]['cells']:,} cells'"
    )
    assert page.inner_text(".verdict legend").startswith("Is this region ")
    page.fill("input[aria-label='other class']", "plain")
    page.fill("input[aria-label='note']", "between")
    page.click(".verdict >> text=Relabel")
    page.wait_for_selector("tr.relabel")
    page.reload()
    page.wait_for_selector("#classes button")
    settled(page)
    page.click("#tab-regions")
    page.click("#find")
    listed(page)
    page.wait_for_selector("tr.relabel")
    assert page.locator("tr.accept").count() == page.locator("tr.relabel").count() == 1
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.wait_for_function("() => document.querySelector(\"input[aria-label='note']\")?.value === 'between'")
    row, col = next((r, c) for r, c in np.argwhere(~np.any([each["mask"] for each in every], axis=0)) if r > 40)
    x, y = found.centre(int(row), int(col))
    page.mouse.click(*look(page, x + 0.5, y + 0.5, 12, "1,0.7"))
    page.wait_for_function(f"() => document.querySelector('#point h2').textContent === 'Cell {row}, {col}'")
    assert page.inner_text(".verdict legend").startswith("Is it ")  # a cell again


def test_outlines_are_those_of_the_cells(show: Open, stored: Any, mapped: Mapped) -> None:
    result, found = stored
    every = sorted(own(found, 1, 0.7), key=lambda each: -each["cells"])
    page = shown(show, result, mapped)
    listed(page)
    for region in every[:3]:
        sight = (round(4 * float(np.nonzero(region["mask"])[1].mean()), 1), 200.0, 1.3)
        look(page, *sight, "1,0.7")
        listed(page)
        assert line(page, found, region["mask"], sight, AMBER) > 0.97
    page.click("table.finds th >> text=cells")
    page.wait_for_selector("th[aria-sort=descending] >> text=cells")
    rows = listed(page)
    assert [int(row[3].replace(",", "")) for row in rows] == [each["cells"] for each in every]
    page.focus("table.finds")
    for key, colour in (("a", GREEN), ("r", RED)):
        page.keyboard.press("ArrowDown")
        page.keyboard.press(key)
        page.wait_for_selector(f"tr.{'accept' if key == 'a' else 'reject'}")
        page.wait_for_timeout(300)
        x, y, zoom = (float(part) for part in page.url.partition("#")[2].split(",")[:3])
        mask = every[0 if key == "a" else 1]["mask"]
        rows_, cols = np.nonzero(mask)
        corners = found.centre(rows_.min(), cols.min()), found.centre(rows_.max(), cols.max())
        size = page.locator("#canvas").bounding_box()
        for (across, down), low in zip(corners, (True, False), strict=True):  # all of it is seen
            assert (across > x - size["width"] / 2 / zoom) if low else (across < x + size["width"] / 2 / zoom)
            assert (down > y - size["height"] / 2 / zoom) if low else (down < y + size["height"] / 2 / zoom)
        assert line(page, found, mask, (x, y, zoom), colour) > 0.9
    assert line(page, found, np.roll(every[1]["mask"], 3, axis=1), (x, y, zoom), RED) < 0.5  # what this is measured by


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_list_is_for_everybody(show: Open, stored: Any, mapped: Mapped, scheme: str) -> None:
    page = show(stored[0], image=mapped.image, scheme=scheme, size=(1000, 700))
    look(page, 600, 200, 1, "w,0")
    page.focus("#tab-peaks")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("() => document.activeElement.id") == "tab-regions"
    assert page.get_attribute("#tab-regions", "aria-selected") == "true"
    assert page.get_attribute("#finds", "aria-labelledby") == "tab-regions"
    page.click("#find")
    page.wait_for_selector("text=Choose a class to list its regions.")
    look(page, 600, 200, 1, "2,0.7")
    page.click("#find")
    listed(page)
    page.keyboard.press("ArrowDown")
    page.wait_for_selector("#point >> text=its best cell below")
    assert violations(page) == []
    for name in ("#csv", "#find", "#tab-regions", "table.finds"):
        box = page.locator(name).bounding_box()
        assert box["x"] + box["width"] <= 1001, name
    page.keyboard.press("p")
    page.wait_for_selector("table.finds th >> text=x")
    assert page.get_attribute("#tab-peaks", "aria-selected") == "true"
    assert violations(page) == []
