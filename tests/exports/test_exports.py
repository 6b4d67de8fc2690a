"""Exports open in other programs at the right place: checked with the libraries that those are built on."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from PIL import Image

from fullconv import ClassMap, export, map_raster
from fullconv.errors import BadInput, MissingExtra
from fullconv.exports.regions import regions_of
from fullconv.maps.mapping import map_image
from fullconv.model import Model
from tests.rasters import pictures


@pytest.fixture(scope="module")
def scene(lenet: Model, tmp_path_factory: pytest.TempPathFactory) -> ClassMap:
    """A map of a scene that has its place on the earth: 10 m a pixel, north up."""
    folder = tmp_path_factory.mktemp("scene")
    path = pictures.geotiff(folder / "scene.tif", pictures.scene(900, 700, 1))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("fullconv.tiling.cut._CHUNK", 48)
        return map_raster(lenet, path, folder / "x.zarr", preprocess="unit", memory=3 << 30)


@pytest.fixture(scope="module")
def slide(quick: Model, tmp_path_factory: pytest.TempPathFactory) -> ClassMap:
    """A map of the second level of a slide."""
    folder = tmp_path_factory.mktemp("slide")
    path = pictures.svs(folder / "slide.svs", pictures.scene(1600, 1300))
    return map_raster(quick, path, folder / "x.zarr", preprocess="caffe", level=1)


def _high(found: ClassMap) -> float:
    """A score that some cells of class 3 reach."""
    return float(np.quantile(np.asarray(found.scores[3]), 0.98))


def test_geotiff(scene: ClassMap, tmp_path: Path) -> None:
    """A cell's pixel is centred on the cell's true centre, and as wide as the stride."""
    out = export(scene, tmp_path / "x.tif")
    with rasterio.open(out) as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.profile["tiled"]
        assert file.crs.to_epsg() == 32631
        assert file.descriptions == scene.labels
        assert (file.height, file.width) == (scene.grid.rows, scene.grid.cols)
        assert np.isnan(file.nodata)
        np.testing.assert_array_equal(file.read(), np.asarray(scene.scores))
        for row, col in ((0, 0), (11, 40), (100, 7)):
            x, y = scene.centre(row, col)
            place = file.xy(row, col)  # the middle of the pixel, in the CRS
            assert place == pytest.approx((500_000 + 10 * (x + 0.5), 4_600_000 - 10 * (y + 0.5)))
        assert file.res == (40, 40)


def test_geotiff_of_one_class_and_of_types(lenet: Model, scene: ClassMap, slide: ClassMap, tmp_path: Path) -> None:
    with rasterio.open(export(scene, tmp_path / "one.tif", name="7")) as file:
        assert file.descriptions == ("7",)
        np.testing.assert_array_equal(file.read(1), scene.scores[7])
    for stored in ("uint8", "float16"):
        found = map_raster(
            lenet, pictures.scene(300, 300, 1), tmp_path / f"{stored}.zarr", preprocess="unit", stored=stored
        )
        with rasterio.open(export(found, tmp_path / f"{stored}.tif")) as file:
            assert file.dtypes[0] == {"uint8": "uint8", "float16": "float32"}[stored]
            scale = file.scales[0]
            np.testing.assert_allclose(file.read(3) * scale, found.scores[2], atol=1e-6)
    with rasterio.open(export(slide, tmp_path / "slide.tif")) as file:
        assert file.crs is None
        x, y = slide.centre(3, 5)
        assert (file.transform.c + 5.5 * file.transform.a, file.transform.f + 3.5 * file.transform.e) == pytest.approx(
            (x + 0.5, y + 0.5)
        )


def test_regions_are_the_connected_cells(scene: ClassMap, slide: ClassMap, tmp_path: Path) -> None:
    from scipy import ndimage

    for found in (scene, slide):
        for index in range(4):
            scores = np.asarray(found.scores[index])
            threshold = float(np.quantile(scores, 0.9))
            labels, count = ndimage.label(scores >= threshold)
            regions = list(regions_of(found, (index,), threshold))
            assert len(regions) == count > 3
            for region in regions:
                row, first, _ = region.runs[0]
                mask = labels == labels[row, first]
                assert region.cells == mask.sum()
                assert region.best == scores[mask].max()
                assert region.mean == pytest.approx(scores[mask].mean(), rel=1e-5)


def test_geojson_regions_as_qupath_imports_them(slide: ClassMap, tmp_path: Path) -> None:
    """Annotations in pixels of the finest level, whose polygons hold the centres of their cells and no other's."""
    out = export(slide, tmp_path / "x.geojson", threshold=0.2)
    data = json.loads(out.read_text())
    assert data["type"] == "FeatureCollection"
    assert "crs" not in data
    assert data["features"]
    ids = [feature["id"] for feature in data["features"]]
    assert len(set(ids)) == len(ids)
    xs, ys = (
        float(slide.grid.centre0[i])
        + np.arange((slide.grid.cols, slide.grid.rows)[1 - i]) * float(slide.grid.stride[i])
        + 0.5
        for i in (1, 0)
    )
    grid = np.meshgrid(xs, ys)
    seen = {label: np.zeros(grid[0].shape, bool) for label in slide.labels}
    for feature in data["features"]:
        about = feature["properties"]
        assert about["objectType"] == "annotation"
        assert len(about["classification"]["color"]) == 3
        shape = shapely.from_geojson(json.dumps(feature["geometry"]))
        assert shape.is_valid
        inside = shapely.contains_xy(shape, *grid)
        assert inside.sum() == about["measurements"]["cells"]
        seen[about["classification"]["name"]] |= inside
    for i, label in enumerate(slide.labels):
        np.testing.assert_array_equal(seen[label], np.asarray(slide.scores[i]) >= 0.2)
    assert export(slide, tmp_path / "y.geojson", threshold=0.2).read_bytes() == out.read_bytes()


def test_geojson_peaks_in_the_scenes_crs(scene: ClassMap, tmp_path: Path) -> None:
    data = json.loads(
        export(scene, tmp_path / "x.geojson", name="3", what="peaks", threshold=_high(scene), crs="image").read_text()
    )
    assert data["crs"]["properties"]["name"] == "urn:ogc:def:crs:EPSG::32631"
    peaks = scene.peaks("3", _high(scene))
    assert len(data["features"]) == len(peaks) > 3
    for feature, peak in zip(data["features"], peaks, strict=True):
        x0, y0, x1, y1 = peak.box
        bounds = shapely.from_geojson(json.dumps(feature["geometry"])).bounds
        assert bounds == (500_000 + 10 * x0, 4_600_000 - 10 * y1, 500_000 + 10 * x1, 4_600_000 - 10 * y0)
        about = feature["properties"]
        assert {name: about[name] for name in ("image", "class", "label", "row", "col")} == {
            "image": "scene.tif", "class": 3, "label": "3", "row": peak.row, "col": peak.col,
        }  # fmt: skip
        assert about["score"] == pytest.approx(peak.score)
        assert not any(isinstance(value, dict | list) for value in about.values())  # QGIS shows those as text


def test_tables(scene: ClassMap, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    cells = pq.read_table(export(scene, tmp_path / "x.parquet")).to_pydict()
    assert len(cells["row"]) == scene.grid.rows * scene.grid.cols
    scores = np.asarray(scene.scores)
    at = [(r, c) for r, c in zip(cells["row"], cells["col"], strict=True)]
    assert len(set(at)) == len(at)
    rows, cols = np.array(at).T
    np.testing.assert_array_equal(np.array(cells["4"], np.float32), scores[4, rows, cols])
    i = at.index((17, 23))
    assert (cells["x"][i], cells["y"][i]) == scene.centre(17, 23)
    assert (cells["x0"][i], cells["y0"][i], cells["x1"][i], cells["y1"][i]) == scene.box(17, 23)
    assert cells["crs_x"][i] == 500_000 + 10 * (scene.centre(17, 23)[0] + 0.5)

    with export(scene, tmp_path / "p.csv", name="3", what="peaks", threshold=_high(scene)).open() as file:
        found = list(csv.DictReader(file))
    peaks = scene.peaks("3", _high(scene))
    assert [(int(r["row"]), int(r["col"]), r["label"]) for r in found] == [(p.row, p.col, "3") for p in peaks]
    np.testing.assert_allclose([float(r["score"]) for r in found], [p.score for p in peaks], rtol=1e-8)

    with export(scene, tmp_path / "c.csv", name="3", threshold=_high(scene)).open() as file:
        assert len(list(csv.DictReader(file))) == (scores[3] >= _high(scene)).sum() > 3


def test_labels_are_no_formulas(tmp_path: Path) -> None:
    """A label from a stranger's file that begins like a formula is text to a spreadsheet; numbers, negative ones too, stay numbers."""
    from fractions import Fraction

    from fullconv.geometry.grid import Grid

    labels = ("=HYPERLINK(1)", "+1", "-2", "@x", "\tx", "\rx", "plain")
    one = (Fraction(1), Fraction(1))
    grid = Grid(2, 2, one, one, (Fraction(0), Fraction(0)), one, (2, 2))
    scores = -np.arange(28, dtype=np.float32).reshape(7, 2, 2)
    found = ClassMap(scores, grid, labels)
    with export(found, tmp_path / "c.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0][12:] == ["'" + label for label in labels[:-1]] + ["plain"]
    np.testing.assert_array_equal(np.array([row[12:] for row in rows[1:]], float), scores.reshape(7, 4).T)
    with export(found, tmp_path / "p.csv", what="peaks", threshold=-100).open(newline="") as file:
        rows = list(csv.reader(file))
    assert {row[10] for row in rows[1:]} == {"'" + label for label in labels[:-1]} | {"plain"}
    assert float(rows[1][11]) == 0


def test_top1_tables_and_left_out_cells(quick: Model, tmp_path: Path) -> None:
    pixels = np.full((300, 260, 3), 240, np.uint8)
    pixels[60:200, 60:200] = pictures.scene(140, 140)
    found = map_raster(quick, pixels, tmp_path / "x.zarr", preprocess="caffe", keep="top1", where="auto")
    with rasterio.open(export(found, tmp_path / "x.tif")) as file:
        assert file.descriptions == ("winning class", "its score")
        classes, best = file.read()
        np.testing.assert_array_equal(np.nan_to_num(classes, nan=-1), found.top1)
        np.testing.assert_allclose(
            best[~np.isnan(best)], found.scores.winners(slice(None), slice(None))[1][~np.isnan(best)]
        )
    with export(found, tmp_path / "x.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == found.grid.rows * found.grid.cols - found.record.left_out
    whole = map_image(quick, pixels, preprocess="caffe")
    for row in rows:
        place = int(row["row"]), int(row["col"])
        assert row["label"] == whole.labels[whole.top1[place]]
        assert float(row["score"]) == pytest.approx(float(whole.scores[:, place[0], place[1]].max()), abs=5e-6)


def test_pictures_and_npz(slide: ClassMap, tmp_path: Path) -> None:
    with Image.open(export(slide, tmp_path / "x.png", name=2)) as image:
        assert image.width > 800
    again = ClassMap.load(export(slide, tmp_path / "x.npz"))
    np.testing.assert_array_equal(again.scores, np.asarray(slide.scores))
    assert again.grid == slide.grid
    assert export(tmp_path / "x.npz", tmp_path / "y.tif", name=1).exists()  # a map in memory, without a place


def test_what_cannot_be_written(slide: ClassMap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, how, told in (
        ("x.shp", {}, r"exports are \.ome\.tif"),
        (
            "x.geojson",
            {"what": "areas"},
            r"holds regions or winners or peaks or cells, not areas; areas go to \.csv, \.parquet",
        ),
        ("x.csv", {"what": "regions"}, "holds cells or peaks or areas, not regions"),
        ("x.tif", {"what": "regions"}, "holds scores or winners"),
        ("x.tif", {"threshold": 0.5}, "threshold has no effect on scores"),
        ("x.tif", {"crs": "EPSG:4326"}, "are not resampled"),
        ("x.csv", {"distance": 3}, "distance has no effect on cells"),
        ("x.geojson", {"crs": "EPSG:4326"}, "has no place on the earth"),
        ("x.geojson", {"threshold": 1.5}, "no score reaches it"),
        ("x.tif", {"name": "horse and cart"}, "no class is named"),
    ):
        with pytest.raises(BadInput, match=told):
            export(slide, tmp_path / name, **how)
    with pytest.raises(BadInput, match="no such file"):
        export(tmp_path / "none.zarr", tmp_path / "x.tif")
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"fullconv\[parquet\]"):
        export(slide, tmp_path / "x.parquet")
    monkeypatch.setitem(sys.modules, "pyogrio", None)
    with pytest.raises(MissingExtra, match=r"fullconv\[geo\]"):
        export(slide, tmp_path / "x.gpkg")
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(MissingExtra, match=r"fullconv\[geo\]"):
        export(slide, tmp_path / "x.tif")
    assert list(tmp_path.iterdir()) == []
