"""Polygons that say which cells are mapped: GeoJSON, a GeoPackage or a Shapefile, in any CRS that it states.

GeoJSON that states none is in longitude and latitude, as its standard has it, where it lies on the image so; else in the image's own CRS.
Over an image without a place all polygons are in pixels of its finest level (x to the right, y down), and those of a place on the earth are
refused: degrees would be taken for pixels.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from fullconv.errors import BadInput, MissingExtra
from fullconv.geometry.grid import Grid
from fullconv.rasters.source import About
from fullconv.stream.mask import Array, Mask, centres
from fullconv.system.guard import require_start

SUFFIXES = (".geojson", ".json", ".gpkg", ".shp")
_LARGEST = 64 << 20  # bytes of a file of polygons
_STARTS = {".gpkg": b"SQLite format 3\0", ".shp": b"\0\0\x27\x0a"}  # what GDAL may take for nothing else
_AT_ONCE = 4096  # cells that are asked one by one; larger blocks are halved where a border runs through them
_BENDS = 50  # parts that a side is cut into before it is laid into another CRS, where it is no straight line
_WGS84 = "OGC:CRS84"


class Polygons:
    """The cells whose centres lie in polygons.

    Args:
        path: GeoJSON, GeoPackage (its polygon layers) or Shapefile.
        about: the image.

    Raises:
        BadInput: it cannot be read, holds no polygon, or none lies on the image.
    """

    def __init__(self, path: Path, about: About) -> None:
        try:
            import shapely
        except ImportError:
            raise MissingExtra(
                "polygons need shapely; install it with: pip install 'fullconv[geo]' or 'fullconv[slide]'"
            ) from None
        if path.stat().st_size > _LARGEST:
            raise BadInput(f"{path}: larger than {_LARGEST >> 20} MB; simplify the polygons")
        self._transform = about.transform
        found = _read_json(path) if path.suffix.lower() in (".geojson", ".json") else _read_layers(path)
        areas = [(shapely.make_valid(shape), crs) for shape, crs in found if shape is not None and shape.area > 0]
        if not areas:
            raise BadInput(f"{path}: holds no polygon with an area")
        height, width = about.size
        x, y = self._placed(np.array([0.0, width, width, 0.0]), np.array([0.0, 0.0, height, height]))
        image = shapely.Polygon(list(zip(x, y, strict=True)))
        self._area = _on_image(path, areas, about, image)
        self.fingerprint = hashlib.sha256(shapely.to_wkb(self._area, byte_order=1)).hexdigest()[:32]
        shapely.prepare(self._area)

    def _placed(self, x: Array, y: Array) -> tuple[Array, Array]:
        if self._transform is None:
            return x, y
        a, b, c, d, e, f = self._transform
        return a * x + b * y + c, d * x + e * y + f

    def cells(self, grid: Grid, rows: tuple[int, int], cols: tuple[int, int]) -> Mask:
        found = np.zeros((rows[1] - rows[0], cols[1] - cols[0]), np.bool_)
        waiting = [(rows, cols)]
        while waiting:
            down, right = waiting.pop()
            sides = down[1] - down[0], right[1] - right[0]
            into = found[down[0] - rows[0] : down[1] - rows[0], right[0] - cols[0] : right[1] - cols[0]]
            if sides[0] * sides[1] <= _AT_ONCE:
                into[...] = self._inside(grid, down, right)
            elif (within := self._holds(grid, down, right)) is not None:
                into[...] = within
            elif sides[0] >= sides[1]:
                waiting += [((a, b), right) for a, b in _halves(down)]
            else:
                waiting += [(down, (a, b)) for a, b in _halves(right)]
        return found

    def _inside(self, grid: Grid, rows: tuple[int, int], cols: tuple[int, int]) -> Mask:
        import shapely

        y, x = centres(grid, rows, cols)
        across, down = np.meshgrid(x + 0.5, y + 0.5)  # pixel i reaches from i to i + 1
        found: Mask = shapely.contains_xy(self._area, *self._placed(across, down))
        return found

    def _holds(self, grid: Grid, rows: tuple[int, int], cols: tuple[int, int]) -> bool | None:
        """Whether all centres of a block of cells lie in the polygons, or none; None where a border runs through it."""
        import shapely

        y, x = centres(grid, rows, cols)
        corners = np.array([x[0], x[-1], x[-1], x[0]]) + 0.5, np.array([y[0], y[0], y[-1], y[-1]]) + 0.5
        block = shapely.MultiPoint(list(zip(*self._placed(*corners), strict=True))).convex_hull
        if not shapely.intersects(self._area, block):
            return False
        return True if shapely.contains_properly(self._area, block) else None


def _on_image(path: Path, areas: list[tuple[Any, str | None]], about: About, image: Any) -> Any:
    """All areas as one, in what the image's cells are counted in: its CRS, or its pixels."""
    import shapely

    stated = any(crs is not None for _, crs in areas)
    if about.crs is None or about.transform is None:
        for crs in {crs for _, crs in areas if crs is not None}:
            if _on_earth(path, crs):
                raise BadInput(
                    f"{path}: lies on the earth by the CRS that it states ({crs:.60}), and the image does not say where it lies; give polygons in its pixels"
                )
        area = shapely.union_all([shape for shape, _ in areas])
        if shapely.intersects(area, image):
            return area
        raise BadInput(f"{path}: no polygon lies on the image; coordinates must be in pixels of the image")
    degrees = stated or all(_in_degrees(shape) for shape, _ in areas)
    area = shapely.union_all([_laid(path, shape, crs or _WGS84, about.crs) for shape, crs in areas] if degrees else [])
    if not stated and not shapely.intersects(area, image):
        area = shapely.union_all([shape for shape, _ in areas])  # by habit of older GeoJSON
    if not shapely.intersects(area, image):
        told = (
            f"by the CRS that it states ({areas[0][1]:.60})"
            if stated
            else "in longitude and latitude, or in the image's own CRS"
        )
        raise BadInput(f"{path}: no polygon lies on the image, {told}")
    return area


def _halves(between: tuple[int, int]) -> list[tuple[int, int]]:
    middle = sum(between) // 2
    return [(between[0], middle), (middle, between[1])]


def _in_degrees(shape: Any) -> bool:
    low_x, low_y, high_x, high_y = shape.bounds
    return bool(-360 <= low_x <= high_x <= 360 and -90 <= low_y <= high_y <= 90)


def _on_earth(path: Path, crs: str) -> bool:
    """Whether a CRS is of the earth, and no plane of its own, as programs state for drawings over pictures."""
    try:
        from rasterio.crs import CRS

        found = CRS.from_user_input(crs)
    except ImportError:
        raise MissingExtra(
            f"{path}: states a CRS, which rasterio reads; install it with: pip install 'fullconv[geo]'"
        ) from None
    except Exception as error:  # GDAL's and PROJ's
        raise BadInput(f"{path}: its CRS ({crs:.60}) cannot be read ({str(error)[:200]})") from None
    return bool(found.is_geographic or found.is_projected)


def _laid(path: Path, shape: Any, crs: str, onto: str) -> Any:
    """A shape of one CRS in another; empty where it does not exist there."""
    import shapely

    try:
        from rasterio.crs import CRS
        from rasterio.warp import transform
    except ImportError:
        raise MissingExtra(
            "polygons in another CRS need rasterio; install it with: pip install 'fullconv[geo]'"
        ) from None
    try:
        before, after = CRS.from_user_input(crs), CRS.from_user_input(onto)
        if before == after:
            return shape
        low_x, low_y, high_x, high_y = shape.bounds
        bent = shapely.segmentize(shape, max(high_x - low_x, high_y - low_y) / _BENDS)
        found = shapely.transform(bent, lambda at: np.stack(transform(before, after, at[:, 0], at[:, 1]), axis=1))
    except Exception as error:  # GDAL, PROJ and GEOS, each with errors of its own
        raise BadInput(f"{path}: its CRS ({crs:.60}) cannot be laid onto the image's ({str(error)[:200]})") from None
    finite = bool(np.isfinite(shapely.get_coordinates(found)).all())
    return shapely.make_valid(found) if finite else shapely.Polygon()


def _read_json(path: Path) -> list[tuple[Any, str | None]]:
    """Shapes of GeoJSON, and the CRS that it states, as older files do."""
    import shapely

    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
        shapes = [shapely.from_geojson(json.dumps(each)) for each in _geometries(data) if each]
        named = data.get("crs") if isinstance(data, dict) else None
        crs = None if named is None else str(named["properties"]["name"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, shapely.GEOSException) as error:
        raise BadInput(f"{path}: not GeoJSON that can be read ({str(error)[:200]})") from None
    return [(shape, crs) for shape in shapes]


def _geometries(data: Any) -> list[dict[str, Any]]:
    if isinstance(data, list):
        return [each for part in data for each in _geometries(part)]
    if data.get("type") == "FeatureCollection":
        return [each for part in data["features"] for each in _geometries(part)]
    return [data["geometry"]] if data.get("type") == "Feature" else [data]


def _read_layers(path: Path) -> list[tuple[Any, str | None]]:
    """Shapes of all layers of a GeoPackage or a Shapefile, each with its layer's CRS."""
    import shapely

    try:
        import pyogrio
    except ImportError:
        raise MissingExtra(f"{path}: needs pyogrio; install it with: pip install 'fullconv[geo]'") from None
    require_start(path, _STARTS[path.suffix.lower()], f"a {path.suffix.lower()} file")
    if path.suffix.lower() == ".shp" and not any(path.with_suffix(suffix).is_file() for suffix in (".shx", ".SHX")):
        raise BadInput(f"{path}: a Shapefile is several files of one name, and its .shx is not beside it")
    found = []
    try:
        for layer, _ in pyogrio.list_layers(path):
            about, _, shapes, _ = pyogrio.raw.read(path, layer=layer, columns=[], force_2d=True)
            found += [(shape, about["crs"]) for shape in shapely.from_wkb(shapes if shapes is not None else [])]
    except Exception as error:  # GDAL, SQLite and GEOS, each with errors of its own
        raise BadInput(f"{path}: cannot be read ({str(error)[:200]})") from None
    return found
