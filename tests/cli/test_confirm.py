"""``--confirm`` on the command line, and what is said of a confirmed map wherever it goes."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from fullconv.maps.classmap import ClassMap
from tests.cli.conftest import Run
from tests.stream import colours

PROMISE = "with 95 % confidence at least 99 % of the cells have the class that wins their crop"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("confirm")
    colours.network(made / "colours.onnx")
    Image.fromarray(colours.patches()).save(made / "patches.png")
    return made


@pytest.mark.long
def test_a_store_and_what_becomes_of_it(folder: Path, run: Run, tmp_path: Path) -> None:
    out = tmp_path / "x.zarr"
    made = run(
        "map",
        folder / "colours.onnx",
        folder / "patches.png",
        "-o",
        out,
        "-p",
        "unit",
        "--confirm",
        "99%",
        "--class",
        "1",
    )
    assert made.status == 0, made.err
    assert f"note: {PROMISE}: about " in made.err
    found = ClassMap.load(out)
    own = np.asarray(found.confirmed)
    said = f"{PROMISE} ({own.sum()} cells by crops; from 299 random crops, "
    assert said in made.out
    assert said in run("info", out).out
    told = json.loads(run("info", out, "--json").out)
    assert told["statement"] == found.statement.to_json()
    assert run("export", out, "-o", tmp_path / "cells.csv").status == 0
    with (tmp_path / "cells.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == own.size
    assert all((row["confirmed"] == "True") == own[int(row["row"]), int(row["col"])] for row in rows)
    assert run("export", out, "-o", tmp_path / "peaks.geojson", "--what", "peaks", "--class", "1").status == 0
    peaks = json.loads((tmp_path / "peaks.geojson").read_text())["features"]
    each = [feature["properties"]["measurements"] for feature in peaks]
    assert len(each) > 3
    assert all(about["confirmed"] == own[about["row"], about["col"]] for about in each)
    assert run("export", out, "-o", tmp_path / "x.tif").status == 0
    with rasterio.open(tmp_path / "x.tif") as raster:
        assert said in raster.tags()["CONFIRMED"]
    assert run("export", out, "-o", tmp_path / "x.svg").status == 0
    assert "at least 99 %" in (tmp_path / "x.svg").read_text()
    assert PROMISE in found._repr_html_()
    assert PROMISE in found.to_xarray().attrs["confirmed"]


def test_detections_in_memory(folder: Path, run: Run, tmp_path: Path) -> None:
    line = [
        "map",
        folder / "colours.onnx",
        folder / "patches.png",
        "-o",
        tmp_path / "x.npz",
        "-p",
        "unit",
        "--json",
        "--threshold",
        "0.9",
    ]
    made = run(*line, "--confirm", "detections:0.95", "--class", "2")
    assert made.status == 0, made.err
    (about,) = json.loads(made.out)["maps"]
    own = ClassMap.load(tmp_path / "x.npz").confirmed
    assert about["confirmed"]["labels"] == ["2"]
    assert about["confirmed"]["cells"] == own.sum()
    assert len(about["found"]) > 3
    assert all(own[peak["row"], peak["col"]] for peak in about["found"])


def test_what_cannot_be_is_said(folder: Path, run: Run, tmp_path: Path) -> None:
    line = [
        "map",
        folder / "colours.onnx",
        folder / "patches.png",
        "-o",
        tmp_path / "x.zarr",
        "-p",
        "unit",
        "--confirm",
    ]
    for words, told in (
        (
            ["sure"],
            "confirm 'sure': a level (0.99), detections or reported, or one of these with a level (detections:0.95)",
        ),
        (["detections"], "of which class? Name it with --class"),
        (["0.9999"], "0.9999 cannot be certified on 2,600 cells: that takes 29,956 random crops"),
        (["0.99", "--scales", "1,0.5"], "--scales maps images that fit in memory"),
    ):
        failed = run(*line, *words)
        assert failed.status == 2
        assert told in " ".join(failed.err.split())
    dry = run(*line, "0.99", "--dry-run")
    assert dry.status == 0
    assert "cells that the map is not sure enough of are run as crops" in dry.out
    assert list(tmp_path.iterdir()) == []
