"""The page of a study: its numbers are its table's, its links lead to its files, and what failed comes first."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from urllib.parse import unquote

import pytest
import tifffile

import fullconv
from fullconv.errors import BadInput
from tests.cli.conftest import Run
from tests.cli.conftest import run as run  # a fixture
from tests.reports.conftest import Mapped
from tests.reports.pages import Element, read, section, table
from tests.stream import runs


@pytest.fixture(scope="module")
def study(mapped: Mapped, tmp_path_factory: pytest.TempPathFactory) -> fullconv.Study:
    folder = tmp_path_factory.mktemp("study")
    for name, (height, width) in {"a <b> & 'c'": (120, 160), "two": (90, 200)}.items():
        tifffile.imwrite(
            folder / f"{name}.tif", mapped.pixels[:height, :width], resolution=(20_000, 20_000), resolutionunit=3
        )
    (folder / "bad.tif").write_bytes(b"II*\0garbage")
    images = [folder / "bad.tif", folder / "a <b> & 'c'.tif", folder / "two.tif"]
    return fullconv.run(
        runs.digits(),
        images,
        folder / "results",
        classes="7,3",
        threshold=0.9,
        exports="geojson,html",
        preprocess="unit",
    )


def of(path: Path) -> Element:
    return read(path.read_text(encoding="utf-8"))


def test_it_is_written_with_a_page_of_each_image(study: fullconv.Study) -> None:
    folder = study.summary.parent
    page = of(folder / "summary.html")
    assert "1 of 3 images have no map" in page.all("header")[0].text
    (failed,) = table(page, "Images that failed")
    assert failed["image"] == "bad.tif"
    assert "cannot be opened as a TIFF" in failed["reason"]
    rows = {row["image"]: row for row in table(page, "Every image")}
    with study.summary.open(newline="", encoding="utf-8") as file:
        told = {Path(row["image"]).name: row for row in csv.DictReader(file)}
    assert set(rows) == {"a <b> & 'c'.tif", "two.tif"}
    for name, row in rows.items():
        assert int(row["cells"].replace(",", "")) == int(told[name]["answered"])
        assert int(row["peaks"]) == int(told[name]["7 peaks"]) + int(told[name]["3 peaks"])
        assert row["files"] == "zarr, png, geojson, html"
        own = of(folder / f"{Path(name).stem}.html")
        assert {each.text for each in section(own, "What the classes look like").all("h3")} == {"7", "3"}
    totals = {row["class"]: row for row in table(page, "Every class")}
    for label in ("7", "3"):
        cells = sum(int(told[name][f"{label} cells"]) for name in rows)
        assert int(totals[label]["cells"]) == cells
        assert float(totals[label]["area (mm²)"]) == pytest.approx(cells * 16 * 0.25 / 1e6, rel=1e-3)
    assert len(section(page, "Images").all("img")) == 2


def test_links_lead_to_the_files_from_wherever_the_page_lies(study: fullconv.Study, tmp_path: Path) -> None:
    folder = tmp_path / "moved"
    shutil.copytree(study.summary.parent, folder)  # it is read where it lies, not where it was made
    for out in (folder / "page.html", tmp_path / "page.html"):
        links = [each.attributes["href"] for each in of(fullconv.report(folder, out)).all("a")]
        assert len(links) > 8
        assert all(link.startswith("./") for link in links)
        assert all((out.parent / unquote(link)).exists() for link in links)
        assert {(out.parent / unquote(link)).resolve().parent for link in links} == {folder.resolve()}


def test_what_a_stranger_wrote_is_text_or_refused(study: fullconv.Study, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    shutil.copytree(study.summary.parent, folder)
    kept = json.loads((folder / "two.json").read_text())
    for key, value in {
        "width": "<script>",
        "agreement": ["x", 0, 1],
        "classes": [{"label": 3}],
        "seconds": None,
        "files": 3,
    }.items():
        (folder / "two.json").write_text(json.dumps(kept | {key: value}))
        page = of(fullconv.report(folder, tmp_path / "page.html"))
        assert {row["image"] for row in table(page, "Images that failed")} == {"bad.tif", "two.tif"}, key
    (folder / "two.json").write_text(
        json.dumps(kept | {"files": ["two.zarr", "../../../etc/passwd", "javascript:alert(1)"], "winner": "<script>x"})
    )
    text = fullconv.report(folder, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<script" not in text
    assert "javascript:" not in "".join(each.attributes["href"] for each in read(text).all("a"))
    assert "etc" not in "".join(each.attributes["href"] for each in read(text).all("a"))
    (folder / "summary.csv").write_text("a,b\n1,2\n")
    with pytest.raises(BadInput, match="no table of a study"):
        fullconv.report(folder, tmp_path / "page.html")


def test_the_command_line(mapped: Mapped, study: fullconv.Study, tmp_path: Path, run: Run) -> None:
    made = run(
        "report",
        mapped.result,
        "--image",
        mapped.image,
        "--class",
        "7",
        "--threshold",
        "0.9",
        "--title",
        "T & <b>",
        "-o",
        tmp_path / "p.html",
    )
    assert (made.status, made.out.partition(" (")[0]) == (0, f"wrote {tmp_path / 'p.html'}")
    page = of(tmp_path / "p.html")
    assert page.all("h1")[0].text == "T & <b>"
    assert "cells from 0.9" in table(page, "Classes")[0]
    assert run("report", study.summary.parent, "-o", tmp_path / "s.html").status == 0
    refused = run("report", study.summary.parent, "--class", "7", "-o", tmp_path / "s.html")
    assert refused.status == 2
    assert "--class (classes=) is of one map" in refused.err
    assert run("report", tmp_path, "-o", tmp_path / "s.html").status == 2
