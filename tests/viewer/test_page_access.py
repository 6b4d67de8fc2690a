"""The page for everybody: no violation that axe knows of on any of its panels, light and dark, large and small; all of it by keys, and by two fingers."""

from __future__ import annotations

from pathlib import Path

import pytest

import fullconv
from tests.viewer.browsing import Open, look, settled, violations
from tests.viewer.conftest import Mapped

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def other(mapped: Mapped, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests import helpers as h

    path = tmp_path_factory.mktemp("other") / "other.zarr"
    fullconv.map_raster(h.model(h.LENET, seed=4), mapped.image, path, labels=["plain", "b", "c"])
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_panel_has_a_violation(show: Open, mapped: Mapped, other: Path, scheme: str) -> None:
    page = show(mapped.result, other, image=mapped.image, model=fullconv.load(*mapped.net), scheme=scheme)
    found = {"first": violations(page)}
    page.mouse.click(*look(page, 500, 200, 4, "0,0"))
    page.wait_for_selector("img.crop")
    page.click("#ask")
    page.wait_for_selector("#answer")
    page.click("#why")
    page.wait_for_selector("#why:not([disabled])")
    page.click("#find")
    page.wait_for_selector("#finds table")
    found["cell and peaks"] = violations(page)
    page.fill("#search", "no such class")
    found["nothing found"] = violations(page)
    for key in ("?", "s"):
        page.focus("#canvas")
        page.keyboard.press(key)
        page.wait_for_selector("dialog[open]")
        found[f"dialog {key}"] = violations(page)
        page.keyboard.press("Escape")
    for how in ("beside1", "less1"):
        page.select_option("#compare", how)
        page.wait_for_function(f"() => location.hash.endsWith('{how}')")
        settled(page)
        found[how] = violations(page)
    assert not any(found.values()), found


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_study_has_none(show: Open, mapped: Mapped, scheme: str, tmp_path: Path) -> None:
    (tmp_path / "own.zarr").symlink_to(mapped.result)
    (tmp_path / "summary.csv").write_text("image,status,error,result\nslide.tif,mapped,,own.zarr\nx.tif,failed,no such file,\n", encoding="utf-8")  # fmt: skip
    page = show(tmp_path, scheme=scheme)
    assert page.locator("#study tbody tr").count() == 2
    assert violations(page) == []


@pytest.mark.parametrize(("size", "ratio"), [((768, 1024), 1), ((853, 533), 1.5)])
def test_small_and_enlarged_screens_hold_all(show: Open, mapped: Mapped, size: tuple[int, int], ratio: float) -> None:
    page = show(mapped.result, image=mapped.image, size=size, ratio=ratio)
    assert page.evaluate(
        "() => document.documentElement.scrollWidth <= innerWidth && document.documentElement.scrollHeight <= innerHeight"
    )
    for name in ("#canvas", "#classes", "#threshold", "#find", "#help", "#overview", "#bar"):
        box = page.locator(name).bounding_box()
        assert box, name
        assert box["x"] >= 0, name
        assert box["x"] + box["width"] <= size[0] + 1, name
    assert page.locator("#canvas").bounding_box()["height"] > 200
    assert violations(page) == []


def test_all_is_done_by_keys(show: Open, mapped: Mapped) -> None:
    page = show(mapped.result, image=mapped.image)
    look(page, 500, 200, 4)
    page.focus("#canvas")
    page.keyboard.press("Enter")
    page.wait_for_selector("img.crop")
    assert "cell" in page.inner_text("#live")
    page.focus("#classes [tabindex='0']")
    page.keyboard.press("ArrowDown")
    page.wait_for_function("() => location.hash.split(',')[3] !== 'w'")
    assert page.evaluate("() => document.activeElement.getAttribute('role')") == "option"  # and stays there
    assert page.locator("#classes [tabindex='0']").count() == 1
    page.focus("#threshold")
    page.keyboard.press("End")
    assert float(page.input_value("#threshold-number")) == 1
    page.fill("#threshold-number", "0.25")
    page.keyboard.press("Enter")
    page.wait_for_function("() => location.hash.split(',')[4] === '0.25'")
    page.focus("#canvas")
    page.keyboard.press("r")
    page.wait_for_function("() => location.hash.split(',')[6] === '15'")
    page.keyboard.press("Shift+R")
    page.wait_for_function("() => location.hash.split(',').length === 5")
    page.keyboard.press("Escape")
    page.wait_for_selector("#point >> text=Point at a cell")


def test_two_fingers_zoom_about_their_middle(show: Open, mapped: Mapped) -> None:
    page = show(mapped.result, image=mapped.image, touch=True)
    middle = look(page, 600, 200, 2, "w,0,0,90")
    client = page.context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        told = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": told})

    x, y = middle[0] + 60, middle[1] - 40
    touch("touchStart", (x - 50, y), (x + 50, y))
    for wide in (60, 80, 100):
        touch("touchMove", (x - wide, y), (x + wide, y))
    touch("touchEnd")
    page.wait_for_function("() => Math.abs(+location.hash.split(',')[2] - 4) < 0.01")
    found = [float(part) for part in page.url.partition("#")[2].split(",")[:2]]
    # Turned by 90°: right on the screen is up in the image, and down is right. The place between the fingers stays.
    held = 600 + (-40) / 2, 200 - 60 / 2
    assert abs(found[0] - (held[0] - (-40) / 4)) < 0.3
    assert abs(found[1] - (held[1] + 60 / 4)) < 0.3
