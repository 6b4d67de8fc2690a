"""Stored maps: what is written, what viewers read, and reading without loading."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fullconv import ClassMap, map_raster
from fullconv.errors import BadInput
from fullconv.maps.mapping import map_image
from fullconv.model import Model
from fullconv.results.encoding import decoded, encoded
from fullconv.results.lazy import StoredScores
from fullconv.results.levels import halved
from tests.rasters import pictures


@pytest.fixture(scope="module")
def maps(lenet: Model, tmp_path_factory: pytest.TempPathFactory) -> tuple[ClassMap, ClassMap, Path]:
    """A stored map of some hundred thousand cells in several chunks and levels, and the same in memory."""
    path = tmp_path_factory.mktemp("maps") / "x.zarr"
    image = pictures.scene(1500, 1260, 1)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("fullconv.tiling.cut._CHUNK", 64)
        stored = map_raster(lenet, image, path, preprocess="unit", memory=3 << 30)
    return stored, map_image(lenet, image, preprocess="unit"), path


scores = hnp.arrays(np.float32, (2, 5, 7), elements=st.one_of(st.floats(0, 1, width=32), st.just(float("nan"))))


@given(scores, st.sampled_from(["float32", "float16", "uint8"]))
def test_encoding(values: np.ndarray, stored: str) -> None:
    found = decoded(encoded(values, stored))
    assert (np.isnan(found) == np.isnan(values)).all()
    tolerance = {"float32": 0, "float16": 2**-11, "uint8": 1 / 508 + 1e-7}[stored]
    np.testing.assert_allclose(found, values, atol=tolerance)


def test_halved() -> None:
    part = np.array([[[1, 3, np.nan], [5, np.nan, np.nan], [2, 4, 6]]], np.float32)
    np.testing.assert_allclose(halved(part), [[[3, np.nan], [3, 6]]])


def test_it_reads_like_the_map_in_memory(maps) -> None:
    stored, memory, path = maps
    np.testing.assert_allclose(np.asarray(stored.scores), memory.scores, atol=2e-6)
    loaded = ClassMap.load(path)
    assert loaded.labels == memory.labels
    assert loaded.grid == memory.grid
    assert loaded.exactness == memory.exactness
    for x, y in ((3, 4), (700, 900), (1259, 1499)):
        np.testing.assert_allclose(loaded.at(x, y), memory.at(x, y), atol=2e-6)
    assert loaded.box(7, 9) == memory.box(7, 9)
    assert (loaded.top1 == memory.top1).mean() > 0.9999
    assert (loaded.best.row, loaded.best.col, loaded.best.label) == (
        memory.best.row,
        memory.best.col,
        memory.best.label,
    )
    for name in ("3", "8"):
        mine, theirs = loaded.peaks(name, 0.8), memory.peaks(name, 0.8)
        assert [(p.row, p.col) for p in mine] == [(p.row, p.col) for p in theirs]


def test_nothing_is_loaded_that_is_not_asked_for(maps, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, path = maps
    found = ClassMap.load(path)
    monkeypatch.setattr("fullconv.results.lazy._BLOCK", 1)
    read = []
    original = StoredScores.__getitem__
    monkeypatch.setattr(
        StoredScores, "__getitem__", lambda self, key: (part := original(self, key), read.append(part.size))[0]
    )
    found.at(700, 900)
    found.box(3, 4)
    assert sum(read) == 10
    found.peaks("3", 0.99)
    found.overlay("3")
    found.overlay()
    assert max(read) <= 10 * 64 * 64


def test_indexing(maps) -> None:
    stored, memory, _ = maps
    for key in (
        3,
        (3,),
        (3, 5),
        (slice(2, 4), slice(10, 20), 7),
        (slice(None), 300, 200),
        ([1, 8], slice(0, 5), slice(0, 6)),
    ):
        np.testing.assert_allclose(stored.scores[key], memory.scores[key], atol=2e-6)


def test_pictures(maps, tmp_path: Path) -> None:
    """The picture of a stored map is that of the map in memory, where both are drawn cell by cell."""
    stored, memory, _ = maps
    for name in ("3", None):
        mine = np.asarray(stored.overlay(name), int)
        theirs = np.asarray(memory.overlay(name), int)
        assert mine.shape == theirs.shape
        assert (np.abs(mine - theirs).max(axis=2) > 3).mean() < 0.001


def test_reduced_pictures_show_the_highest_cell_of_a_block(maps) -> None:
    from fullconv.render.reduced import highest_of_blocks, winners_of_blocks

    stored, memory, _ = maps
    for factor in (3, 7):
        found = highest_of_blocks(stored, 3, factor)
        rows, cols = memory.scores.shape[1:]
        padded = np.pad(memory.scores[3], ((0, -rows % factor), (0, -cols % factor)), constant_values=-1)
        blocks = padded.reshape(padded.shape[0] // factor, factor, padded.shape[1] // factor, factor)
        np.testing.assert_allclose(found, blocks.max(axis=(1, 3)), atol=2e-6)
        winners, counts = winners_of_blocks(stored, factor)
        assert winners.shape == found.shape
        assert (
            np.abs(counts - np.bincount(memory.top1.ravel(), minlength=10)).sum() <= 4
        )  # ties within the engine's noise
        middle = memory.top1[factor // 2 :: factor, factor // 2 :: factor]
        assert (winners[: middle.shape[0], : middle.shape[1]] == middle).mean() > 0.999


def test_viewers_find_levels_and_places(maps) -> None:
    """OME-Zarr 0.5, checked by its own models; a coarse cell stands at the centre of the cells that it is the mean of."""
    from ome_zarr_models.v05 import Image

    _, memory, path = maps
    group = zarr.open_group(path, mode="r")
    image = Image.from_zarr(group)
    scales = image.attributes.ome.multiscales[0]
    assert [axis.name for axis in scales.axes] == ["c", "y", "x"]
    assert [data.path for data in scales.datasets] == ["0", "levels/1"]
    stored, level = np.asarray(group["0"]), np.asarray(group["levels/1"])
    rows, cols = (side // 2 for side in stored.shape[1:])
    blocks = stored[:, : 2 * rows, : 2 * cols].reshape(10, rows, 2, cols, 2)
    known = ~np.isnan(blocks).any(axis=(2, 4))
    np.testing.assert_allclose(level[:, :rows, :cols][known], blocks.mean(axis=(2, 4))[known], atol=3e-6)
    lead = 3  # cells of 4 px before the first, whose centre is at 13.5 px
    for i, data in enumerate(scales.datasets):
        scale, shift = data.coordinateTransformations
        assert scale.scale == [1, 4 * 2**i, 4 * 2**i]
        assert shift.translation == [0, *2 * (13.5 - 4 * lead + 2 * (2**i - 1),)]
    assert [c["label"] for c in group.attrs["ome"]["omero"]["channels"]] == list(memory.labels)


def test_a_slides_map_is_in_micrometres(quick: Model, tmp_path: Path) -> None:
    path = pictures.svs(tmp_path / "slide.svs", pictures.scene(600, 500), mpp=0.5)
    map_raster(quick, path, tmp_path / "x.zarr", preprocess="caffe")
    ome = zarr.open_group(tmp_path / "x.zarr", mode="r").attrs["ome"]["multiscales"][0]
    assert ome["axes"][1] == {"name": "y", "type": "space", "unit": "micrometer"}
    scale, shift = ome["datasets"][0]["coordinateTransformations"]
    assert scale["scale"] == [1, 4, 4]  # 8 px of half a micrometre
    field = quick.sampling().field
    assert shift["translation"][1] == (float(field.centre[0]) - 2 * 8) * 0.5, "two cells without an answer before it"


def test_a_viewer_that_drops_translations_is_off_by_half_a_cell_at_most(maps) -> None:
    """As napari-ome-zarr does: pixel i of an array is drawn at i times its scale."""
    _, memory, path = maps
    group = zarr.open_group(path, mode="r")
    stored = np.asarray(group["0"])
    data = group.attrs["ome"]["multiscales"][0]["datasets"][0]
    step = data["coordinateTransformations"][0]["scale"][1]
    _, rows, cols = memory.scores.shape
    for row, col in ((0, 0), (rows // 2, cols - 1)):
        x, y = memory.grid.centre(row, col)
        found = stored[:, round(y / step), round(x / step)]
        near = memory.scores[:, max(0, row - 1) : row + 2, max(0, col - 1) : col + 2].reshape(10, -1)
        assert np.abs(near - found[:, None]).max(axis=0).min() < 1e-5
    lead = stored.shape[1] - rows
    assert lead > 0
    assert np.isnan(stored[:, :lead]).all()
    assert abs(data["coordinateTransformations"][1]["translation"][1]) <= step / 2


def test_xarray_opens_a_store_by_itself(maps) -> None:
    import xarray as xr

    _, memory, path = maps
    found = xr.open_zarr(path, consolidated=False)
    assert found["0"].dims == ("c", "y", "x")
    x, y = memory.grid.centre(3, 5)
    cell = found["0"].sel(x=x, y=y)
    np.testing.assert_allclose(cell, memory.scores[:, 3, 5], atol=3e-6)
    assert found["x"].attrs["units"] == "px"


def test_a_damaged_store(maps, tmp_path: Path) -> None:
    import json
    import shutil

    _, _, path = maps
    copy = tmp_path / "x.zarr"
    shutil.copytree(path, copy)
    about = json.loads((copy / "zarr.json").read_text())
    about["attributes"]["fullconv"]["format"] = "fullconv map store 99"
    (copy / "zarr.json").write_text(json.dumps(about))
    with pytest.raises(BadInput, match="'fullconv map store 99', not 'fullconv map store 2'"):
        ClassMap.load(copy)
    about["attributes"]["fullconv"]["format"] = "fullconv map store 2"
    del about["attributes"]["fullconv"]["grid"]
    (copy / "zarr.json").write_text(json.dumps(about))
    with pytest.raises(BadInput, match="its attributes are damaged"):
        ClassMap.load(copy)
    (copy / "zarr.json").write_text("{")
    with pytest.raises(BadInput, match="not a result of fullconv, or damaged"):
        ClassMap.load(copy)


def test_the_wrong_image_is_told(maps) -> None:
    stored, _, _ = maps
    with pytest.raises(BadInput, match="the image is 100×90, the map is of 1260×1500"):
        replace(stored, image=np.zeros((90, 100), np.uint8)).overlay("3")
