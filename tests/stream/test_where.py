"""Polygons over many cells at once: block by block as cell by cell."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import shapely

from fullconv.geometry.grid import Grid
from fullconv.rasters.source import About, Level
from fullconv.stream.where import Polygons


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
