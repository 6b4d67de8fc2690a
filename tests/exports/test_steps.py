"""Cells that are no squares, over pixels that are none, turned against the north: each export says where they lie, by hand."""

from __future__ import annotations

import csv
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
import tifffile
from rasterio.crs import CRS

from fullconv import ClassMap, export
from fullconv.geometry.grid import Grid
from fullconv.geometry.place import Place

# 3 m wide and 2 m high, turned by some thirty degrees
TURNED = (2.6, 1.0, 500_000.0, 1.5, -1.7, 4_600_000.0)


def a_map(place: Place) -> ClassMap:
    pairs = [(Fraction(a), Fraction(b)) for a, b in ((4, 6), (12, 20), (7, 9), (15, 19))]
    grid = Grid(5, 7, *pairs, (40, 80))
    scores = np.random.default_rng(0).random((2, 5, 7), np.float32)
    return ClassMap(scores, grid, ("a", "b"), place=place, score_kind="probabilities")


def placed(x: float, y: float, transform: tuple[float, ...] = TURNED) -> tuple[float, float]:
    a, b, c, d, e, f = transform
    return a * x + b * y + c, d * x + e * y + f


def square(row: int, col: int) -> tuple[float, float, float, float]:
    """x0, y0, x1, y1 of a cell's own square, one step around the middle of the pixel (7 + 4·row, 9 + 6·col), from the image's corner."""
    x, y = 9.5 + 6 * col, 7.5 + 4 * row
    return x - 3, y - 2, x + 3, y + 2


def test_a_raster_has_each_cell_at_its_place(tmp_path: Path) -> None:
    found = a_map(Place(None, "meter", TURNED, CRS.from_epsg(32631).to_wkt()))
    with rasterio.open(export(found, tmp_path / "x.tif")) as file:
        np.testing.assert_array_equal(file.read(), found.scores)
        for row, col in ((0, 0), (4, 1), (2, 6)):
            x0, y0, x1, y1 = square(row, col)
            assert file.transform * (col, row) == pytest.approx(placed(x0, y0))
            assert file.transform * (col + 1, row + 1) == pytest.approx(placed(x1, y1))


@pytest.mark.parametrize("crs", [None, CRS.from_epsg(32631).to_wkt()])
def test_a_table_has_each_cell_at_its_place(crs: str | None, tmp_path: Path) -> None:
    """Also where the image says where it lies and not in which CRS."""
    found = a_map(Place(None, "meter", TURNED, crs))
    with export(found, tmp_path / "x.csv", what="cells").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 35
    for each in rows:
        row, col = int(each["row"]), int(each["col"])
        x, y = 9 + 6 * col, 7 + 4 * row
        assert (float(each["x"]), float(each["y"])) == (x, y)
        assert [float(each[side]) for side in ("x0", "y0", "x1", "y1")] == [
            6 * col,
            4 * row,
            6 * col + 20,
            4 * row + 12,
        ]
        assert (float(each["crs_x"]), float(each["crs_y"])) == pytest.approx(placed(x + 0.5, y + 0.5))
        assert float(each["score"]) == pytest.approx(found.scores[:, row, col].max())


@pytest.mark.parametrize("transform", [None, TURNED])
def test_polygons_are_the_cells_squares(transform: tuple[float, ...] | None, tmp_path: Path) -> None:
    found = a_map(Place(None, "", transform, None if transform is None else CRS.from_epsg(32631).to_wkt()))  # type: ignore[arg-type]
    data = json.loads(export(found, tmp_path / "x.geojson", what="cells", crs="image").read_text())
    assert len(data["features"]) == 35
    for each in data["features"]:
        about = each["properties"].get("measurements", each["properties"])
        x0, y0, x1, y1 = square(int(about["row"]), int(about["col"]))
        corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
        expected = shapely.Polygon(corners if transform is None else [placed(*corner) for corner in corners])
        own = shapely.geometry.shape(each["geometry"])
        assert own.symmetric_difference(expected).area < 1e-6


def test_a_slides_raster_has_each_cell_at_its_place(tmp_path: Path) -> None:
    found = a_map(Place((0.5, 0.25), "micrometer"))
    with tifffile.TiffFile(export(found, tmp_path / "x.ome.tif")) as file:
        about = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
    assert (about["PhysicalSizeX"], about["PhysicalSizeY"]) == (6 * 0.25, 4 * 0.5)
    x0, y0, _, _ = square(0, 0)
    for plane in about["Plane"]:
        assert (plane["PositionX"], plane["PositionY"]) == (x0 * 0.25, y0 * 0.5)


def test_areas_are_of_the_cells_squares(tmp_path: Path) -> None:
    found = a_map(Place((0.5, 0.25), "micrometer"))
    with export(found, tmp_path / "x.csv", what="areas").open() as file:
        rows = list(csv.DictReader(file))
    won = found.scores.argmax(axis=0)
    for name in ("a", "b"):  # of one class alone, too, a share is of all cells with an answer
        with export(found, tmp_path / "one.csv", what="areas", name=name).open() as file:
            [one] = csv.DictReader(file)
        assert float(one["share"]) == pytest.approx((won == "ab".index(name)).mean())
    assert [float(each["area_um2"]) for each in rows] == [24 * 0.125 * (won == i).sum() for i in (0, 1)]


def test_whether_a_peak_is_its_crops_own_is_told_of_its_own_cell(tmp_path: Path) -> None:
    found = a_map(Place())
    own = np.random.default_rng(1).random((5, 7)) < 0.5
    confirmed = ClassMap(found.scores, found.grid, found.labels, score_kind="probabilities", confirmed=own)
    with export(confirmed, tmp_path / "x.csv", what="peaks", threshold=0.3).open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 4
    assert [each["confirmed"] == "True" for each in rows] == [own[int(r["row"]), int(r["col"])] for r in rows]


def test_a_cell_at_the_threshold_counts(tmp_path: Path) -> None:
    scores = np.full((2, 5, 7), 0.25, np.float32)
    scores[1, 2, 3], scores[1, 4, 4] = 0.75, np.nextafter(np.float32(0.75), np.float32(0))
    found = ClassMap(scores, a_map(Place()).grid, ("a", "b"), score_kind="probabilities")
    for what in ("cells", "peaks"):
        with export(found, tmp_path / f"{what}.csv", what=what, name="b", threshold=0.75).open() as file:
            assert [(each["row"], each["col"]) for each in csv.DictReader(file)] == [("2", "3")]
    with rasterio.open(export(found, tmp_path / "x.tif", what="winners", threshold=0.75)) as file:
        assert np.argwhere(file.read(1) != 255).tolist() == [[2, 3]]
    for what in ("regions", "winners"):
        data = json.loads(export(found, tmp_path / f"{what}.geojson", what=what, threshold=0.75).read_text())
        assert len(data["features"]) == 1
