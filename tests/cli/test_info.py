"""``fullconv info``: what a result holds, counted against its scores."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

import fullconv
from fullconv.maps.classmap import ClassMap
from tests.cli.conftest import Run
from tests.stream import runs


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("info")
    pixels = np.random.default_rng(0).integers(0, 256, (300, 400), np.uint8)
    tifffile.imwrite(folder / "x.tif", pixels, resolution=(20_000, 20_000), resolutionunit=3)  # 0.5 µm
    fullconv.map_raster(runs.digits(), folder / "x.tif", folder / "x.zarr", preprocess="unit")
    return folder / "x.zarr"


def test_a_store_is_counted(slide: Path, run: Run) -> None:
    found = run("info", slide, "--json")
    told = json.loads(found.out)
    stored = ClassMap.load(slide)
    winners = np.asarray(stored.scores).argmax(axis=0)
    counts = np.bincount(winners.ravel(), minlength=11)
    assert told["finished"] is True
    assert {share["label"]: share["cells"] for share in told["classes"]} == dict(
        zip(stored.labels, counts.tolist(), strict=True)
    )
    assert told["cell_area"] == 4 * 4 * 0.25
    text = run("info", slide).out
    assert "finished, 1 tile\n" in text
    assert "of x.tif, 400×300 px, by digits.prototxt" in text
    assert "a pixel is 0.5 × 0.5 µm" in text
    assert "area (µm²)" in text


def test_a_store_that_is_not_finished_says_so(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    image = runs.picture(tmp_path / "x.npy", 900, 700)
    image_map = tmp_path / "x.zarr"

    def stop(event: str, what: object) -> None:
        if event == "tile":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fullconv.map_raster(runs.digits(), image, image_map, preprocess="unit", report=stop)
    found = run("info", image_map)
    assert "not finished, 1 of 1 tiles; the command that made it goes on" in found.out


def test_a_file_and_what_is_none(slide: Path, tmp_path: Path, run: Run) -> None:
    pixels = np.full((100, 120), np.nan, np.float32)
    pixels[:, :70] = 200
    fullconv.map(runs.digits(), pixels, preprocess="unit").save(tmp_path / "x.npz")
    found = run("info", tmp_path / "x.npz")
    assert found.out.startswith(f"{tmp_path / 'x.npz'}: whole")
    assert "have no answer" in found.out
    for data in (b"none", b"PK\x03\x04none"):
        (tmp_path / "y.npz").write_bytes(data)
        wrong = run("info", tmp_path / "y.npz")
        assert wrong.status == 2
        assert "allow_pickle" not in wrong.err  # no library's advice
    assert run("info", tmp_path / "none.zarr").status == 2


def test_areas_are_a_table(slide: Path, tmp_path: Path, run: Run) -> None:
    assert run("export", slide, "-o", tmp_path / "areas.csv", "--what", "areas").status == 0
    rows = [line.split(",") for line in (tmp_path / "areas.csv").read_text().splitlines()]
    assert rows[0] == ["image", "class", "label", "cells", "share", "area_um2", "area_mm2", "highest"]
    scores = np.asarray(ClassMap.load(slide).scores)
    winners = scores.argmax(axis=0)
    for i, (image, number, label, cells, share, area, large, highest) in enumerate(rows[1:]):
        assert image == "x.tif"
        assert (number, label) == (str(i), str(i))
        assert int(cells) == (winners == i).sum()
        assert float(share) == pytest.approx((winners == i).mean(), rel=1e-6)
        assert float(area) == int(cells) * 4.0
        assert float(large) == pytest.approx(int(cells) * 4e-6)
        assert float(highest) == pytest.approx(scores[i].max(), rel=1e-6)
    assert "areas go to .csv" in run("export", slide, "-o", tmp_path / "x.geojson", "--what", "areas").err


@pytest.mark.parametrize("command", [["info"], ["report", "-o", "x.html"], ["export", "-o", "x.csv"]])
def test_a_folder_of_something_else_is_told_in_our_words(command: list[str], run: Run, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    found = run(command[0], tmp_path / "notes", *command[1:])
    assert found.status == 2
    assert found.err.strip().endswith(
        "notes: is not a result of fullconv: it holds no map (.zarr), nor a study of fullconv run (summary.csv)"
    )


@pytest.mark.parametrize("command", [["info"], ["export", "-o", "x.csv"]])
def test_a_folder_of_maps_is_told_as_one(command: list[str], run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    for name in ("b.zarr", "a.zarr", "summary.csv"):
        (folder / name).touch()
    found = run(command[0], folder, *command[1:])
    assert found.status == 2
    assert f"study: is not a result of fullconv: it is a folder of them; give one, {folder / 'a.zarr'} say" in found.err
