"""`map --fail-if` and `--summary`: what a line that must stop, and a person with a folder of images, get."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fullconv import ClassMap
from fullconv.errors import BadInput
from fullconv.exports.images import ImageTable, overviews
from tests.cli.conftest import Run


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A folder of two images and one that is none; one image's name begins like a formula."""
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(5)
    for name in ("a.png", "=b.png"):
        Image.fromarray(rng.integers(0, 256, (40, 48), np.uint8)).save(folder / name)
    (folder / "bad.png").write_text("no image")
    return folder


@pytest.fixture
def model(net, tmp_path: Path) -> list[str]:
    (tmp_path / "labels.txt").write_text("crack\n=1+1\nsound\n")
    return [str(net[0]), "-w", str(net[1]), "--labels", str(tmp_path / "labels.txt"), "-p", "unit", "--no-check"]


@pytest.mark.parametrize("out", ["maps", "{name}.zarr"])
def test_a_rule_that_holds_stops_the_line_after_everything_is_written(
    run: Run, model: list[str], many: Path, tmp_path: Path, out: str
) -> None:
    probe = run("map", *model, many / "a.png", "-o", tmp_path / "probe.npz")
    assert probe.status == 0
    scores = ClassMap.load(tmp_path / "probe.npz").scores
    top, (row, col) = float(scores[0].max()), np.unravel_index(scores[0].argmax(), scores[0].shape)
    for text, status in ((f"crack >= {top}", 3), (f"crack > {top + 1e-4}", 1)):  # 1: bad.png
        found = run("map", *model, many, "-o", tmp_path / "o" / out, "--fail-if", text, "--restart")
        b = float(
            ClassMap.load(
                tmp_path / "o" / out.replace("{name}", "=b") if "{" in out else tmp_path / "o" / out / "=b.npz"
            )
            .scores[0]
            .max()
        )
        assert found.status == (3 if b > top else status), found.err
        assert "bad.png: not an image" in found.err
        assert (tmp_path / "o" / out.replace("{name}", "a") if "{" in out else tmp_path / "o" / out / "a.npz").exists()
        told = f"a.png: {text} holds: 'crack' scores {top:.4g} at most, in cell ({row}, {col}), crop"
        assert (told in found.err) is (status == 3)
        assert (f"{text} does not hold: 'crack' scores {top:.4g} at most" in found.out) is (status == 1)


def test_a_result_that_was_finished_is_judged_too(run: Run, model: list[str], image: Path, tmp_path: Path) -> None:
    assert run("map", *model, image, "-o", tmp_path / "x.zarr").status == 0
    again = run("map", *model, image, "-o", tmp_path / "x.zarr", "--fail-if", "crack > 0.000001 or sound > 0.000001")
    assert "was finished before" in again.out
    assert again.status == 3


@pytest.mark.parametrize(
    ("rule", "more", "told"),
    [
        ("crak > 0.9", [], "did you mean 'crack'"),
        ("crack > 1.5", [], "never holds: probabilities lie between 0 and 1"),
        ("area(crack) >= 0 px²", [], "always holds: areas are 0 or more"),
        ("crack >", [], "where a number is expected"),
        ("crack > 0.9", ["--keep", "sound"], "its scores are not among those of --keep"),
        ("crack > 0.9", ["--keep", "top1"], "leave --keep top1 and --dtype out"),
        ("crack > 0.9", ["--dtype", "uint8"], "leave --keep top1 and --dtype out"),
    ],
)
def test_rules_that_mean_nothing_are_told_before_the_work(
    run: Run, model: list[str], image: Path, tmp_path: Path, rule: str, more: list[str], told: str
) -> None:
    found = run("map", *model, image, "-o", tmp_path / "x.zarr", "--fail-if", rule, *more)
    assert found.status == 2
    assert told in found.err
    assert not (tmp_path / "x.zarr").exists()


def test_what_cannot_be_judged_fails_and_never_passes(run: Run, model: list[str], tmp_path: Path) -> None:
    Image.fromarray(np.zeros((40, 48), np.uint8)).save(tmp_path / "dark.png")
    found = run("map", *model, tmp_path / "dark.png", "-o", tmp_path / "o", "--nodata", "0", "--fail-if", "crack < 0.9")
    assert found.status == 2
    assert "cannot be judged: no cell has an answer" in found.err


def test_rules_in_json(run: Run, model: list[str], image: Path, tmp_path: Path) -> None:
    rule = "share(crack) >= 0.000001 or share(crack) < 0.5"
    found = run("map", *model, image, "-o", tmp_path / "o", "--fail-if", rule, "--json")
    assert found.status == 3
    (told,) = json.loads(found.out)["maps"][0]["rules"]
    assert (told["rule"], told["holds"]) == (rule, True)
    lines = run("map", *model, image, "-o", tmp_path / "x.zarr", "--fail-if", rule, "--json").out.splitlines()
    assert json.loads(lines[-1])["event"] == "rule"


@pytest.mark.parametrize("out", ["maps", "{name}.zarr"])
def test_a_row_an_image(run: Run, model: list[str], many: Path, tmp_path: Path, out: str) -> None:
    table = tmp_path / "t" / "maps.csv"
    found = run("map", *model, many, "-o", tmp_path / "o" / out, "--summary", table, "--fail-if", "sound < 0.999999")
    assert found.status == 3
    with table.open(newline="") as file:
        rows = {Path(row["image"]).name: row for row in csv.DictReader(file)}
    assert set(rows) == {"a.png", "=b.png", "bad.png"}
    assert rows["bad.png"]["status"] == "failed"
    assert "not an image" in rows["bad.png"]["error"]
    for name in ("a", "=b"):
        row = rows[f"{name}.png"]
        where = tmp_path / "o" / out.replace("{name}", name) if "{" in out else tmp_path / "o" / out / f"{name}.npz"
        assert row["result"] == str(where)
        result = ClassMap.load(where)
        scores = np.asarray(result.scores[...])
        wins = np.bincount(scores.argmax(axis=0).ravel(), minlength=3)
        assert (row["width"], row["height"], row["answered"]) == ("48", "40", str(wins.sum()))
        assert row["winner"].lstrip("'") == result.labels[int(wins.argmax())]
        assert row["rules"] == "sound < 0.999999"
        assert float(row["seconds"]) > 0
        for i, label in enumerate(("crack", "'=1+1", "sound")):
            assert float(row[f"{label} share"]) == pytest.approx(wins[i] / wins.sum())
            assert float(row[f"{label} best"]) == pytest.approx(float(scores[i].max()))
            r, c = np.unravel_index(scores[i].argmax(), scores[i].shape)
            assert (float(row[f"{label} x"]), float(row[f"{label} y"])) == result.centre(int(r), int(c))
    only = run("map", *model, many / "a.png", "-o", tmp_path / "o" / out, "--summary", table, "--class", "sound")
    assert only.status == 0, only.err  # its own table is written anew
    with table.open(newline="") as file:
        titles = next(csv.reader(file))
    assert titles[-4:] == ["sound share", "sound best", "sound x", "sound y"]
    assert "crack share" not in titles


def test_formulas_in_names_are_text(run: Run, model: list[str], many: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(many)
    assert run("map", *model, "=b.png", "-o", tmp_path / "o", "--summary", tmp_path / "t.csv").status == 0
    assert (tmp_path / "t.csv").read_text().splitlines()[1].startswith("'=b.png,")


def test_tables_are_not_written_over_what_is_somebodys(run: Run, model: list[str], image: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("a,b\n1,2\n")
    found = run("map", *model, image, "-o", tmp_path / "o", "--summary", tmp_path / "mine.csv")
    assert (found.status, "did not write it" in found.err) == (2, True)
    assert run("map", *model, image, "-o", tmp_path / "o", "--summary", tmp_path / "t.xlsx").status == 2
    assert not (tmp_path / "o").exists()


def test_a_table_goes_on_behind_a_row_that_was_cut_off(tmp_path: Path) -> None:
    table = ImageTable(tmp_path / "t.csv", ["a"])
    table.add_failed("one.png", "why")
    with table.path.open("a") as file:
        file.write("two.p")
    again = ImageTable(tmp_path / "t.csv", ["a"], goes_on=True)
    again.add_failed("three.png", "why,\nagain")
    assert [row["image"] for row in again.rows()] == ["one.png", "two.p", "three.png"]
    assert again.rows()[2]["error"] == "why, again"
    with pytest.raises(BadInput, match="a table of other classes"):
        ImageTable(tmp_path / "t.csv", ["b"], goes_on=True)


def test_a_class_without_an_answer_has_no_place(run: Run, model: list[str], image: Path, tmp_path: Path) -> None:
    assert run("map", *model, image, "-o", tmp_path / "x.zarr", "--keep", "top1").status == 0
    answered, each = overviews(ClassMap.load(tmp_path / "x.zarr"))
    assert answered == 45
    assert sum(one.share for one in each) == pytest.approx(1)
    assert all((one.best is None) is (one.share == 0) for one in each)
