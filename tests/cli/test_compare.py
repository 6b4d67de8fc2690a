"""``fullconv compare``: two maps of the packaged page by the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from fullconv.demonstration import demo_files
from tests.cli.conftest import Run


@pytest.fixture
def maps(run: Run, tmp_path: Path) -> tuple[Path, Path]:
    with demo_files() as data:
        page = tmp_path / "page.png"
        with Image.open(data / "page.png") as whole:
            whole.crop((0, 0, 200, 120)).save(page)
        for model, name in (("padded.onnx", "padded.npz"), ("digits.prototxt", "digits.npz")):
            weights = ["-w", data / "digits.caffemodel"] if name == "digits.npz" else []
            labels = ["--labels", data / "labels.txt"]
            assert run("map", data / model, page, "-o", tmp_path / name, "-p", "unit", *weights, *labels).status == 0
    return tmp_path / "padded.npz", tmp_path / "digits.npz"


def test_text_json_picture_and_status(maps: tuple[Path, Path], run: Run, tmp_path: Path) -> None:
    told = json.loads(run("compare", *maps, "--json").out)
    assert told["compared"] == 23 * 43
    assert sum(each["both"] for each in told["classes"]) == told["agree"] < told["compared"]
    found = run(
        "compare", *maps, "-o", tmp_path / "where.png", "--image", tmp_path / "page.png", "--fail-under", "0.99"
    )
    assert found.status == 1
    assert f"{told['agree']:,} of {told['compared']:,} cells" in found.out
    assert "less than 99.0000% (--fail-under)" in found.err
    with Image.open(tmp_path / "where.png") as picture:
        assert picture.size[0] > 200
    assert run("compare", maps[0], maps[0], "--fail-under", "1").status == 0
    assert "in the second map only" not in run("compare", *maps, "--class", "7", "-t", "0.5").err


def test_bad_input_is_one_message(maps: tuple[Path, Path], run: Run, tmp_path: Path) -> None:
    assert "give these too (--class" in run("compare", *maps, "-t", "0.5").err
    found = run("compare", maps[0], tmp_path / "page.png")
    assert found.status == 2
    assert "a class map that fullconv wrote" in found.err
    assert run("compare", *maps, "-o", tmp_path / "x.jpg").status == 2
    assert not (tmp_path / "x.jpg").exists()
