"""Several maps and classes in one file, columns that no label takes, and peaks of several scales."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fullconv import ClassMap, export
from fullconv.errors import BadInput
from fullconv.exports.names import names_of
from fullconv.maps.mapping import map_image
from fullconv.model import Model
from tests.exports.test_polygons import a_map, read
from tests.rasters import pictures


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_several_maps_in_one_file(tmp_path: Path) -> None:
    """Each row has its image's name; scenes of different zones share a GeoJSON, and nothing else without --crs."""
    a, b = a_map(seed=1), a_map(crs="EPSG:32632", seed=2)
    paths = []
    for name, found in (("a", a), ("b", b)):
        paths.append(tmp_path / f"{name}.npz")
        found.save(paths[-1])
    rows = rows_of(export(paths, tmp_path / "x.csv", what="areas"))
    assert [row["image"] for row in rows] == [str(paths[0])] * 4 + [str(paths[1])] * 4
    for found, part in ((a, rows[:4]), (b, rows[4:])):
        assert [int(row["cells"]) for row in part] == [(found.top1 == i).sum() for i in range(4)]
        assert [float(row["area_m2"]) for row in part] == [1600 * (found.top1 == i).sum() for i in range(4)]
    features = read(export(paths, tmp_path / "x.geojson", what="winners"))
    assert {about["image"] for _, about in features} == set(map(str, paths))
    for path, lon in zip(paths, (3, 9), strict=True):
        west = [shape.bounds[0] for shape, about in features if about["image"] == str(path)]
        assert min(west) == pytest.approx(lon, abs=1e-3)
    with pytest.raises(BadInput, match="lie in different CRSs; choose one for all with --crs"):
        export(paths, tmp_path / "y.geojson", what="winners", crs="image")
    with pytest.raises(BadInput, match=r"holds winners of one map, and 2 were given"):
        export(paths, tmp_path / "y.tif", what="winners")
    with pytest.raises(BadInput, match="would lie on each other"):
        export([a_map(crs=None), a_map(crs=None)], tmp_path / "y.geojson", what="winners")
    other = a_map(labels=("field", "forest", "lake", "forest"))
    with pytest.raises(BadInput, match="class 2 is 'water' in one and 'lake' in the other"):
        export([a, other], tmp_path / "y.csv")
    with pytest.raises(BadInput, match="scores are probabilities in one and logits in the other"):
        export([a, replace(b, score_kind="logits")], tmp_path / "y.csv")
    with pytest.raises(BadInput, match="no map"):
        export([], tmp_path / "y.csv")
    assert not list(tmp_path.glob("y*"))


def test_areas_are_the_earths_or_left_out(tmp_path: Path) -> None:
    """Web Mercator at 60 degrees has four times the earth's; a table of both kinds would have columns below others' names."""
    from fullconv.exports.export import Asked, write

    north = a_map(crs="EPSG:3857", origin=(1_000_000, 8_399_738))
    written = write(north, tmp_path / "x.csv", Asked(what="areas"))
    assert written.notes == ("areas are left out: those of its CRS are 3.99 times the earth's; an image in a CRS that keeps them, such as UTM, has areas",)  # fmt: skip
    assert list(rows_of(tmp_path / "x.csv")[0]) == ["image", "class", "label", "cells", "share", "highest"]
    assert "area_m2" not in read(export(north, tmp_path / "x.geojson", what="winners"))[0][1]
    for crs, origin in (
        ("EPSG:32631", (500_000, 7_000_000)),
        ("EPSG:6933", (1_000_000, 6_000_000)),
        ("EPSG:3857", (0, 0)),
    ):
        rows = rows_of(export(a_map(crs=crs, origin=origin), tmp_path / "y.csv", what="areas"))
        assert float(rows[0]["area_m2"]) == 1600 * int(rows[0]["cells"])
    with pytest.raises(BadInput, match=r"the same columns \(area_km2, area_m2\)"):
        export([a_map(), north], tmp_path / "z.csv", what="areas")
    pytest.importorskip("pyogrio")
    with pytest.raises(BadInput, match=r"the same columns \(area_km2, area_m2\)"):
        export([a_map(), north], tmp_path / "z.gpkg", what="winners", crs="EPSG:4326")
    assert not list(tmp_path.glob("z*"))


def test_a_label_takes_no_other_column(tmp_path: Path) -> None:
    """Classes named like a column, or like each other, have a column each: their own scores."""
    assert names_of(("x", "A", "a", "b", "b (3)"), ("x",)) == ("x (0)", "A (1)", "a (2)", "b", "b (3)")
    assert len({name.casefold() for name in names_of(("b", "b", "b (0)", "B (1)"))}) == 4
    found = a_map(labels=("x", "row", "crane", "crane"))
    row = rows_of(export(found, tmp_path / "x.csv"))[7]
    at = int(row["row"]), int(row["col"])
    assert (float(row["x"]), float(row["y"])) == found.centre(*at)
    names = ("x (0)", "row (1)", "crane (2)", "crane (3)")
    np.testing.assert_array_equal(np.array([row[name] for name in names], np.float32), found.scores[:, at[0], at[1]])
    assert row["label"] == ("x", "row", "crane (2)", "crane (3)")[int(found.top1[at])]
    some = rows_of(export(found, tmp_path / "y.csv", what="cells", name="3,x", threshold=0))[0]
    assert list(some)[-2:] == ["crane (3)", "x (0)"]
    assert float(some["crane (3)"]) == pytest.approx(
        float(found.scores[3, int(some["row"]), int(some["col"])]), rel=1e-8
    )


def test_peaks_of_several_scales_are_at_their_crops(lenet: Model, tmp_path: Path) -> None:
    found = map_image(lenet, pictures.scene(160, 150, 1), preprocess="unit", scales=(0.5, 1))
    least = float(np.quantile(found.scores[3], 0.7))
    peaks = found.peaks(3, least)
    rows = rows_of(export(found, tmp_path / "x.csv", name=3, what="peaks", threshold=least))
    assert len(rows) == len(peaks) > 3
    assert len({peak.box[2] - peak.box[0] for peak in peaks}) == 2
    for row, peak in zip(rows, peaks, strict=True):
        x0, y0, x1, y1 = (float(row[name]) for name in ("x0", "y0", "x1", "y1"))
        assert (x0, y0, x1, y1) == peak.box
        assert (float(row["x"]), float(row["y"])) == ((x0 + x1 - 1) / 2, (y0 + y1 - 1) / 2)
        centre = found.centre(int(row["row"]), int(row["col"]))
        assert abs(centre[0] - float(row["x"])) <= 14
    cells = rows_of(export(found, tmp_path / "c.csv"))
    for row in cells[::97]:
        at = int(row["row"]), int(row["col"])
        assert tuple(float(row[name]) for name in ("x0", "y0", "x1", "y1")) == found.box(*at)


def test_what_is_empty_says_why(tmp_path: Path) -> None:
    from fullconv.exports.export import Asked, write

    found = a_map()
    written = write(found, tmp_path / "x.geojson", Asked(threshold=0.99))
    assert (written.count, written.what) == (0, "regions")
    assert written.notes == (
        f"{tmp_path / 'x.geojson'}: is empty: no cell scores 0.99; the highest score is {np.nanmax(found.scores):.4g}",
    )
    assert read(tmp_path / "x.geojson") == []
    for suffix in (".csv", ".parquet"):
        assert export(found, tmp_path / f"x{suffix}", what="peaks", threshold=0.99).stat().st_size > 0
    some: ClassMap = replace(found, score_kind="logits")
    assert read(export(some, tmp_path / "y.geojson", what="winners"))  # a partition needs no threshold
    with pytest.raises(BadInput, match="a threshold must be given"):
        export(some, tmp_path / "y.geojson")
