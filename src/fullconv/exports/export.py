"""``fullconv.export``: a map as GeoTIFF, GeoJSON, CSV, Parquet, PNG or ``.npz``, by the name of the file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from fullconv.errors import BadInput
from fullconv.maps.classmap import ClassMap
from fullconv.render.overlay import Look
from fullconv.render.page import DPI
from fullconv.render.pictured import page_of
from fullconv.system.guard import guarded, reads, require_writable

What = Literal["regions", "peaks", "cells", "areas"]
SUFFIXES = (".tif", ".tiff", ".geojson", ".json", ".csv", ".parquet", ".png", ".svg", ".pdf", ".npz")


def export(
    result: ClassMap | str | Path,
    out: str | Path,
    *,
    name: str | int | None = None,
    what: What | None = None,
    threshold: float | None = None,
    distance: float | None = None,
    image: Any = None,
    look: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a map in another format.

    Args:
        result: a map, or the path of a store or an ``.npz``.
        out: ``.tif`` a cloud-optimised GeoTIFF, a band a class; ``.geojson`` regions or peaks, as QuPath imports them, in the image's CRS
            or in pixels of its finest level; ``.csv`` and ``.parquet`` cells or peaks; ``.png``, ``.svg`` and ``.pdf`` a picture; ``.npz`` as ``ClassMap.save``.
        name: one class; all by default (of a picture: the winning class of each cell).
        what: ``regions`` of cells that score at least ``threshold``, ``peaks``, ``cells``, or ``areas``, a row a class: the cells that it wins.
        threshold: least score of regions, peaks and, where a class is named, of cells; 0.5 of probabilities by default.
        distance: least distance of two peaks in pixels; half a crop by default.
        image: what a picture is laid over.
        look: of a picture: ``alpha``, ``cmap``, ``interpolate`` and ``dpi``, as for ``ClassMap.save_picture``.
        overwrite: a file that exists and that fullconv did not write may be replaced; what is read never is.

    Raises:
        BadInput: the name ends in none of these, or the format cannot hold the map.
        MissingExtra: a library is needed that is not installed.
    """
    with guarded(image, overwrite=overwrite):
        found = result if isinstance(result, ClassMap) else ClassMap.load(result)
        reads(getattr(found.scores, "name", None))  # the store that it lies in
        return _export(found, Path(out), name, what, threshold, distance, image, look)


def _export(
    found: ClassMap,
    target: Path,
    name: str | int | None,
    what: What | None,
    threshold: float | None,
    distance: float | None,
    image: Any,
    look: Mapping[str, Any] | None,
) -> Path:
    require_writable(target)  # before the work
    suffix = target.suffix.lower()
    if suffix not in SUFFIXES:
        raise BadInput(f"{target}: exports are {', '.join(SUFFIXES)}, by the name of the file")
    classes = tuple(range(len(found.labels))) if name is None else (found.class_index(name),)
    wanted = what or {".geojson": "regions", ".json": "regions"}.get(suffix, "cells" if name is None else "peaks")
    if suffix in (".tif", ".tiff"):
        from fullconv.exports.geotiff import write_geotiff

        write_geotiff(found, target, classes)
    elif suffix in (".geojson", ".json"):
        from fullconv.exports.geojson import write_geojson

        if wanted in ("cells", "areas"):
            raise BadInput(f"{target}: GeoJSON holds regions or peaks; {wanted} go to .csv or .parquet")
        write_geojson(found, target, classes, wanted, found.least_score(threshold), distance)
    elif suffix in (".csv", ".parquet"):
        from fullconv.exports.table import write_table

        if wanted == "regions":
            raise BadInput(f"{target}: tables hold cells, peaks or areas; regions go to .geojson")
        limited = (name is not None and wanted != "areas") or wanted == "peaks"
        least = found.least_score(threshold) if limited else None
        write_table(found, target, classes, wanted, least, distance)
    elif suffix in (".png", ".svg", ".pdf"):
        about = dict(look or {})
        dpi = about.pop("dpi", DPI)
        page_of(found, name, image, Look(**about)).save(target, dpi)
    else:
        found.save(target)
    return target
