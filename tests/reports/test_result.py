"""The page of a result says what the map says: counted, cut and compared here by other ways."""

from __future__ import annotations

import itertools
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import fullconv
from fullconv.errors import BadInput
from fullconv.geometry.grid import Grid
from fullconv.geometry.place import Place
from fullconv.maps.classmap import ClassMap
from fullconv.reports import survey
from fullconv.results.local import Local
from fullconv.results.record import Record
from fullconv.results.store import Store
from tests.reports.conftest import Mapped
from tests.reports.pages import Element, pixels, read, section, table
from tests.stream import runs


def page(result: Any, out: Path, **how: Any) -> Element:
    return read(fullconv.report(result, out / "page.html", **how).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def whole(mapped: Mapped, tmp_path_factory: pytest.TempPathFactory) -> Element:
    return page(mapped.result, tmp_path_factory.mktemp("page"), image=mapped.image, model=runs.digits(), cells=30)


def test_classes_are_counted_as_by_hand(mapped: Mapped, whole: Element) -> None:
    found = mapped.found
    scores = np.asarray(found.scores)
    rows = table(whole, "Classes")
    assert len(rows) == 11
    for row in rows:
        i = found.labels.index(row["class"])
        assert int(row["cells"].replace(",", "")) == (scores.argmax(axis=0) == i).sum()
        assert int(row["cells from 0.5"].replace(",", "")) == (scores[i] >= 0.5).sum()
        assert float(row["area (µm²)"].replace(",", "")) == pytest.approx(
            (scores.argmax(axis=0) == i).sum() * 4 * 4 * 0.25, rel=1e-3
        )
        assert float(row["highest probability"]) == pytest.approx(scores[i].max(), rel=1e-3)
        assert row["peaks"] in ("", f"{len(found.peaks(i, 0.5))}")
    shown = [row for row in rows if row["peaks"]]
    assert len(shown) == 6
    assert rows[0] not in shown


def test_crops_are_the_images_own_pixels(mapped: Mapped, whole: Element) -> None:
    found = mapped.found
    pictures = [each for each in whole.all("img") if each.attributes["alt"].startswith("Crop ")]
    assert len(pictures) > 12
    best = {label: iter(found.peaks(label, 0.5)) for label in found.labels}
    for each in pictures:
        label = each.attributes["alt"].partition(": ")[2].partition(",")[0]
        x0, y0, x1, y1 = map(int, next(best[label]).box)
        np.testing.assert_array_equal(pixels(each.attributes["src"])[..., 0], mapped.pixels[y0:y1, x0:x1])


def test_it_says_how_far_the_map_is_its_crops_and_how_it_was_run(whole: Element, mapped: Mapped) -> None:
    told = section(whole, "Does the map say what the classifier says?").text
    assert "Exact: every cell equals its crop's answer" in told
    assert "of 30 random cells 30 have the class that wins their crop" in told
    run = section(whole, "How it was run").text
    grid = mapped.found.grid
    for each in (
        f"{grid.rows:,} × {grid.cols:,}",
        "a pixel is 0.5 × 0.5 µm",
        "420 × 300 px",
        "fp32",
        "onnxruntime",
        f"fullconv {fullconv.__version__}",
    ):
        assert each in run
    network = section(whole, "The network").text
    assert "digits.prototxt" in network
    assert str(mapped.found.record.request["model"]["fingerprint"]) in network
    cell = section(whole, "One cell").all("svg")[0]
    boxes = {
        (each.attributes["x"], each.attributes["y"], each.attributes["width"])
        for each in cell.all("rect", stroke="#56b4e9")
    }
    assert len(boxes) == 1
    assert boxes.pop()[2] == "32"


def test_every_picture_and_table_says_what_it_is(whole: Element) -> None:
    assert all(each.attributes.get("alt") for each in whole.all("img"))
    assert all(each.attributes.get("aria-label") or each.attributes.get("aria-hidden") for each in whole.all("svg"))
    levels = [int(each.kind[1]) for each in whole.every() if each.kind in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert all(each.all("caption") for each in whole.all("table", class_="listed"))
    ids = [each.attributes["id"] for each in whole.every() if "id" in each.attributes]
    assert len(ids) == len(set(ids))


def unfinished(mapped: Mapped, out: Path, **changes: Any) -> Path:
    record: Record = mapped.found.record  # type: ignore[assignment]
    Store.create(Local(str(out)), replace(record, finished=False, **changes))
    return out


def test_a_map_that_is_not_whole_says_so_first(mapped: Mapped, tmp_path: Path) -> None:
    running = page(unfinished(mapped, tmp_path / "a.zarr"), tmp_path, classes="7")
    warning = running.all("header")[0].all("p", class_="warning")[0].text
    assert warning.startswith("This map is not finished: 0 of 1 tiles are done")
    shutil.copytree(mapped.result, tmp_path / "b.zarr")
    store = Store.open(Local(str(tmp_path / "b.zarr")))
    (tile,) = store.record.tiles
    failed = replace(mapped.found, record=replace(store.record, failed=((tile.name, "<b>damaged"),)))
    found = page(failed, tmp_path, classes="7")
    assert "1 of 1 tiles were left out" in found.all("header")[0].text
    assert "<b>damaged" in section(found, "How it was run").text


def test_another_image_or_network_is_told(mapped: Mapped, tmp_path: Path) -> None:
    other = tmp_path / "other.tif"
    tifffile.imwrite(other, mapped.pixels[::-1].copy())
    assert (
        "not the file that this map was made of"
        in page(mapped.result, tmp_path, image=other, classes="7").all("header")[0].text
    )
    assert "not the file" not in page(mapped.result, tmp_path, image=mapped.image, classes="7").all("header")[0].text
    tifffile.imwrite(other, mapped.pixels[:200])
    with pytest.raises(BadInput, match="has 420×200 px"):
        page(mapped.result, tmp_path, image=other)
    model = runs.digits()
    model.native.weights["ip2"][0][:] *= 2
    with pytest.raises(BadInput, match="is not the network that made this map"):
        page(mapped.result, tmp_path, image=mapped.image, model=model)
    mapped.found.save(tmp_path / "x.npz")
    with pytest.raises(BadInput, match="only a map in a store"):
        page(tmp_path / "x.npz", tmp_path, image=mapped.image, model=runs.digits())


def test_without_the_image_peaks_are_listed(mapped: Mapped, tmp_path: Path) -> None:
    found = page(mapped.result, tmp_path, classes="7")
    assert not [each for each in found.all("img") if each.attributes["alt"].startswith("Crop")]
    best = mapped.found.peaks("7", 0.5)[0]
    assert f"{best.score:.4g}, crop {', '.join(f'{value:g}' for value in best.box)}" in found.text
    assert "no network was given" in found.text


def test_a_map_in_memory_and_one_of_logits(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    image = rng.integers(0, 256, (90, 120), np.uint8)
    found = fullconv.map(runs.digits(), image, preprocess="unit")
    made = read(found.report(tmp_path / "memory.html").read_text())
    assert [each for each in made.all("img") if each.attributes["alt"].startswith("Crop")]
    logits = replace(found, scores=np.log(found.scores + 1e-9) * 3, score_kind="logits", place=Place())
    rows = table(page(logits, tmp_path, threshold=None), "Classes")
    assert "highest logit" in rows[0]
    assert not [title for title in rows[0] if title.startswith("cells from")]
    with pytest.raises(BadInput, match="logits"):
        page(logits, tmp_path, threshold=0.5)
    features = replace(found, score_kind="features")
    made = page(features, tmp_path, classes="7")
    assert "principal components" in section(made, "Overview").text
    assert "wins" not in made.text
    assert [each.text for each in section(made, "Channels").all("h3")] == ["7"]
    plain = page(features, tmp_path)
    assert "peaks" not in plain.text
    assert "fullconv verify" not in section(plain, "What does a cell equal?").text  # which refuses a layer's features
    empty = replace(found, scores=np.full_like(found.scores, np.nan))
    assert "0 cells" in page(empty, tmp_path).all("header")[0].text


def test_a_page_is_bounded(tmp_path: Path) -> None:
    """A thousand classes with long names that all win, over an image that does not compress."""
    rng = np.random.default_rng(0)
    side = Fraction(400)
    grid = Grid(20, 25, (Fraction(25), Fraction(20)), (side, side), (side / 2, side / 2), (side, side), (900, 900))
    labels = tuple(f"{i} " + "<&'\"" * 100 for i in range(1000))
    scores = rng.random((1000, 20, 25), np.float32)
    noise = rng.integers(0, 256, (900, 900, 3), np.uint8)
    found = ClassMap(scores, grid, labels, image=noise, score_kind="probabilities")
    made = found.report(tmp_path / "page.html", classes=list(range(6)))
    assert 700_000 < made.stat().st_size < 5_000_000
    assert len(table(read(made.read_text()), "Classes")) == 500


def test_many_scores_are_counted_on_a_coarser_level(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = tmp_path / "image.npy"
    np.save(image, np.random.default_rng(1).integers(0, 256, (1200, 900), np.uint8))
    found = fullconv.map_raster(runs.digits(), image, tmp_path / "x.zarr", preprocess="unit")
    monkeypatch.setattr(survey, "_MOST", 11 * 180 * 180)
    made = page(tmp_path / "x.zarr", tmp_path, image=image, classes="1")
    assert "Counted on means of 2 × 2 cells" in section(made, "Classes").text
    assert ": about " in made.all("header")[0].text
    assert "wins about " in section(made, "What the classes look like").text
    scores = np.asarray(found.scores)
    for caption in section(made, "What the classes look like").all("figcaption"):
        if "at " in caption.text and "scores" in caption.text:
            score = float(caption.text.partition("scores ")[2].partition("at")[0])
            x, y = (float(part.replace(",", "")) for part in caption.text.rpartition("at ")[2].split(", "))
            row, col = found.grid.nearest(x, y)
            assert score == pytest.approx(scores[found.class_index("1"), row, col], rel=1e-3)


def test_what_is_written_is_a_page_and_ours(mapped: Mapped, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"name it page\.html"):
        fullconv.report(mapped.result, tmp_path / "page.pdf")
    theirs = tmp_path / "page.html"
    theirs.write_text("theirs")
    with pytest.raises(BadInput, match="did not write it"):
        fullconv.report(mapped.result, theirs)
    fullconv.report(mapped.result, theirs, classes="7", overwrite=True)
    fullconv.report(mapped.result, theirs, classes="7")  # its own may be written again
    with pytest.raises(BadInput, match="never written into"):
        fullconv.report(mapped.result, mapped.result / "page.html")
