"""Polygons over many cells at once: block by block as cell by cell; crops that are not asked for are not run."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import shapely
from PIL import Image

from fullconv import map_raster
from fullconv.geometry.grid import Grid
from fullconv.loading import load
from fullconv.maps.missing import share_of
from fullconv.model import Model
from fullconv.rasters.source import About, Level
from fullconv.stream.where import Polygons
from tests.stream import colours


def test_blocks_that_lie_within_or_outside_are_not_asked_cell_by_cell(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rings = [shapely.Point(*rng.uniform(0, 3000, 2)).buffer(rng.uniform(20, 900), quad_segs=5) for _ in range(6)]
    holed = shapely.union_all(rings) - shapely.box(900, 900, 1400, 1500)
    path = tmp_path / "area.geojson"
    path.write_text(json.dumps(shapely.geometry.mapping(holed)))
    step, crop = (Fraction(4), Fraction(6)), (Fraction(10),) * 2
    grid = Grid(740, 480, step, crop, (Fraction(9, 2),) * 2, crop, (3000, 3000))
    for transform in (None, (0.5, 0.1, 0.0, 0.2, -0.5, 1500.0)):
        about = About("x", 1, "uint8", (Level(3000, 3000, (1, 1)),), transform=transform)
        x, y = np.meshgrid(4.5 + np.arange(480) * 6.0 + 0.5, 4.5 + np.arange(740) * 4.0 + 0.5)
        if transform is not None:
            a, b, c, d, e, f = transform
            x, y = a * x + b * y + c, d * x + e * y + f
        expected = shapely.contains_xy(holed, x, y)
        assert 0.005 < expected.mean() < 0.98
        np.testing.assert_array_equal(Polygons(path, about).cells(grid, (0, 740), (0, 480)), expected)


def test_crops_outside_are_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(colours.network(tmp_path / "n.onnx"), check=False)
    image = colours.patches()
    mask = np.zeros(image.shape[:2], np.uint8)
    mask[40:90, 30:100] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    how = {"preprocess": "raw", "by": "crops", "runtime": "onnxruntime", "stride": 8}
    whole = map_raster(model, image, tmp_path / "whole.zarr", **how).scores[:]
    counts: list[int] = []
    run = Model.run

    def counted(self: Model, values: np.ndarray, **more: object) -> dict[str, np.ndarray]:
        counts.append(len(values))
        return run(self, values, **more)

    monkeypatch.setattr(Model, "run", counted)
    part = map_raster(model, image, tmp_path / "part.zarr", where=str(tmp_path / "mask.png"), **how).scores[:]
    there = ~np.isnan(part[0])
    assert 20 < there.sum() < 0.3 * there.size
    assert sum(counts) <= there.sum() + 4  # and what is tried before
    np.testing.assert_allclose(part[:, there], whole[:, there], rtol=0, atol=1e-6)


def test_shares_are_those_counted_crop_by_crop() -> None:
    rng = np.random.default_rng(0)
    mask = rng.random((700, 330)) < rng.random((700, 1))
    for step, crop in (((1, 1), (3, 300)), ((64, 7), (600, 5)), ((30, 40), (30, 40))):
        rows, cols = np.arange(-20, 710, step[0]), np.arange(-9, 340, step[1])
        found = share_of(mask, rows, cols, crop)
        for i, row in enumerate(rows[::3]):
            for j, col in enumerate(cols[::11]):
                part = mask[max(0, row) : max(0, row + crop[0]), max(0, col) : max(0, col + crop[1])]
                assert found[3 * i, 11 * j] == (part.mean() if part.size else 0)
