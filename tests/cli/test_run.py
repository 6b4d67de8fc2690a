"""``fullconv run``: a folder of slides by the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from fullconv.demonstration import demo_files
from tests.cli.conftest import Run


@pytest.fixture
def slides(tmp_path: Path) -> Path:
    folder = tmp_path / "slides"
    folder.mkdir()
    with demo_files() as data, Image.open(data / "page.png") as page:
        pixels = np.asarray(page.convert("L"))
    for name, (height, width) in {"a": (200, 300), "b": (300, 260), "c": (150, 180)}.items():
        tifffile.imwrite(folder / f"{name}.tif", pixels[:height, :width])
    (folder / "bad.tif").write_bytes(b"II*\0garbage")
    return folder


def test_the_command_line(slides: Path, tmp_path: Path, run: Run) -> None:
    with demo_files() as data:
        net = [data / "digits.prototxt", "-w", data / "digits.caffemodel"]
        options = ["-p", "unit", "--labels", data / "labels.txt", "--class", "7", "--by-class"]
        found = run("run", *net, slides, "-o", tmp_path, *options)
        assert found.status == 1
        assert "3 of 4 images are mapped" in found.out
        assert "bad.tif: cannot be opened as a TIFF" in found.err
        assert found.err.count("a.tif: ") == 1
        assert (tmp_path / "a.7.geojson").exists()
        again = run("run", *net, slides, "-o", tmp_path, *options, "--fail-if", "7 > 0.5", "--json")
    assert again.status == 3
    study = json.loads(again.out.splitlines()[-1])
    assert study["failed"] == 1
    assert study["images"][0]["rules"] == ["7 > 0.5"]
