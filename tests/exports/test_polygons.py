"""Polygons are what GDAL, shapely and closed formulas say: partitions of the map, in any CRS, with flat attributes."""

from __future__ import annotations

import csv
import json
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from rasterio.crs import CRS

from fullconv import ClassMap, export
from fullconv.errors import BadInput
from fullconv.exports.regions import regions_of, winners_of
from fullconv.geometry.grid import Grid
from fullconv.geometry.place import Place

LABELS = ("field", "forest", "water", "forest")  # two of one name, as ImageNet has them
RADIUS = 6378137.0


def a_map(
    rows: int = 30, cols: int = 40, *, crs: str | None = "EPSG:32631", origin: tuple[float, float] = (500_000, 4_600_000),
    pixel: float = 10, stride: int = 4, seed: int = 0, labels: tuple[str, ...] = LABELS,
) -> ClassMap:  # fmt: skip
    """Patches of classes, with cells that have no answer; the cells' squares begin at the image's corner."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((len(labels), rows // 5 + 1, cols // 5 + 1))
    scores = (np.kron(coarse, np.ones((5, 5)))[:, :rows, :cols] + rng.random((len(labels), rows, cols)) / 3).astype(
        np.float32
    )
    scores /= scores.sum(axis=0)
    scores[:, rng.random((rows, cols)) < 0.05] = np.nan
    step = Fraction(stride)
    grid = Grid(
        rows, cols, (step, step), (step, step), ((step - 1) / 2,) * 2, (step, step), (rows * stride, cols * stride)
    )
    place = Place()
    if crs is not None:
        x, y = origin
        size = (pixel, pixel) if CRS.from_user_input(crs).is_projected else None
        place = Place(size, "meter" if size else "", (pixel, 0, x, 0, -pixel, y), CRS.from_user_input(crs).to_wkt())
    return ClassMap(scores, grid, labels, place=place, score_kind="probabilities")


def read(path: Path) -> list[tuple[Any, dict[str, Any]]]:
    data = json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    return [(shapely.from_geojson(json.dumps(each["geometry"])), each["properties"]) for each in data["features"]]


def test_winners_are_a_partition(tmp_path: Path) -> None:
    """Every cell with an answer lies in one polygon, of its winner; areas sum to the mapped area; scipy counts the regions."""
    from scipy import ndimage

    found = a_map()
    answered = int((found.top1 >= 0).sum())
    features = read(export(found, tmp_path / "x.geojson", what="winners", crs="image"))
    shapes = np.array([shape for shape, _ in features])
    assert shapely.is_valid(shapes).all()
    assert shapely.area(shapes).sum() == pytest.approx(answered * 1600, rel=1e-12)
    assert shapely.union_all(shapes).area == pytest.approx(answered * 1600, rel=1e-12)
    assert sum(about["area_m2"] for _, about in features) == pytest.approx(answered * 1600)
    assert sum(about["cells"] for _, about in features) == answered
    assert len(features) == sum(ndimage.label(found.top1 == i)[1] for i in range(4))
    cols, rows = np.meshgrid(np.arange(40) * 40 + 500_020, 4_599_980 - np.arange(30) * 40)
    seen = np.full(cols.shape, -1)
    for shape, about in features:
        inside = shapely.contains_xy(shape, cols, rows)
        assert inside.sum() == about["cells"]
        assert about["area_km2"] == pytest.approx(shape.area / 1e6)
        best = np.asarray(found.scores[about["class"]])[inside]
        assert (about["score_max"], about["score_mean"]) == pytest.approx((best.max(), best.mean()), rel=1e-6)
        seen[inside] = about["class"]
    np.testing.assert_array_equal(seen, found.top1)
    assert {about["label"] for _, about in features} == {"field", "forest (1)", "water", "forest (3)"}
    some = read(export(found, tmp_path / "y.geojson", what="winners", name="water", threshold=0.3, crs="image"))
    assert {about["label"] for _, about in some} == {"water"}
    assert sum(about["cells"] for _, about in some) == ((found.top1 == 2) & (found.scores[2] >= 0.3)).sum() > 0


def test_regions_touching_at_corners_are_valid(tmp_path: Path) -> None:
    """Rings that touch, holes in holes, spirals: shapely finds every polygon valid, and its area the cells'."""
    rng = np.random.default_rng(3)
    for _ in range(40):
        scores = np.stack([np.float32(rng.random((9, 11)) < 0.62)] * 2)
        scores[1] = 1 - scores[0]
        one = (Fraction(1), Fraction(1))
        found = ClassMap(scores, Grid(9, 11, one, one, (Fraction(0),) * 2, one, (9, 11)), ("a", "b"))
        shapes = [shape for shape, _ in read(export(found, tmp_path / "x.geojson", what="winners"))]
        assert shapely.is_valid(shapes).all()
        assert shapely.area(shapes).sum() == shapely.union_all(shapes).area == 99
        assert (
            sum(r.cells for r in regions_of(found, (0, 1), 0.5))
            == sum(r.cells for r in winners_of(found, (0, 1), None))
            == 99
        )


def test_rfc_7946(tmp_path: Path) -> None:
    """Longitude and latitude by default: of Web Mercator as its formula says, with a point at every corner of a cell, so that neighbours stay so."""
    found = a_map(crs="EPSG:3857", origin=(1_000_000, 6_000_000))
    path = export(found, tmp_path / "x.geojson", what="winners")
    assert "crs" not in json.loads(path.read_text())
    shapes = [shape for shape, _ in read(path)]
    assert shapely.is_valid(shapes).all()
    points = shapely.get_coordinates(shapes)
    x = points[:, 0] * math.pi / 180 * RADIUS
    y = RADIUS * np.log(np.tan(math.pi / 4 + points[:, 1] * math.pi / 360))
    for axis, start in ((x, 1_000_000), (y, 6_000_000)):
        cells = (axis - start) / 40
        np.testing.assert_allclose(cells, np.round(cells), atol=1e-5)
    assert shapely.coverage_is_valid(shapes)  # edges of neighbours are the same
    for shape in shapes:
        assert shapely.is_ccw(shape.exterior)
        assert not any(shapely.is_ccw(ring) for ring in shape.interiors)


def test_the_antimeridian_and_a_pole(tmp_path: Path) -> None:
    """Polygons are cut at 180 degrees, whether the CRS crosses it or counts on to 360; one around a pole reaches it."""
    everywhere = lambda found: ClassMap(np.ones_like(found.scores), found.grid, found.labels, place=found.place)  # noqa: E731
    crossing = everywhere(a_map(10, 10, crs="EPSG:32660", origin=(780_000, 100_000), pixel=2000))
    [(shape, about)] = read(export(crossing, tmp_path / "a.geojson", what="winners"))
    assert shape.geom_type == "MultiPolygon"
    assert shape.is_valid
    west, east = sorted(shape.geoms, key=lambda part: -part.bounds[0])
    assert west.bounds[2] == 180
    assert east.bounds[0] == -180
    assert west.bounds[2] - west.bounds[0] + east.bounds[2] - east.bounds[0] < 1.2
    [(counted, _)] = read(
        export(
            everywhere(a_map(10, 10, crs="EPSG:4326", origin=(170, 10), pixel=0.5)),
            tmp_path / "b.geojson",
            what="winners",
        )
    )
    assert sorted(part.bounds for part in counted.geoms) == [(-180, -10, -170, 10), (170, -10, 180, 10)]
    polar = everywhere(a_map(10, 10, crs="EPSG:3031", origin=(-2_000_000, 2_000_000), pixel=100_000))
    [(cap, _)] = read(export(polar, tmp_path / "c.geojson", what="winners"))
    assert cap.is_valid
    assert cap.bounds[:2] == (-180, -90)
    assert cap.bounds[2] == 180
    assert not any(shape.contains(shapely.Point(0, -60)) for shape in (cap,))
    assert cap.contains(shapely.Point(100, -85))
    with pytest.raises(BadInput, match="EPSG:3857 tears the map apart"):
        export(crossing, tmp_path / "d.gpkg", what="winners", crs="EPSG:3857")
    assert about["label"] == "field"


def test_degrees_that_count_on_to_360_are_told_to_the_west(tmp_path: Path) -> None:
    found = a_map(3, 10, crs="EPSG:4326", origin=(170, 10), pixel=0.5, stride=4)
    with export(found, tmp_path / "a.csv", what="cells", crs="EPSG:4326").open() as file:
        rows = list(csv.DictReader(file))
    for each in rows:
        east = 170 + 2 * (int(each["col"]) + 0.5)
        assert float(each["crs_x"]) == pytest.approx(east if east <= 180 else east - 360)
        assert float(each["crs_y"]) == pytest.approx(10 - 2 * (int(each["row"]) + 0.5))


def test_a_long_map_is_tried_along_itself(tmp_path: Path) -> None:
    """Of many columns and few rows: what reaches the antimeridian is refused, and what does not is not taken for one that reaches a pole."""
    wide = {"rows": 3, "cols": 600, "crs": "EPSG:4326", "pixel": 0.05}
    assert export(a_map(origin=(0, 10), **wide), tmp_path / "a.gpkg", what="winners", crs="EPSG:3857").exists()
    with pytest.raises(BadInput, match=r"EPSG:3857 tears the map apart|cannot be transformed"):
        export(a_map(origin=(120, 10), **wide), tmp_path / "b.gpkg", what="winners", crs="EPSG:3857")


def test_cells_as_polygons(tmp_path: Path) -> None:
    """One square a cell, of its winner, with the scores of every class; of QuPath in pixels."""
    found = a_map()
    features = read(export(found, tmp_path / "x.geojson", what="cells", crs="image"))
    assert len(features) == (found.top1 >= 0).sum()
    for shape, about in features[::50]:
        row, col = about["row"], about["col"]
        assert shape.bounds == (
            500_000 + 40 * col,
            4_600_000 - 40 * (row + 1),
            500_000 + 40 * (col + 1),
            4_600_000 - 40 * row,
        )
        assert about["class"] == found.top1[row, col]
        scores = [about[name] for name in ("field", "forest (1)", "water", "forest (3)")]
        np.testing.assert_array_equal(np.array(scores, np.float32), found.scores[:, row, col])
        assert about["score"] == max(scores)
    few = read(export(found, tmp_path / "y.geojson", what="cells", name="water,field", threshold=0.4, crs="image"))
    best = np.fmax(found.scores[2], found.scores[0])
    assert len(few) == (best >= 0.4).sum() > 0
    assert all(about["label"] == ("water" if about["water"] > about["field"] else "field") for _, about in few)
    slide = a_map(crs=None)
    shape, about = read(export(slide, tmp_path / "z.geojson", what="cells"))[0]
    assert shape.bounds == (0, 0, 4, 4)
    assert about["objectType"] == "tile"
    assert set(about) == {"objectType", "classification", "measurements"}
    assert all(isinstance(value, int | float) for value in about["measurements"].values())
    assert about["classification"]["color"] == list(slide.colour(int(slide.top1[0, 0])))


@pytest.mark.parametrize("suffix", [".gpkg", ".fgb", ".geojson"])
@pytest.mark.parametrize("crs", [None, "EPSG:4326"])
def test_layers_as_gdal_reads_them(suffix: str, crs: str | None, tmp_path: Path) -> None:
    pyogrio = pytest.importorskip("pyogrio")
    found = a_map()
    path = export(found, tmp_path / f"x{suffix}", what="winners", crs=crs)
    about = pyogrio.read_info(path)
    assert about["crs"] == ("EPSG:4326" if crs or suffix == ".geojson" else "EPSG:32631")
    names, _, shapes, values = pyogrio.raw.read(path)
    assert list(names["fields"]) == [
        "image",
        "class",
        "label",
        "color",
        "cells",
        "area_m2",
        "area_km2",
        "score_max",
        "score_mean",
    ]
    assert names["dtypes"][1].startswith("int")
    columns = dict(zip(names["fields"], values, strict=True))
    polygons = shapely.from_wkb(shapes)
    assert shapely.is_valid(polygons).all()
    assert columns["cells"].sum() == (found.top1 >= 0).sum()
    assert set(columns["color"]) == {f"#{bytes(found.colour(i)).hex()}" for i in range(4)}
    if about["crs"] == "EPSG:32631":
        np.testing.assert_allclose(shapely.area(polygons), columns["area_m2"])
    else:
        x0, y0, x1, y1 = shapely.total_bounds(polygons)
        assert (x0, y1) == pytest.approx((3, 41.55), abs=0.01)  # x is the longitude
        assert (x1 - x0, y1 - y0) == pytest.approx(
            (1600 / 111_320 / math.cos(math.radians(41.55)), 1200 / 111_100), rel=0.01
        )


def test_layers_in_pixels_and_peaks(tmp_path: Path) -> None:
    pyogrio = pytest.importorskip("pyogrio")
    found = a_map(crs=None)
    for suffix in (".gpkg", ".fgb"):
        path = export(found, tmp_path / f"x{suffix}", what="peaks", name="water", threshold=0.3)
        names, _, shapes, values = pyogrio.raw.read(path)
        peaks = found.peaks("water", 0.3)
        assert sorted(map(tuple, shapely.bounds(shapely.from_wkb(shapes)))) == sorted(peak.box for peak in peaks)
        np.testing.assert_allclose(
            sorted(values[list(names["fields"]).index("score")]), sorted(peak.score for peak in peaks)
        )
        assert "Cartesian" in names["crs"]  # no degrees
        assert export(found, path, what="cells") == path  # its own, so that it may be written again
    empty = export(found, tmp_path / "none.fgb", threshold=0.999)
    assert pyogrio.read_info(empty)["features"] in (0, -1)


def test_crs_that_cannot_be(tmp_path: Path) -> None:
    found = a_map()
    away = a_map(crs='PROJCS["Mars",GEOGCS["Mars",DATUM["Mars",SPHEROID["Mars",3396190,169.89]],PRIMEM["Reference",0],UNIT["degree",0.0174532925199433]],PROJECTION["Equirectangular"],PARAMETER["standard_parallel_1",0],PARAMETER["central_meridian",0],UNIT["metre",1]]')  # fmt: skip
    for what, crs, told in (
        (found, "EPSG:999999", "--crs EPSG:999999: no CRS that is known"),
        (found, "no such thing", "--crs no such thing: no CRS"),
        (away, None, r"cannot be transformed to EPSG:4326.*--crs image keeps"),
        (a_map(crs="EPSG:4326", origin=(0, 95), pixel=1), "EPSG:3857", "cannot be transformed to EPSG:3857"),
    ):
        for suffix in (".geojson", ".json"):
            with pytest.raises(BadInput, match=told):
                export(what, tmp_path / f"x{suffix}", what="winners", crs=crs)
    assert list(tmp_path.iterdir()) == []
    assert read(export(away, tmp_path / "x.geojson", what="winners", crs="image"))


def test_another_rasterio_reads_the_same_place(tmp_path: Path) -> None:
    """Polygons burnt by GDAL over the raster of winners give that raster."""
    found = a_map()
    shapes = [
        (shape, about["class"])
        for shape, about in read(export(found, tmp_path / "x.geojson", what="winners", crs="image"))
    ]
    from rasterio.features import rasterize

    with rasterio.open(export(found, tmp_path / "x.tif", what="winners")) as file:
        burnt = rasterize(shapes, file.shape, fill=255, transform=file.transform, dtype="uint8")
        np.testing.assert_array_equal(burnt, file.read(1))
