"""``fullconv verify`` reads an image as ``map`` does."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import helpers as h
from tests.cli.conftest import Run
from tests.rasters.pictures import ome_tiff, scene


@pytest.mark.long
def test_resolution_bands_and_area(run: Run, net: tuple[Path, Path], tmp_path: Path) -> None:
    image = ome_tiff(tmp_path / "x.ome.tif", scene(300, 320), mpp=0.25)
    mask = np.zeros((300, 320), np.uint8)
    mask[:, :200] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    how = ("-p", "unit", "--bands", "2", "--mpp", "0.5", "--where", tmp_path / "mask.png")
    found = run(
        "verify", net[0], "-w", net[1], image, *how, "--cells", 20, "--json", "-o", tmp_path / "r.html", "--blame", 2
    )
    assert found.status == 0, found.err
    (report,) = json.loads(found.out)["reports"]
    rows, cols = ((side // 2 - 28) // 4 + 1 for side in (300, 320))
    assert (report["cells"], report["compared"], report["agree"]) == (rows * cols, 20, 20)
    x0, y0, x1, y1 = report["worst"]["box"]
    assert (x1 - x0, y1 - y0) == (56, 56)
    assert (x0 + x1) / 2 < 202
    wrong = run("verify", net[0], "-w", net[1], image, "-p", "unit", "--bands", "2", "--level", 7)
    assert wrong.status == 2
    assert "has no level 7" in wrong.err
    small = run("verify", net[0], "-w", net[1], image, "-p", "unit", "--bands", "2", "--memory", "1MB")
    assert small.status == 2
    assert "memory" in small.err


def test_by_class_and_the_yardstick(run: Run, tmp_path: Path) -> None:
    text = (
        h.data(1, 1, 12, 12) + h.conv("a", "data", 3, 3, "pad: 1") + h.fc("ip", "a", 3) + h.layer("p", "Softmax", "ip")
    )
    net = h.model(text).save(tmp_path / "net.prototxt")
    np.save(tmp_path / "x.npy", scene(60, 70)[:, :, 0])
    (tmp_path / "names.txt").write_text("oak\nash\nelm\n")
    how = ("verify", net[0], "-w", net[1], tmp_path / "x.npy", "-p", "unit", "--labels", tmp_path / "names.txt")
    told = run(*how, "--by", "class", "--cells", 300)
    assert told.status == 0, told.err
    assert "the classifier with itself moved by a pixel in" in told.out
    (report,) = json.loads(run(*how, "--json", "--cells", 300).out)["reports"]
    stick = report["yardstick"]
    assert stick["verdict"] in told.out
    lines = told.out.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("class"))
    seen = [each for each in stick["classes"] if each["crops"] or each["map"]]
    for line, each in zip(lines[first + 1 :], seen, strict=False):
        assert line.split()[:3] == [each["label"], f"{each['crops']:,}", f"{each['map']:,}"]
    assert sum(each["crops"] for each in seen) == 300
    few = json.loads(run(*how, "--json", "--cells", 300, "--moved", 0).out)["reports"][0]["yardstick"]
    assert few["itself"] is None
    assert few["map"] == stick["map"]
    assert "moved" not in run(*how, "--cells", 300, "--moved", 0).out
