"""A crop smaller than the step: the network's own crop is what a cell stands for, by the cast, by crops, in tiles and in files."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import fullconv
from fullconv.loading import load
from fullconv.maps.mapping import map_image
from fullconv.model import Model
from tests.conftest import worst
from tests.formats.onnx.nets import original, weights, write

_EXACT = (
    "c = Conv <kernel_shape=[2,2], strides=[2,2]> (x, w1, b1)\nr = Relu(c)\n"
    "d = Conv <kernel_shape=[1,1], strides=[2,2]> (r, w2, b2)\ns = Relu(d)\n"
    "p = MaxPool <kernel_shape=[2,2], strides=[2,2]> (s)\nf = Flatten(p)\ny = Gemm(f, w, b)"
)
_PADDED = _EXACT.replace("[2,2], strides=[2,2]> (x", "[3,3], strides=[2,2], pads=[0,0,1,1]> (x")


@pytest.fixture(params=["exact", "padded"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A classifier of 6×24 pixels, which steps by 8: three halvings."""
    exact = request.param == "exact"
    side = 2 if exact else 3
    numbers = weights(w1=(4, 3, side, side), b1=(4,), w2=(4, 4, 1, 1), b2=(4,), w=(12, 5), b=(5,))
    body = _EXACT if exact else _PADDED
    return write(tmp_path / "net.onnx", body, numbers, inputs="float[N,3,6,24] x", outputs="float[N,5] y")


def test_the_crop_is_the_networks_own(path: Path) -> None:
    sampling = load(path).sampling()
    assert sampling.crop == (6, 24)
    assert sampling.stride == (8, 8)
    assert sampling.cells((6, 24)) == (1, 1)
    assert sampling.cells((14, 24)) == (2, 1)
    assert sampling.cells((13, 24)) == (1, 1)
    grid = sampling.over((30, 40))
    assert (grid.rows, grid.cols) == (4, 3)
    assert grid.box(3, 2) == (16.0, 24.0, 40.0, 30.0)


def test_crops_and_the_cast_agree_where_they_are_said_to(path: Path) -> None:
    model = load(path)
    pixels = np.random.default_rng(0).integers(0, 256, (30, 48, 3), np.uint8)
    by_cast, by_crops = (map_image(model, pixels, preprocess="unit", by=by) for by in ("cast", "crops"))
    assert by_cast.scores.shape == by_crops.scores.shape == (5, 4, 4)
    values = (pixels.astype(np.float32) / 255).transpose(2, 0, 1)[None]
    for row in range(4):
        crop = values[:, :, 8 * row : 8 * row + 6, 8:32]
        (answer,) = original(path, np.ascontiguousarray(crop))
        assert worst(by_crops.scores[:, row, 1], answer[0]) < 1e-6
    rows, cols = model.plan.free_cells(by_cast.grid)
    free = [(r, c) for r in range(4) for c in range(4) if rows[r] and cols[c]]
    assert len(free) == (1 if model.plan.inexact else 16)
    for row, col in free:
        assert worst(by_cast.scores[:, row, col], by_crops.scores[:, row, col]) < 1e-5


def test_verify_blame_and_tiles_go_through(path: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (46, 56, 3), np.uint8)
    model = load(path)
    report = fullconv.verify(model, pixels, preprocess="unit")
    assert not report.failed
    assert report.exact == (not model.plan.inexact)
    assert fullconv.blame(model, pixels, cells=3, preprocess="unit").left < 1e-5
    for by in ("cast", "crops"):
        stored = fullconv.map_raster(model, pixels, tmp_path / f"{by}.zarr", preprocess="unit", by=by)
        whole = map_image(model, pixels, preprocess="unit", by=by)
        assert worst(np.asarray(stored.scores), whole.scores) < 1e-5


def test_a_finer_map_of_it(path: Path) -> None:
    model = Model(load(path).native, load(path).format, path)
    finer = map_image(model, _pixels(), preprocess="unit", stride=4, finer="shifts")
    crops = map_image(model, _pixels(), preprocess="unit", stride=4, by="crops")
    assert finer.grid.stride == (Fraction(4), Fraction(4))
    assert finer.scores.shape == crops.scores.shape
    rows, cols = model.plan.free_cells(finer.grid)
    for row, col in ((r, c) for r in range(finer.grid.rows) for c in range(finer.grid.cols) if rows[r] and cols[c]):
        assert worst(finer.scores[:, row, col], crops.scores[:, row, col]) < 1e-5


def _pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (22, 37, 3), np.uint8)
