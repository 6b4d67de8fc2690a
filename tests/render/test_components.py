"""Principal components of features against NumPy's decomposition of them all at once, whatever the pieces; and what is drawn of them."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fullconv
from fullconv import export, map_raster
from fullconv.errors import BadInput
from fullconv.geometry.grid import Grid
from fullconv.geometry.place import Place
from fullconv.maps.classmap import ClassMap
from fullconv.render import components as module
from tests.stream import runs

ROWS, COLS, CHANNELS = 40, 50, 7


def features(seed: int = 0, rows: int = ROWS, shift: float = 1000.0) -> ClassMap:
    """Far from zero, as sums of squares are not to notice; some cells without an answer."""
    rng = np.random.default_rng(seed)
    mixed = rng.standard_normal((CHANNELS, CHANNELS)) * np.array([5, 3, 2, 1, 0.5, 0.2, 0.1])
    scores = (mixed @ rng.standard_normal((CHANNELS, rows * COLS)) + shift).reshape(CHANNELS, rows, COLS)
    scores[:, 3:5, 7] = np.nan
    step = Fraction(4)
    half = Fraction(3, 2)
    grid = Grid(rows, COLS, (step, step), (step, step), (half, half), (step, step), (4 * rows, 4 * COLS))
    labels = tuple(map(str, range(CHANNELS)))
    return ClassMap(scores.astype(np.float32), grid, labels, "layer", score_kind="features")


def whole(*maps: ClassMap) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, variances and axes of all cells by one singular value decomposition."""
    every = np.concatenate([found.scores.reshape(CHANNELS, -1) for found in maps], axis=1).astype(np.float64)
    every = every[:, np.isfinite(every).all(axis=0)]
    mean = every.mean(axis=1, keepdims=True)
    axes, sizes, _ = np.linalg.svd(every - mean, full_matrices=False)
    return mean[:, 0], sizes**2 / every.shape[1], axes.T


@pytest.mark.parametrize("piece", [1, 4 * CHANNELS * COLS * 3, 16 << 20])
def test_pieces_give_what_all_cells_do(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PIECE", piece)
    for maps in ((features(),), (features(), features(1, 23, -50.0))):
        found = fullconv.pca(maps, components=4)
        mean, variances, axes = whole(*maps)
        np.testing.assert_allclose(found.mean, mean, rtol=1e-12)
        np.testing.assert_allclose(found.variances, variances[:4], rtol=1e-9)
        np.testing.assert_allclose(found.total, variances.sum(), rtol=1e-9)
        np.testing.assert_allclose(np.abs((found.axes * axes[:4]).sum(axis=1)), 1, rtol=0, atol=1e-9)
        largest = np.abs(found.axes).argmax(axis=1)
        assert (found.axes[np.arange(4), largest] > 0).all(), "the sign follows from the numbers alone"
        assert found.cells == sum(found.scores[0].size - 2 for found in maps)
        along = found.of(maps[0].scores)
        want = found.axes @ (maps[0].scores.reshape(CHANNELS, -1).astype(np.float64) - mean[:, None])
        np.testing.assert_allclose(along.reshape(4, -1), want, rtol=0, atol=2e-6 * np.nanmax(np.abs(want)))
        assert repr(found).startswith("Components(4 of 7 channels, ")


def test_of_a_store_as_of_a_map_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (300, 420), np.uint8)
    how = {"preprocess": "unit", "output": "pool2"}
    stored = map_raster(runs.digits(), pixels, tmp_path / "x.zarr", **how)
    held = fullconv.pca(fullconv.map(runs.digits(), pixels, **how))
    monkeypatch.setattr(module, "_PIECE", 1 << 16)
    for found in (fullconv.pca(stored), fullconv.pca(tmp_path / "x.zarr")):
        np.testing.assert_allclose(found.axes, held.axes, rtol=0, atol=1e-6)
        np.testing.assert_allclose(found.variances, held.variances, rtol=1e-6)


def test_colours_are_components_about_their_means() -> None:
    found = features(shift=0)
    components = fullconv.pca(found)
    along = components.of(found.scores)
    colours = components.colours(along)
    wide = 5 * np.sqrt(components.variances)
    row, col = 10, 20
    want = np.rint(255 * np.clip(0.5 + along[:, row, col] / wide, 0, 1))
    assert np.abs(colours[row, col] - want).max() <= 1
    assert colours[..., 0].std() > 40, "a component fills its channel"
    flat = replace(found, scores=np.ones_like(found.scores))
    assert set(np.unique(fullconv.pca(flat).colours(fullconv.pca(flat).of(flat.scores)))) <= {127, 128}


def test_the_picture_shows_them_cell_by_cell_and_as_means_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    found = features(shift=0)
    components = fullconv.pca(found)
    picture = np.asarray(module.components_picture(found, None).image)
    scale = module.on.drawn_size(found.grid)[0]
    colours = components.colours(components.of(found.scores))
    for row, col in ((0, 0), (10, 20), (39, 49)):
        x, y = (int(module.on.MARGIN + (4 * at + 2) * scale) for at in (col, row))
        np.testing.assert_array_equal(picture[y, x], colours[row, col])
    x, y = (int(module.on.MARGIN + (4 * at + 2) * scale) for at in (7, 3))
    assert (picture[y, x] == 255).all(), "a cell without an answer shows the paper"
    monkeypatch.setattr(module, "_PIECE", 4 * CHANNELS * COLS * 3)
    grid, along = module._along(found, components, 4)
    blocks = components.of(found.scores).reshape(3, 10, 4, -1, 1)[:, :, :, :48].reshape(3, 10, 4, 12, 4)
    assert (grid.rows, grid.cols) == (10, 13)
    np.testing.assert_allclose(along[:, :, :12], np.nanmean(blocks, axis=(2, 4)), rtol=0, atol=1e-5)


def test_a_raster_has_them_where_the_cells_lie(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    place = Place((0.5, 0.5), "meter", (0.5, 0, 100, 0, -0.5, 900), "EPSG:25832")
    found = replace(features(shift=0), place=place)
    export(found, tmp_path / "pca.tif", what="pca")
    components = fullconv.pca(found)
    with rasterio.open(tmp_path / "pca.tif") as file:
        values, colours = file.read(), components.colours(components.of(found.scores))
        assert [each.name for each in file.colorinterp][:3] == ["red", "green", "blue"]
        assert file.descriptions[0].startswith("component 1, ")
        assert (file.nodata, file.crs.to_epsg(), file.transform.a, file.transform.c) == (0, 25832, 2.0, 100)
    known = np.isfinite(found.scores[0])
    np.testing.assert_array_equal(np.moveaxis(values, 0, -1)[known], np.maximum(colours, 1)[known])
    assert (values[:, ~known] == 0).all()


def test_pictures_and_pages_of_features_are_components(tmp_path: Path) -> None:
    found = features()
    found.save(tmp_path / "x.npz")
    export(tmp_path / "x.npz", tmp_path / "a.png")
    export(replace(found, score_kind=""), tmp_path / "b.png", what="pca")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")), np.asarray(Image.open(tmp_path / "b.png")))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")), np.asarray(found.overlay()))


def test_what_has_no_components_is_refused() -> None:
    found = features()
    with pytest.raises(BadInput, match="0 cells have an answer"):
        fullconv.pca(replace(found, scores=np.full_like(found.scores, np.nan)))
    with pytest.raises(BadInput, match="maps of 7, 3 channels"):
        fullconv.pca([found, replace(found, scores=found.scores[:3], labels=("a", "b", "c"))])
    with pytest.raises(BadInput, match="at least 1"):
        fullconv.pca(found, components=0)
    with pytest.raises(BadInput, match="features of 3 channels"):
        fullconv.pca(found).of(found.scores[:3])
