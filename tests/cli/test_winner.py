"""A network whose one answer is the winner's number: it is told as a number, and no score."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fullconv
from fullconv.maps.mapping import map_image
from fullconv.render.overlay import Look
from fullconv.render.pictured import page_of
from tests.cli.conftest import Run
from tests.formats.onnx.nets import write
from tests.formats.onnx.test_winner import BODY, NUMBERS, PIXELS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    Image.fromarray(PIXELS).save(tmp_path / "i.png")
    return write(tmp_path / "net.onnx", BODY, NUMBERS, outputs="int64[1] z")


def test_numbers_are_told_as_numbers(path: Path, run: Run, tmp_path: Path) -> None:
    """Not as the scores of one class that wins everywhere."""
    made = run("map", path, tmp_path / "i.png", "-o", tmp_path / "maps", "-p", "raw")
    numbers = np.asarray(map_image(fullconv.load(path), PIXELS).scores)[0].astype(int)
    counts = np.bincount(numbers.ravel())
    most = int(counts.argmax())
    assert f"the winner's number, of {numbers.size} cells: {most} in {counts[most] / numbers.size:.1%}" in made.out
    assert "strongest" not in made.out
    told = json.loads(run("info", tmp_path / "maps" / "i.npz", "--json").out)
    shares = {int(each["label"]): each["cells"] for each in told["classes"]}
    assert shares == {i: int(n) for i, n in enumerate(counts) if n}, (
        "classes are the numbers, not the one channel that holds them"
    )
    found = fullconv.map(fullconv.load(path), PIXELS)
    drawn = [page_of(found, name, None, Look()).image.tobytes() for name in (None, 0)]
    assert drawn[0] == drawn[1], "the picture shows the numbers"


def test_what_leaves_holds_the_numbers(path: Path, run: Run, tmp_path: Path) -> None:
    assert run("map", path, tmp_path / "i.png", "-o", tmp_path / "maps", "-p", "raw").status == 0
    result, numbers = tmp_path / "maps" / "i.npz", fullconv.map(fullconv.load(path), PIXELS).scores[0].astype(int)
    assert run("export", result, "-o", tmp_path / "cells.csv").status == 0
    with (tmp_path / "cells.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(int(row["class"]), row["label"]) for row in rows] == [(n, str(n)) for n in numbers.ravel().tolist()]
    for what, name in (("winners", "a.tif"), ("winners", "a.geojson"), ("areas", "a.csv"), ("peaks", "p.csv")):
        refused = run("export", result, "-o", tmp_path / name, "--what", what)
        assert refused.status == 2
        assert "gives the winner's number alone" in refused.err
    compared = run("compare", result, result)
    assert (compared.status, "holds the winner's number, not scores" in compared.err) == (2, True)
    ruled = run("map", path, tmp_path / "i.png", "-o", tmp_path / "again", "-p", "raw", "--fail-if", "share(0) > 0.5")
    assert (ruled.status, "gives the winner's number alone" in ruled.err) == (2, True)


def test_a_table_of_images_says_the_number_that_stands_most(path: Path, run: Run, tmp_path: Path) -> None:
    other = tmp_path / "j.png"
    Image.fromarray(PIXELS[::-1].copy()).save(other)
    table = tmp_path / "images.csv"
    assert (
        run("map", path, tmp_path / "i.png", other, "-o", tmp_path / "m", "-p", "raw", "--summary", table).status == 0
    )
    with table.open(newline="") as file:
        said = [row["winner"] for row in csv.DictReader(file)]
    model = fullconv.load(path)
    for number, pixels in zip(said, (PIXELS, PIXELS[::-1]), strict=True):
        counts = np.bincount(fullconv.map(model, pixels).scores[0].astype(int).ravel())
        assert counts[int(number)] == counts.max()
