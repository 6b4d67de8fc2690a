"""Tissue by saturation: Otsu's threshold as its definition has it, once for the image, at whatever level it is read."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from fullconv import map_raster
from fullconv.errors import BadInput
from fullconv.rasters.view import View
from fullconv.stream.tissue import Tissue, otsu, saturation
from fullconv.stream.where import where_of
from tests.stream import colours
from tests.stream.test_glass import SIDE, SLIDE, cells, honest


@pytest.mark.parametrize("seed", range(4))
def test_otsus_threshold_leaves_the_least_variance_within(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.normal(30, 12, 900 * (seed + 1)), rng.normal(120, 30, 500)]).clip(0, 255).astype(np.uint8)  # fmt: skip
    within = []
    for threshold in range(255):
        sides = [values[values <= threshold].astype(float), values[values > threshold].astype(float)]
        within.append(sum(side.var() * len(side) for side in sides) if all(map(len, sides)) else np.inf)
    assert otsu(values) == int(np.argmin(within))
    assert otsu(np.full(10, 7, np.uint8)) == 255  # one colour: nothing is more saturated than the rest


def test_saturation_is_hsvs() -> None:
    from PIL import Image

    expected = np.asarray(Image.fromarray(SLIDE[:300, :400]).convert("HSV"))[:, :, 1]
    assert np.abs(saturation(SLIDE[:300, :400]).astype(int) - expected).max() <= 1
    assert not saturation(np.zeros((2, 2, 3), np.uint8)).any()


def test_cells_on_tissue_are_mapped(tmp_path: Path) -> None:
    masks = []
    for image in (SLIDE, honest(tmp_path / "x.tif")):
        with closing(View(image)) as view:
            rule = where_of("tissue", view)
            assert rule is Tissue.of(view)
            assert rule.fingerprint.startswith("tissue, saturation above ")
            grid = cells()
            masks.append(rule.cells(grid, (0, grid.rows), (0, grid.cols)))
    np.testing.assert_array_equal(*masks)
    y, x = (np.arange(grid.rows) * 32 + 31, np.arange(grid.cols) * 32 + 31)
    colour = SLIDE[np.ix_(y, x)].astype(int)
    pink = colour.max(axis=2) - colour.min(axis=2) > 45
    assert pink.sum() > 50
    assert masks[0][pink].all()
    glass = colour.min(axis=2) > 228
    assert masks[0][glass].mean() < 0.1


def test_a_map_of_tissue(tmp_path: Path) -> None:
    net = colours.network(tmp_path / "n.onnx", crop=64)
    found = map_raster(net, honest(tmp_path / "x.tif"), tmp_path / "x.zarr", preprocess="unit", where="tissue")
    missing = np.isnan(found.scores[0])
    assert 0.6 < missing.mean() < 0.95
    with pytest.raises(BadInput, match="where: tissue, saturation above"):
        map_raster(net, tmp_path / "x.tif", tmp_path / "x.zarr", preprocess="unit")


def test_a_grey_image_has_no_saturation() -> None:
    with closing(View(np.zeros((SIDE, 64), np.uint8))) as view, pytest.raises(BadInput, match="goes by colour"):
        where_of("tissue", view)
