"""A network of one class, which wins over no other: whatever speaks of the cells that a class wins speaks of those on its side of a threshold."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fullconv
from fullconv.errors import BadInput
from fullconv.maps.rules import Rule
from fullconv.render.overlay import Look
from fullconv.render.pictured import page_of
from tests.cli.conftest import Run
from tests.stream import colours

PIXELS = colours.patches(120, 140)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("one")
    Image.fromarray(PIXELS).save(made / "i.png")
    colours.network(made / "one.onnx", "Sigmoid", 1)
    colours.network(made / "logits.onnx", "", 1)
    return made


@pytest.fixture(scope="module")
def scores(folder: Path) -> np.ndarray:
    found = np.asarray(fullconv.map(fullconv.load(folder / "one.onnx"), PIXELS, preprocess="unit").scores[0])
    assert 0.1 < (found >= 0.5).mean() < 0.9
    return found


@pytest.fixture
def result(folder: Path, run: Run, tmp_path: Path) -> Path:
    assert run("map", folder / "one.onnx", folder / "i.png", "-o", tmp_path / "maps", "-p", "unit").status == 0
    return tmp_path / "maps" / "i.npz"


def test_it_is_told_and_drawn_by_its_scores(folder: Path, scores: np.ndarray, run: Run, tmp_path: Path) -> None:
    made = run("map", folder / "one.onnx", folder / "i.png", "-o", tmp_path / "maps", "-p", "unit")
    assert f"in {scores.size} cells; {(scores >= 0.5).mean():.1%} of them score 0.5 or more" in made.out
    assert "winning" not in made.out
    assert "cells of 1 class," in made.out
    found = fullconv.map(fullconv.load(folder / "one.onnx"), PIXELS, preprocess="unit")
    drawn = [page_of(found, name, None, Look()).image.tobytes() for name in (None, 0)]
    assert drawn[0] == drawn[1], "a uniform picture of one winner says nothing"


@pytest.mark.parametrize("keep", ["all", "top1"])
def test_a_result_counts_the_cells_of_its_side(
    keep: str, folder: Path, scores: np.ndarray, run: Run, tmp_path: Path
) -> None:
    out = tmp_path / "x.zarr"
    assert run("map", folder / "one.onnx", folder / "i.png", "-o", out, "-p", "unit", "--keep", keep).status == 0
    told = json.loads(run("info", out, "--json").out)
    assert (told["classes"][0]["cells"], told["left_out"], told["side"]) == ((scores >= 0.5).sum(), 0, 0.5)
    assert f"{(scores >= 0.5).mean():.1%}" in run("info", out).out
    assert run("report", out, "-o", tmp_path / "r.html").status == 0
    assert "wins" not in (tmp_path / "r.html").read_text(encoding="utf-8").split("<main", 1)[-1]


def test_areas_are_of_these_cells(result: Path, scores: np.ndarray, run: Run, tmp_path: Path) -> None:
    assert run("export", result, "-o", tmp_path / "a.csv", "--what", "areas").status == 0
    with (tmp_path / "a.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert int(row["cells"]) == (scores >= 0.5).sum()
    assert float(row["share"]) == pytest.approx((scores >= 0.5).mean(), rel=1e-6)
    refused = run("export", result, "-o", tmp_path / "w.geojson", "--what", "winners")
    assert (refused.status, "one class wins them all; regions" in refused.err) == (2, True)


@pytest.mark.parametrize(("more", "status"), [(-0.01, 3), (0.01, 0)])
def test_rules_are_of_these_cells(
    more: float, status: int, folder: Path, scores: np.ndarray, run: Run, tmp_path: Path
) -> None:
    """A share of all cells would hold whatever the image shows."""
    share = (scores >= 0.5).mean()
    for rule in (f"share(0) > {share + more:.6f}", f"area(0) > {(share + more) * scores.size:.2f} cells"):
        made = run(
            "map", folder / "one.onnx", folder / "i.png", "-o", tmp_path / "m", "-p", "unit", "--fail-if", rule
        )  # fmt: skip
        assert made.status == status, made.err
        assert "scores 0.5 or more in" in made.out + made.err


def test_two_maps_are_compared_by_their_sides(result: Path, folder: Path, run: Run, tmp_path: Path) -> None:
    first = fullconv.map(fullconv.load(folder / "one.onnx"), PIXELS, preprocess="unit")
    second = fullconv.map(fullconv.load(folder / "one.onnx"), PIXELS[:, ::-1].copy(), preprocess="unit")
    found = fullconv.compare(first, second)
    sides = [np.asarray(each.scores[0]) >= 0.5 for each in (first, second)]
    assert (found.agree, found.threshold) == ((sides[0] == sides[1]).sum(), 0.5)
    assert found.agree < found.compared
    assert fullconv.compare(first, second, threshold=0.9).threshold == 0.9
    assert "agree at a threshold of 0.5" in run("compare", result, result).out


def test_logits_have_no_side(folder: Path, run: Run, tmp_path: Path) -> None:
    """Nobody says from which logit on a cell is of the class, and nothing is told of all of them."""
    how = (folder / "logits.onnx", folder / "i.png", "-o", tmp_path / "m", "-p", "unit")
    ruled = run("map", *how, "--fail-if", "share(0) > 0.5")
    assert (ruled.status, "nobody says from which score on" in ruled.err) == (2, True)
    assert not (tmp_path / "m").exists(), "refused before the work"
    mapped = fullconv.map(fullconv.load(folder / "logits.onnx"), PIXELS, preprocess="unit")
    with pytest.raises(BadInput, match="nobody says from which score on"):
        Rule.parse("area(0) > 5 cells", ["0"]).judge(mapped)
    assert Rule.parse("0 > 1", ["0"]).judge(mapped).holds
    made = run("map", *how, "--summary", tmp_path / "s.csv")
    assert made.status == 0
    assert "score 0.5" not in made.out
    with (tmp_path / "s.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["winner"], row["0 share"]) == ("", "")
    result = tmp_path / "m" / "i.npz"
    assert "share" not in run("info", result).out
    for command in (("export", result, "-o", tmp_path / "a.csv", "--what", "areas"), ("compare", result, result)):
        refused = run(*command)
        assert (refused.status, "--threshold" in refused.err) == (2, True)
    assert run("compare", result, result, "--threshold", 2).status == 0


def test_a_folder_has_its_share_and_its_regions(folder: Path, scores: np.ndarray, run: Run, tmp_path: Path) -> None:
    made = run("run", folder / "one.onnx", folder / "i.png", "-o", tmp_path / "study", "-p", "unit")
    assert made.status == 0, made.err
    assert f"{(scores >= 0.5).mean():.1%}" in made.out
    told = json.loads((tmp_path / "study" / "i.geojson").read_text())
    assert 0 < len(told["features"]) < 30
    with (tmp_path / "study" / "i.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert int(row["cells"]) == (scores >= 0.5).sum()


def test_agreement_is_of_sides(folder: Path, run: Run, tmp_path: Path) -> None:
    """No class wins over no other; the side is the card's where there is a card."""
    model = fullconv.load(folder / "one.onnx")
    made = run("map", folder / "one.onnx", folder / "i.png", "-o", tmp_path / "maps", "-p", "unit")
    assert "lie on their crop's side of 0.5" in made.out
    assert "wins their crop" not in made.out
    (tmp_path / "card.toml").write_text('network = "net.onnx"\nthreshold = 0.9\n')
    (tmp_path / "net.onnx").write_bytes((folder / "one.onnx").read_bytes())
    carded = fullconv.load(tmp_path / "card.toml")
    mapped = fullconv.map(carded, PIXELS, preprocess="unit")
    crops = fullconv.map(model, PIXELS, preprocess="unit", by="crops", stride=4)
    found = fullconv.agreement(carded, PIXELS, mapped, preprocess="unit", cells=mapped.grid.rows * mapped.grid.cols)
    same = ((mapped.scores[0] >= 0.9) == (crops.scores[0] >= 0.9)).sum()
    other = ((mapped.scores[0] >= 0.5) == (crops.scores[0] >= 0.5)).sum()
    assert same != other
    assert (found.agree, found.side) == (same, 0.9)
    assert "lie on their crop's side of 0.9" in str(found)
