"""GeoPackage and FlatGeobuf, by pyogrio (extra ``geo``): GDAL's own writers, without GDAL's Python bindings, which have no wheels."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fullconv.errors import BadInput, MissingExtra
from fullconv.exports.features import Features
from fullconv.exports.geojson import Layer
from fullconv.exports.names import number_of
from fullconv.exports.projection import Projection
from fullconv.maps.classmap import ClassMap
from fullconv.system.files import written_whole
from fullconv.system.guard import MARK

_MOST_COLUMNS = 1900  # SQLite's 2000, less those of features and of the format
_GEOMETRY = "MultiPolygon"  # of all, since the antimeridian cuts some
# What GDAL writes of coordinates that are no CRS's, so that a reader does not take them for degrees.
_PIXELS = (
    'ENGCRS["Undefined Cartesian SRS with unknown unit",EDATUM["Unknown engineering datum"],CS[Cartesian,2],'
    'AXIS["x",unspecified,ORDER[1]],AXIS["y",unspecified,ORDER[2]],LENGTHUNIT["unknown",0]]'
)


def write_layers(layers: Iterator[Layer], out: Path, what: str, names: tuple[str, ...], crs: Projection) -> int:
    """Write polygons of some maps as one layer, named for what they are; how many there are.

    A GeoPackage takes them piece by piece. A FlatGeobuf is written once and begins with its index, so that it is made of a GeoPackage, by GDAL.
    """
    try:
        import pyogrio  # noqa: F401
    except ImportError:
        raise MissingExtra(
            f"{out}: GeoPackage and FlatGeobuf need pyogrio; install it with: pip install 'fullconv[geo]'"
        ) from None
    wkt = crs.crs or _PIXELS
    with written_whole(out) as (part,), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # pyogrio's, of a CRS without a number
        if out.suffix.lower() == ".gpkg":
            return _geopackage(layers, part, what, names, wkt, out)
        between = part.with_suffix(".between.gpkg")
        try:
            count = _geopackage(layers, between, what, names, wkt, out)
            _flatgeobuf(between, part, what, wkt)
        finally:
            between.unlink(missing_ok=True)
        return count


def _geopackage(layers: Iterator[Layer], part: Path, what: str, names: tuple[str, ...], wkt: str, out: Path) -> int:
    import pyogrio

    count, begun = 0, False
    first: list[str] = []
    for image, found, _, every in layers:
        for features in every:
            if begun and not len(features.shapes):
                continue
            columns = _columns(features, found, image, names)
            first = first or list(columns)
            if list(columns) != first:
                differ = ", ".join(sorted(set(first) ^ set(columns)))
                raise BadInput(f"{out}: the maps do not all have the same columns ({differ}); export them one by one")
            if len(columns) > _MOST_COLUMNS:
                raise BadInput(
                    f"{out}: {len(columns)} columns, and it holds {_MOST_COLUMNS} at most; choose classes with --class"
                )
            import shapely

            how: dict[str, Any] = {"append": True} if begun else {"layer_options": {"DESCRIPTION": MARK}}
            pyogrio.raw.write(
                part, shapely.to_wkb(features.shapes), list(columns.values()), list(columns), layer=what, driver="GPKG",
                geometry_type=_GEOMETRY, promote_to_multi=True, crs=wkt, **how,
            )  # fmt: skip
            begun = True
            count += len(features.shapes)
    return count


def _flatgeobuf(between: Path, part: Path, what: str, wkt: str) -> None:
    import pyogrio

    with pyogrio.raw.open_arrow(between, layer=what) as (about, stream):
        pyogrio.raw.write_arrow(
            stream, part, layer=what, driver="FlatGeobuf", geometry_name=about["geometry_name"], geometry_type=_GEOMETRY, crs=wkt,
            layer_options={"DESCRIPTION": MARK},
        )  # fmt: skip


def _columns(features: Features, found: ClassMap, image: str, names: tuple[str, ...]) -> dict[str, Any]:
    chosen = features.classes.tolist()
    texts = {
        "image": [image] * len(chosen),
        "label": [names[i] for i in chosen],
        "color": [f"#{bytes(found.colour(i)).hex()}" for i in chosen],
    }
    columns: dict[str, Any] = {name: np.array(values, object) for name, values in texts.items()}
    return {
        "image": columns["image"],
        "class": np.array([number_of(found, i) for i in chosen], np.int64),
        "label": columns["label"],
        "color": columns["color"],
        **features.numbers,
    }
