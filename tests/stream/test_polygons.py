"""Polygons in the CRS that they state: held to the same polygon in the image's own CRS."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fullconv.errors import BadInput
from fullconv.geometry.grid import Grid
from fullconv.rasters.source import About, Level
from fullconv.stream.where import where_of

rasterio = pytest.importorskip("rasterio")
shapely = pytest.importorskip("shapely")
pyogrio = pytest.importorskip("pyogrio")
from fractions import Fraction  # noqa: E402

from rasterio.crs import CRS  # noqa: E402
from rasterio.warp import transform_geom  # noqa: E402

_UTM = CRS.from_epsg(32632)
_STEP = 20.0  # metres a pixel: 40 km, over which a line of one CRS is bent in another


def about(crs: CRS | None = _UTM) -> About:
    place = (_STEP, 0.0, 500_000.0, 0.0, -_STEP, 5_500_000.0) if crs else None
    return About(
        "scene.tif", 3, "uint8", (Level(2000, 2000, (256, 256)),), transform=place, crs=crs.to_wkt() if crs else None
    )


def cells(path: Path, image: About) -> np.ndarray:
    pair = Fraction(20), Fraction(20)
    grid = Grid(100, 100, pair, pair, (Fraction(19, 2), Fraction(19, 2)), pair, (2000, 2000))
    rule = where_of(str(path), SimpleNamespace(about=image))
    assert rule is not None
    return rule.cells(grid, (0, 100), (0, 100))


def ring(step: float = _STEP) -> dict[str, object]:
    """A triangle with a hole, in the image's CRS, or in its pixels."""
    at = (lambda x, y: (500_000 + x * step, 5_500_000 - y * step)) if step > 1 else (lambda x, y: (x, y))
    outer, inner = [(103, 91), (1811, 513), (417, 1903), (103, 91)], [(507, 604), (809, 703), (613, 911), (507, 604)]
    return {"type": "Polygon", "coordinates": [[at(*p) for p in outer], [at(*p) for p in inner]]}


def expected() -> np.ndarray:
    area = shapely.from_geojson(json.dumps(ring(1)))
    centres = np.arange(100) * 20 + 10.0
    return shapely.contains_xy(area, *np.meshgrid(centres, centres))


def written(path: Path, shape: dict[str, object], crs: str) -> Path:
    wkb = np.array([shapely.to_wkb(shapely.from_geojson(json.dumps(shape)))], dtype=object)
    pyogrio.raw.write(path, wkb, field_data=[np.array([1])], fields=["id"], geometry_type="Polygon", crs=crs)
    return path


@pytest.mark.parametrize("suffix", [".gpkg", ".shp"])
@pytest.mark.parametrize("crs", ["EPSG:32632", "EPSG:3857", "EPSG:4326"])
def test_layers_in_any_crs(tmp_path: Path, suffix: str, crs: str) -> None:
    dense = json.loads(shapely.to_geojson(shapely.segmentize(shapely.from_geojson(json.dumps(ring())), 500)))
    path = written(tmp_path / f"w{suffix}", transform_geom(_UTM, crs, dense), crs)
    found = cells(path, about())
    assert found.sum() > 1500
    assert (found == expected()).all()


def test_geojson_is_longitude_and_latitude_unless_it_says_or_lies_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "w.geojson"
    for shape, stated in (
        (transform_geom(_UTM, "OGC:CRS84", ring()), None),
        (ring(), None),  # as older files have it: in the image's CRS
        (transform_geom(_UTM, "EPSG:3857", ring()), "urn:ogc:def:crs:EPSG::3857"),
    ):
        named = {} if stated is None else {"crs": {"type": "name", "properties": {"name": stated}}}
        features = [{"type": "Feature", "properties": {}, "geometry": shape}]
        path.write_text(json.dumps({"type": "FeatureCollection", "features": features, **named}))
        assert (cells(path, about()) != expected()).mean() <= 2e-3, stated  # a side of 40 km is bent
    path.write_text(json.dumps(ring(1)))
    assert (cells(path, about(None)) == expected()).all(), "pixels, where the image has no place"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())  # as Windows saves it
    assert (cells(path, about(None)) == expected()).all()


def test_bad_polygons_are_told(tmp_path: Path) -> None:
    path = written(tmp_path / "w.gpkg", ring(), "EPSG:32633")  # another zone: elsewhere
    with pytest.raises(BadInput, match="no polygon lies on the image, by the CRS that it states"):
        cells(path, about())
    small = json.loads(shapely.to_geojson(shapely.box(10, 10, 80, 80)))  # degrees that would do as pixels
    for crs in ("EPSG:32633", "OGC:CRS84"):
        with pytest.raises(BadInput, match="and the image does not say where it lies; give polygons in its pixels"):
            cells(written(tmp_path / f"{crs[:3]}.gpkg", small, crs), about(None))
    stated = {"crs": {"properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}, **small}
    (tmp_path / "d.geojson").write_text(json.dumps(stated))
    with pytest.raises(BadInput, match="and the image does not say where it lies"):
        cells(tmp_path / "d.geojson", about(None))
    shape = written(tmp_path / "s.shp", ring(), "EPSG:32632")
    shape.with_suffix(".shx").unlink()
    with pytest.raises(
        BadInput, match=r"s\.shp: a Shapefile is several files of one name, and its \.shx is not beside it"
    ):
        cells(shape, about())
    (tmp_path / "x.gpkg").write_bytes(b"<OGRVRTDataSource/>")
    with pytest.raises(BadInput, match=r"not a \.gpkg file: its first bytes"):
        cells(tmp_path / "x.gpkg", about())
    (tmp_path / "y.gpkg").write_bytes(path.read_bytes()[:3000])
    with pytest.raises(BadInput, match=r"y\.gpkg: (cannot be read|holds no polygon)"):
        cells(tmp_path / "y.gpkg", about())
    shape = {"crs": {"properties": {"name": "EPSG:nonsense"}}, **ring()}
    (tmp_path / "z.geojson").write_text(json.dumps(shape))
    with pytest.raises(BadInput, match=r"its CRS \(EPSG:nonsense\) cannot be laid onto"):
        cells(tmp_path / "z.geojson", about())
