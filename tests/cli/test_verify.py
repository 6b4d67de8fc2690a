"""``fullconv verify`` reads an image as ``map`` does."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from tests.cli.conftest import Run
from tests.rasters.pictures import ome_tiff, scene


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
