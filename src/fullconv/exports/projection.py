"""From an image's coordinates to those that are asked for: another CRS, longitudes cut at the antimeridian."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.errors import BadInput, MissingExtra
from fullconv.exports.coordinates import Coordinates, apply
from fullconv.maps.classmap import ClassMap

Array = npt.NDArray[Any]
WGS84 = "EPSG:4326"
OWN = "image"
_TRIED = 33  # points a side at which a CRS is tried before anything is written
_TORN = 20  # times the usual step that no step of a map takes in a CRS that leaves it whole
_DIGITS = 9  # decimals of a degree: a tenth of a millimetre


@dataclass(frozen=True, slots=True)
class Projection:
    """Coordinates of what is written.

    Attributes:
        placed: the map's own coordinates.
        crs: of what is written, as WKT; None of pixels, and where the image says none.
        moved: whether that is another than the image's.
        degrees: whether longitude and latitude are asked for: in this order, and longitudes from -180 to 180.
        wgs84: whether they are those of RFC 7946.
    """

    placed: Coordinates
    crs: str | None
    moved: bool = False
    degrees: bool = False
    wgs84: bool = False

    @staticmethod
    def of(found: ClassMap, asked: str | None, name: str) -> Projection:
        """A map's coordinates in a CRS.

        Args:
            asked: a CRS as GDAL takes it (``EPSG:4326``, WKT), or None or ``image`` for the image's own.
            name: of the map, for messages.

        Raises:
            BadInput: there is no such CRS, the image has none, or it cannot be transformed to this one.
        """
        placed = Coordinates.of(found)
        own = placed.crs if placed.on_earth else None
        if asked in (None, OWN) and own is None:
            return Projection(placed, None)
        if own is None:
            why = "has no place on the earth" if not placed.on_earth else "does not say in which CRS it lies"
            raise BadInput(f"{name}: its image {why}, so that it cannot be written in {asked}; leave --crs out")
        source, target = _parsed(own, name), _parsed(own if asked in (None, OWN) else str(asked), f"--crs {asked}")
        wgs84 = target == _parsed(WGS84, WGS84)
        degrees = asked not in (None, OWN) and bool(target.is_geographic)
        made = Projection(placed, target.to_wkt(), source != target, degrees, wgs84)
        if made.moved:
            made._require_whole(found, name, str(asked))
        return made

    def points(self, x: Any, y: Any) -> tuple[Array, Array]:
        """Coordinates of points that are in the image's."""
        x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
        if self.moved:
            x, y = (np.asarray(part, np.float64).reshape(x.shape) for part in _transform(self, x.ravel(), y.ravel()))
            if not (np.isfinite(x).all() and np.isfinite(y).all()):
                raise BadInput("a part of the map has no place in the CRS that is asked for; choose another with --crs")
        if self.degrees:
            x = np.where(np.abs(x) > 180, (x + 180) % 360 - 180, x)
        return x, y

    def shapes(self, shapes: Array, *, of_pixels: bool = False) -> Array:
        """Polygons (n,) over corners of cells' squares, or of pixels, with outlines counterclockwise.

        Lines that are straight over the image keep a point at every cell's corner where they end up bent, so that neighbours stay neighbours.
        """
        import shapely

        affine = self.placed.pixels if of_pixels else self.placed.cells
        if self.moved and not of_pixels:
            shapes = _cornered(shapes)
        shapes = shapely.transform(shapes, lambda points: np.stack(apply(affine, *points.T), axis=1))
        if self.moved:
            shapes = self._moved(shapes)
        if self.degrees:
            shapes = np.array([_within_degrees(shape) for shape in shapes], object)
            shapes = shapely.transform(shapes, lambda points: np.round(points, _DIGITS))
        return np.array([_turned(shape) for shape in shapes], object)

    def _moved(self, shapes: Array) -> Array:
        """Polygons in the CRS that is asked for; those that the antimeridian or a pole tears are cut there by GDAL."""
        import shapely

        def move(points: Array) -> Array:
            x, y = _transform(self, points[:, 0], points[:, 1])
            return np.stack([x, y], axis=1)

        moved: Array = shapely.transform(shapes, move)
        points, owner = shapely.get_coordinates(moved, return_index=True)
        if not np.isfinite(points).all():
            raise BadInput("a part of the map has no place in the CRS that is asked for; choose another with --crs")
        if self.degrees:
            torn = (np.abs(np.diff(points[:, 0])) > 180) & (owner[1:] == owner[:-1])
            from rasterio.warp import transform_geom

            for i in np.unique(owner[1:][torn]):
                one = json.loads(shapely.to_geojson(shapes[i]))
                moved[i] = shapely.from_geojson(
                    json.dumps(transform_geom(self.placed.crs, self.crs, one, antimeridian_cutting=True))
                )
        return moved

    def _require_whole(self, found: ClassMap, name: str, asked: str) -> None:
        """BadInput where the map has no place in the CRS, or is torn apart there."""
        rows, cols = np.linspace(0, found.grid.rows, _TRIED), np.linspace(0, found.grid.cols, _TRIED)
        x, y = apply(self.placed.cells, *np.meshgrid(cols, rows))
        away = BadInput(
            f"{name}: its CRS cannot be transformed to {asked}, at least not all over the map; choose another with --crs "
            f"(--crs {OWN} keeps the image's own)"
        )
        try:
            there = np.stack(_transform(self, x.ravel(), y.ravel())).reshape(2, *x.shape)
        except BadInput:
            raise away from None
        if not np.isfinite(there).all():
            raise away
        if self.degrees:
            return  # the antimeridian is cut
        for axis in (1, 2):
            steps = np.hypot(*np.diff(there, axis=axis))
            if steps.size and steps.max() > _TORN * np.median(steps):
                raise BadInput(
                    f"{name}: {asked} tears the map apart (it crosses the antimeridian or a pole); choose another with --crs"
                )


def _parsed(text: str, name: str) -> Any:
    try:
        from rasterio.crs import CRS
        from rasterio.errors import CRSError
    except ImportError:
        raise MissingExtra(
            f"{name}: coordinates of a CRS need rasterio; install it with: pip install 'fullconv[geo]'"
        ) from None
    try:
        return CRS.from_user_input(text)
    except (CRSError, ValueError) as error:
        told = " ".join(str(error).split())[:200]
        raise BadInput(f"{name}: no CRS that is known ({told}); give one such as EPSG:4326") from None


def _transform(projection: Projection, x: Array, y: Array) -> tuple[Array, Array]:
    from rasterio.warp import transform

    if not len(x):
        return x, y
    try:
        found = transform(projection.placed.crs, projection.crs, x, y)
    except Exception as error:  # GDAL's, each of a class of its own
        raise BadInput(f"the image's CRS cannot be transformed ({str(error)[:200]})") from None
    return np.asarray(found[0], np.float64), np.asarray(found[1], np.float64)


def _cornered(shapes: Array) -> Array:
    """Polygons over cells with a point at every corner of a cell along their outlines."""
    import shapely

    found: Array = shapely.transform(shapely.segmentize(shapes, 1), np.round)
    return found


def _within_degrees(shape: Any) -> Any:
    """A shape with longitudes up to 360 cut at 180, the rest moved to the west."""
    import shapely
    from shapely.affinity import translate

    west, _, east, _ = shape.bounds
    if west >= -180 and east <= 180:
        return shape
    turns = range(int(np.floor((west + 180) / 360)), int(np.floor((east + 180) / 360)) + 1)
    parts = [
        translate(shapely.intersection(shape, shapely.box(360 * k - 180, -90, 360 * k + 180, 90)), -360 * k)
        for k in turns
    ]
    areas = [each for part in parts for each in shapely.get_parts(part) if each.geom_type == "Polygon"]
    return areas[0] if len(areas) == 1 else shapely.multipolygons(areas)


def _turned(shape: Any) -> Any:
    """Outlines counterclockwise and holes clockwise, as RFC 7946 has them."""
    import shapely
    from shapely.geometry.polygon import orient

    if shape.geom_type == "Polygon":
        return orient(shape)
    return shapely.multipolygons([orient(part) for part in shape.geoms])
