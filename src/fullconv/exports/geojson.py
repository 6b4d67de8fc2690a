"""GeoJSON: as QuPath imports it for images in pixels, with flat attributes in RFC 7946's WGS84 for images on the earth."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fullconv.exports.features import Features
from fullconv.exports.names import number_of
from fullconv.exports.projection import Projection
from fullconv.maps.classmap import ClassMap
from fullconv.system.files import written_whole
from fullconv.system.guard import MARK

_SPACE = uuid.UUID(
    "5ab1c1a2-0a06-5b0c-9d3c-3f0a52a1f6a7"
)  # ids follow from what they name, so that a second export is the same
_OBJECTS = {"regions": "annotation", "winners": "annotation", "peaks": "detection", "cells": "tile"}  # QuPath's
MEASUREMENTS = {"score_max": "max score", "score_mean": "mean score", "area_um2": "area µm^2", "area_mm2": "area mm^2"}

Layer = tuple[
    str, ClassMap, Projection, Iterator[Features]
]  # name of the image, map, coordinates, what is written of it


def write_geojson(layers: Iterator[Layer], out: Path, what: str, names: tuple[str, ...], crs: Projection) -> int:
    """Write polygons of some maps, one feature a line; how many there are.

    Args:
        names: of the classes.
        crs: coordinates, of all maps alike.

    In pixels, a feature is an object of QuPath with ``classification`` and ``measurements``; on the earth, it has attributes that are texts and
    numbers, and the CRS is named where it is another than RFC 7946's.
    """
    head: dict[str, Any] = {"type": "FeatureCollection", "generator": MARK}
    if crs.crs is not None and not crs.wgs84:
        head["crs"] = {"type": "name", "properties": {"name": _crs_name(crs.crs)}}
    count = 0
    with written_whole(out) as (part,), part.open("w", encoding="utf-8") as file:
        file.write(json.dumps(head)[:-1] + ', "features": [')
        for image, found, projection, every in layers:
            about = _flat if projection.placed.on_earth else _of_qupath
            for features in every:
                for text in _texts(features, found, image, what, names, about):
                    file.write(f"{',' if count else ''}\n{text}")
                    count += 1
        file.write("\n]}\n")
    return count


def _texts(
    features: Features,
    found: ClassMap,
    image: str,
    what: str,
    names: tuple[str, ...],
    about: Callable[..., dict[str, Any]],
) -> Iterator[str]:
    import shapely

    columns = {name: values.tolist() for name, values in features.numbers.items()}
    shapes = shapely.to_geojson(features.shapes).tolist()
    for i, (shape, index) in enumerate(zip(shapes, features.classes.tolist(), strict=True)):
        numbers = {name: _number(values[i]) for name, values in columns.items()}
        extra = about(found, image, what, names[index], index, shape, numbers)
        yield f'{{"type": "Feature", "geometry": {shape}, {json.dumps(extra, allow_nan=False)[1:]}'


def _of_qupath(
    found: ClassMap, image: str, what: str, name: str, index: int, shape: str, numbers: dict[str, Any]
) -> dict[str, Any]:
    known = {MEASUREMENTS.get(name, name): value for name, value in numbers.items() if value is not None}
    properties: dict[str, Any] = {
        "objectType": _OBJECTS[what],
        "classification": {"name": name, "color": list(found.colour(index))},
        "measurements": known,
    }
    if image:
        properties["image"] = image
    return {"id": str(uuid.uuid5(_SPACE, json.dumps([image, name, what, shape]))), "properties": properties}


def _flat(
    found: ClassMap, image: str, what: str, name: str, index: int, shape: str, numbers: dict[str, Any]
) -> dict[str, Any]:
    colour = f"#{bytes(found.colour(index)).hex()}"
    return {"properties": {"image": image, "class": number_of(found, index), "label": name, "color": colour, **numbers}}


def _number(value: float) -> float | None:
    """A number as JSON has it: infinity and none are null. Scores have the digits of a float32."""
    if isinstance(value, int):
        return value
    return value if math.isfinite(value) else None


def _crs_name(wkt: str) -> str:
    """``urn:ogc:def:crs:EPSG::n`` where the CRS has a number, else its WKT."""
    from rasterio.crs import CRS

    crs = CRS.from_wkt(wkt)
    authority = crs.to_authority()
    if authority is None or CRS.from_authority(*authority) != crs:  # one that is merely alike
        return wkt
    return f"urn:ogc:def:crs:{authority[0]}::{authority[1]}"
