"""GeoJSON as QuPath imports it, and as GIS programs read it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from fullconv.errors import MissingExtra
from fullconv.exports.coordinates import Coordinates, apply
from fullconv.exports.regions import Region, regions_of
from fullconv.maps.classmap import ClassMap, Peak
from fullconv.system.files import written_whole
from fullconv.system.guard import MARK

_SPACE = uuid.UUID(
    "5ab1c1a2-0a06-5b0c-9d3c-3f0a52a1f6a7"
)  # ids follow from what they name, so that a second export is the same


def write_geojson(
    found: ClassMap, out: Path, classes: tuple[int, ...], what: str, threshold: float, distance: float | None
) -> None:
    """Regions as annotations, or peaks as detections with their crop; ``classification`` names the class, ``measurements`` the scores."""
    if what == "regions":
        try:
            import shapely  # noqa: F401
        except ImportError:
            raise MissingExtra(
                f"{out}: regions need shapely; install it with: pip install 'fullconv[geo]' or 'fullconv[slide]'"
            ) from None
    placed = Coordinates.of(found)
    features = (
        _regions(found, placed, classes, threshold)
        if what == "regions"
        else _peaks(found, placed, classes, threshold, distance)
    )
    head: dict[str, Any] = {"type": "FeatureCollection", "generator": MARK}
    if placed.on_earth and placed.crs is not None:
        head["crs"] = {"type": "name", "properties": {"name": _crs_name(placed.crs)}}
    with written_whole(out) as (part,), part.open("w", encoding="utf-8") as file:
        file.write(json.dumps(head)[:-1] + ', "features": [')
        for i, feature in enumerate(features):
            file.write(("," if i else "") + "\n" + json.dumps(feature))
        file.write("\n]}\n")


def _regions(
    found: ClassMap, placed: Coordinates, classes: tuple[int, ...], threshold: float
) -> Iterator[dict[str, Any]]:
    for index in classes:
        for region in regions_of(found, index, threshold):
            measured = {"max score": region.best, "mean score": region.mean, "cells": region.cells}
            yield _feature(found, index, "annotation", _outline(region, placed), measured)


def _peaks(
    found: ClassMap, placed: Coordinates, classes: tuple[int, ...], threshold: float, distance: float | None
) -> Iterator[dict[str, Any]]:
    for index in classes:
        for peak in found.peaks(index, threshold, distance):
            yield _feature(
                found, index, "detection", _crop(peak, placed), {"score": peak.score, "row": peak.row, "col": peak.col}
            )


def _feature(
    found: ClassMap, index: int, kind: str, geometry: dict[str, Any], measured: dict[str, float]
) -> dict[str, Any]:
    label = found.labels[index]
    key = json.dumps([label, kind, geometry])
    return {
        "type": "Feature",
        "id": str(uuid.uuid5(_SPACE, key)),
        "geometry": geometry,
        "properties": {
            "objectType": kind,
            "classification": {"name": label, "color": list(found.colour(index))},
            "measurements": measured,
        },
    }


def _outline(region: Region, placed: Coordinates) -> dict[str, Any]:
    """The polygon around a region's cells, with its holes."""
    import shapely

    rows, firsts, lasts = (np.array(side, np.float64) for side in zip(*region.runs, strict=True))
    shape = shapely.union_all(shapely.box(firsts, rows, lasts, rows + 1)).simplify(0)
    polygons = [shape] if shape.geom_type == "Polygon" else list(shape.geoms)
    rings = [
        [_turned(_ring(ring, placed), ccw=i == 0) for i, ring in enumerate((polygon.exterior, *polygon.interiors))]
        for polygon in polygons
    ]
    return (
        {"type": "Polygon", "coordinates": rings[0]}
        if len(rings) == 1
        else {"type": "MultiPolygon", "coordinates": rings}
    )


def _ring(ring: Any, placed: Coordinates) -> list[list[float]]:
    x, y = apply(placed.cells, *np.asarray(ring.coords).T)
    return [[float(a), float(b)] for a, b in zip(x, y, strict=True)]


def _crop(peak: Peak, placed: Coordinates) -> dict[str, Any]:
    x0, y0, x1, y1 = peak.box
    x, y = apply(placed.pixels, [x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0])
    ring = [[float(a), float(b)] for a, b in zip(x, y, strict=True)]
    return {"type": "Polygon", "coordinates": [_turned(ring, ccw=True)]}


def _turned(ring: list[list[float]], *, ccw: bool) -> list[list[float]]:
    """A ring counterclockwise or clockwise, as RFC 7946 has outlines and holes."""
    area = sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise(ring))
    return ring if (area > 0) == ccw else ring[::-1]


def _crs_name(wkt: str) -> str:
    """``urn:ogc:def:crs:EPSG::n`` where the CRS has a number, else its WKT."""
    try:
        from rasterio.crs import CRS

        code = CRS.from_wkt(wkt).to_epsg()
    except (ImportError, ValueError):
        code = None
    return wkt if code is None else f"urn:ogc:def:crs:EPSG::{code}"
