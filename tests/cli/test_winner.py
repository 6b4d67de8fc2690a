"""A network whose one answer is the winner's number: it is told as a number, and no score."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import zarr
from PIL import Image

import fullconv
from fullconv.errors import BadInput
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


def test_what_needs_scores_is_refused_before_the_work(path: Path, run: Run, tmp_path: Path) -> None:
    """--class 0 listed where the winner's number is 0.5 or more, which is where another class wins."""
    for how, said in (
        (("--class", "0"), "no class has scores of its own"),
        (("--class", "3"), "no class has scores of its own"),
        (("--threshold", "1"), "the winner's number alone"),
        (("--scales", "1,0.8"), "scores are fused"),
    ):
        made = run("map", path, tmp_path / "i.png", "-o", tmp_path / "m", "-p", "raw", *how)
        assert (made.status, said in made.err) == (2, True), (how, made.err)
        assert not (tmp_path / "m").exists()
    for how in (("--keep", "top1"), ("--dtype", "uint8"), ("--dtype", "float16")):
        made = run("map", path, tmp_path / "i.png", "-o", tmp_path / "m.zarr", "-p", "raw", *how)
        assert (made.status, "is stored as it is" in made.err) == (2, True), (how, made.err)
    (tmp_path / "five.txt").write_text("a\nb\nc\nd\ne\n")
    named = run("map", path, tmp_path / "i.png", "-o", tmp_path / "m", "--labels", tmp_path / "five.txt")
    assert (named.status, "which the map holds as a number" in named.err) == (2, True)
    blamed = run("verify", path, tmp_path / "i.png", "-p", "raw", "--cells", 4, "--blame", 2)
    assert (blamed.status, "shares of a difference of scores" in blamed.err) == (2, True)
    assert "difference at most" not in blamed.out, "numbers of classes have no distance"


def test_numbers_in_python(path: Path) -> None:
    found = fullconv.map(fullconv.load(path), PIXELS)
    assert found.labels == ("winner's number",)
    np.testing.assert_array_equal(found.top1, found.scores[0])
    for ask in (lambda: found.peaks(0), lambda: found.peaks(0, 0.5), lambda: found.best):
        with pytest.raises(BadInput, match="winner's number alone"):
            ask()


def test_a_folder_and_its_page_tell_the_numbers(path: Path, run: Run, tmp_path: Path) -> None:
    made = run("run", path, tmp_path / "i.png", "-o", tmp_path / "study", "-p", "raw", "--export", "csv,html")
    assert (made.status, "not written" in made.err) == (0, False), made.err
    counts = np.bincount(fullconv.map(fullconv.load(path), PIXELS).scores[0].astype(int).ravel())
    assert f"'{counts.argmax()}' in {counts.max() / counts.sum():.0%}" in made.err
    with (tmp_path / "study" / "summary.csv").open(newline="") as file:
        assert list(csv.DictReader(file).fieldnames or ())[-1] == "result", "no class has columns"
    page = (tmp_path / "study" / "i.html").read_text(encoding="utf-8").split("<main", 1)[-1]
    assert "winner's number" in page or "winner&#x27;s number" in page
    assert "peak" not in page
    assert "scores lowest" not in page
    refused = run("run", path, tmp_path / "i.png", "-o", tmp_path / "other", "-p", "raw", "--class", "0")
    assert (refused.status, "winner's number alone" in refused.err) == (2, True)


def test_coarser_levels_hold_numbers_that_stand_there(path: Path, tmp_path: Path) -> None:
    """A mean of classes 0 and 4 is class 2, which is nowhere."""
    pixels = np.random.default_rng(5).integers(0, 255, (640, 650, 3), np.uint8)
    stored = fullconv.map_raster(fullconv.load(path), pixels, tmp_path / "x.zarr")
    fine = zarr.open_group(tmp_path / "x.zarr", mode="r")
    whole, coarse = np.asarray(fine["0"])[0], np.asarray(fine["levels/1"])[0]
    assert stored.labels == ("winner's number",)
    rows, cols = coarse.shape
    for row in range(rows):
        for col in range(cols):
            four = whole[2 * row : 2 * row + 2, 2 * col : 2 * col + 2]
            four = four[~np.isnan(four)]
            if not four.size:
                assert np.isnan(coarse[row, col])
                continue
            each, many = np.unique(four, return_counts=True)
            assert many[each == coarse[row, col]] == many.max()
