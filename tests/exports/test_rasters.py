"""Rasters of classes and scores as GDAL and tifffile read them."""

from __future__ import annotations

import warnings
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import tifffile
from rasterio.errors import NotGeoreferencedWarning

from fullconv import ClassMap, export, map_raster
from fullconv.geometry.place import Place
from fullconv.model import Model
from tests.exports.test_polygons import a_map
from tests.rasters import pictures


def test_winners_have_colours_and_names(tmp_path: Path) -> None:
    """What GDAL says of the band, whose names it shows in a VRT: the winners, a colour a class, names in order, no data clear."""
    found = a_map()
    path = export(found, tmp_path / "x.tif", what="winners")
    with rasterio.open(path) as file:
        assert (file.count, file.dtypes[0], file.nodata) == (1, "uint8", 255)
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.crs.to_epsg() == 32631
        np.testing.assert_array_equal(file.read(1), np.where(found.top1 < 0, 255, found.top1))
        colours = file.colormap(1)
        assert [colours[i][:3] for i in range(4)] == [found.colour(i) for i in range(4)]
        assert colours[255][3] == 0
    rasterio.shutil.copy(path, tmp_path / "x.vrt", driver="VRT")
    band = ET.parse(tmp_path / "x.vrt").getroot().find("VRTRasterBand")
    assert band is not None
    assert [each.text for each in band.iter("Category")] == ["field", "forest (1)", "water", "forest (3)"]
    rows = [[cell.text for cell in row] for row in band.iter("Row")]
    assert rows[2] == ["2", "water", *map(str, found.colour(2))]
    with rasterio.open(export(found, path, what="winners", name="water,field", threshold=0.3)) as file:
        won = np.isin(found.top1, (0, 2)) & (found.scores.max(axis=0, initial=0, where=~np.isnan(found.scores)) >= 0.3)
        np.testing.assert_array_equal(file.read(1), np.where(won, found.top1, 255))
    export(found, path, what="scores")
    assert not (tmp_path / "x.tif.aux.xml").exists()  # names of classes are none of scores


def test_many_classes_and_overviews(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than 255 classes take 16 bits; coarser levels hold classes that are there, never a mean of their numbers."""
    found = a_map(300, 310, labels=tuple(f"class <{i}>" for i in range(300)), seed=2)
    with rasterio.open(export(found, tmp_path / "x.tif", what="winners")) as file:
        assert (file.dtypes[0], file.nodata) == ("uint16", 65535)
        np.testing.assert_array_equal(file.read(1), np.where(found.top1 < 0, 65535, found.top1))
    two = np.where(np.arange(1200 * 600).reshape(1200, 600) // 7 % 3 == 0, 0.0, 1.0).astype(np.float32)
    scores = np.stack([two, np.zeros_like(two), 1 - two])
    one = a_map(1200, 600, labels=("a", "b", "c"))
    big = ClassMap(scores, one.grid, one.labels, place=one.place)
    monkeypatch.setattr("fullconv.exports.bands._WINNERS", 1)  # winners are looked for by the smallest pieces
    path = export(big, tmp_path / "y.tif", what="winners")
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(file.read(1), big.top1)
    with rasterio.open(path, overview_level=0) as file:
        assert set(np.unique(file.read(1))) == {0, 2}


@pytest.mark.parametrize(("count", "kind", "missing"), [(255, "uint8", 255), (256, "uint16", 65535)])
def test_no_class_is_the_number_of_no_data(count: int, kind: str, missing: int, tmp_path: Path) -> None:
    """The last class wins the first cell; a cell has no answer; all others are won by the first."""
    plain = a_map(3, 4, labels=("a",))
    scores = np.zeros((count, 3, 4), np.float32)
    scores[0] = 0.5
    scores[-1, 0, 0] = 0.9
    scores[:, 2, 3] = np.nan
    found = ClassMap(scores, plain.grid, tuple(f"class {i}" for i in range(count)), place=plain.place)
    expected = np.zeros((3, 4), int)
    expected[0, 0], expected[2, 3] = count - 1, missing
    with rasterio.open(export(found, tmp_path / "x.tif", what="winners")) as file:
        assert (file.dtypes[0], file.nodata) == (kind, missing)
        np.testing.assert_array_equal(file.read(1), expected)


def test_a_store_of_winners_exports_the_classes_chosen(quick: Model, tmp_path: Path) -> None:
    found = map_raster(quick, pictures.scene(260, 240), tmp_path / "x.zarr", preprocess="caffe", keep="top1")
    won = found.top1
    some = int(np.bincount(won.ravel()).argmax())
    with rasterio.open(export(found, tmp_path / "x.tif", what="winners")) as file:
        np.testing.assert_array_equal(file.read(1), won)
    lines = export(found, tmp_path / "x.csv", name=some, what="cells", threshold=-1e9).read_text().splitlines()
    assert len(lines) - 1 == (won == some).sum() > 0


def test_a_pyramid_of_winners_holds_no_class_between_two(
    quick: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fullconv.exports.ometiff._LEAST", 2)
    found = map_raster(quick, pictures.scene(330, 300), tmp_path / "x.zarr", preprocess="caffe", keep="top1")
    with tifffile.TiffFile(export(found, tmp_path / "x.ome.tif")) as file:
        levels = [level.asarray()[0] for level in file.series[0].levels]
    assert len(levels) > 2
    np.testing.assert_array_equal(levels[0], found.top1)
    for fine, coarse in pairwise(levels):
        np.testing.assert_array_equal(coarse, fine[::2, ::2])


def test_ome_tiff(tmp_path: Path) -> None:
    """tifffile's reader of OME: planes, a pyramid of means, sizes, places, names and colours; GDAL reads the planes too."""
    plain = a_map(600, 530, crs=None)
    found = ClassMap(plain.scores, plain.grid, plain.labels, place=Place((0.5, 0.25), "micrometer"))
    path = export(found, tmp_path / "x.ome.tif")
    with tifffile.TiffFile(path) as file:
        assert file.is_ome
        [series] = file.series
        assert series.axes == "CYX"
        assert [level.shape for level in series.levels] == [(4, 600, 530), (4, 300, 265), (4, 150, 133)]
        np.testing.assert_array_equal(series.asarray(), found.scores)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # blocks without any answer
            means = np.nanmean(found.scores[:, :600, :530].reshape(4, 300, 2, 265, 2), axis=(2, 4))
        np.testing.assert_allclose(series.levels[1].asarray(), means, rtol=1e-6)
        xml = ET.fromstring(file.ome_metadata)
    name = "{http://www.openmicroscopy.org/Schemas/OME/2016-06}"
    pixels = next(xml.iter(f"{name}Pixels"))
    assert (pixels.get("PhysicalSizeX"), pixels.get("PhysicalSizeY")) == ("1.0", "2.0")
    assert (pixels.get("PhysicalSizeXUnit"), pixels.get("Type")) == ("µm", "float")
    channels = list(xml.iter(f"{name}Channel"))
    assert [each.get("Name") for each in channels] == list(found.labels)
    for i, each in enumerate(channels):
        assert int(str(each.get("Color"))).to_bytes(4, "big", signed=True) == bytes((*found.colour(i), 255))
    assert next(xml.iter(f"{name}Plane")).get("PositionX") == "0.0"
    with pytest.warns(NotGeoreferencedWarning), rasterio.open(f"GTIFF_DIR:2:{path}") as band:
        np.testing.assert_array_equal(band.read(1), found.scores[1])
    assert sorted(each.name for each in tmp_path.iterdir()) == ["x.ome.tif"]
    assert export(found, path, name="water") == path  # its own
    with tifffile.TiffFile(path) as file:
        np.testing.assert_array_equal(file.series[0].asarray().squeeze(), found.scores[2])
