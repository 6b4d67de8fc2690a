"""``fullconv.export``: maps in the formats of other programs, by the name of the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from fullconv.errors import BadInput, MissingExtra
from fullconv.exports.features import POLYGONS, features_of
from fullconv.exports.gathered import Gathered, Result
from fullconv.exports.names import names_of
from fullconv.exports.projection import OWN, WGS84, Projection
from fullconv.maps.areas import area_note
from fullconv.maps.classmap import ClassMap
from fullconv.maps.colours import Given
from fullconv.maps.labels import Named, classes_named
from fullconv.render.components import FEATURES
from fullconv.render.overlay import Look
from fullconv.render.page import DPI, SUFFIXES
from fullconv.render.pictured import page_of
from fullconv.system.guard import guarded, require_writable

What = Literal["scores", "winners", "regions", "peaks", "cells", "areas", "pca"]
_FINDINGS = ("regions", "winners", "peaks", "areas")  # what is of classes that are looked for
_POLYGONS, _TABLES, _PICTURE = POLYGONS, ("cells", "peaks", "areas"), ("picture", "pca")
_WON = ("winners", "areas", "cells")
# What a format holds, by the end of a file's name; the first is taken where nothing is said. The longest end counts.
HOLDS: Mapping[str, tuple[str, ...]] = {
    ".ome.tif": ("scores",), ".ome.tiff": ("scores",), ".tif": ("scores", "winners", "pca"), ".tiff": ("scores", "winners", "pca"),
    ".geojson": _POLYGONS, ".json": _POLYGONS, ".gpkg": _POLYGONS, ".fgb": _POLYGONS, ".csv": _TABLES, ".parquet": _TABLES,
    ".png": _PICTURE, ".svg": _PICTURE, ".pdf": _PICTURE, ".npz": ("map",),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Written:
    """What an export wrote.

    Attributes:
        count: of features or rows; None of rasters and pictures.
        notes: what is to be known of it.
    """

    path: Path
    what: str
    count: int | None = None
    notes: tuple[str, ...] = ()


def export(
    result: Result | Sequence[Result],
    out: str | Path,
    *,
    name: Named | None = None,
    what: What | None = None,
    threshold: float | None = None,
    distance: float | None = None,
    crs: str | None = None,
    image: Any = None,
    look: Mapping[str, Any] | None = None,
    colours: Given = None,
    partial: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write maps in another format.

    Args:
        result: a map, the path of a store or an ``.npz``, or several, of the same classes, for polygons and tables.
        out: ``.tif`` a cloud-optimised GeoTIFF: a band of scores a class, or (``winners``) the winning classes with colours and names;
            ``.ome.tif`` an OME-TIFF of scores; ``.geojson``, ``.gpkg`` and ``.fgb`` (FlatGeobuf) polygons; ``.csv`` and ``.parquet`` tables;
            ``.png``, ``.svg`` and ``.pdf`` a picture; ``.npz`` as ``ClassMap.save``.
        name: one class, or several (a list, or with commas between); all by default (of a picture: the winning class of each cell), of regions, winners' polygons,
            peaks and areas those that the network's card does not call background.
        what: ``scores``; ``winners``, the regions that one class wins, a partition of the cells with an answer; ``regions`` of cells that score at least
            ``threshold``; ``peaks``; ``cells``; ``areas``, a row a class: the cells that it wins; ``pca``, the first three principal components of a layer's
            features as red, green and blue, a picture or a GeoTIFF. By the format by default.
        threshold: least score of regions, peaks and, where a class is named, of cells; that of the network's card by default, else 0.5 of probabilities. Of
            winners none by default.
        distance: least distance of two peaks in pixels; half a crop by default.
        crs: of coordinates, as GDAL takes it (``EPSG:4326``), or ``image`` for the image's own. By default GeoJSON is in WGS84 (RFC 7946) where the
            image has a place on the earth, and all else in the image's; in pixels of the finest level where it has none.
        image: what a picture is laid over.
        look: of a picture: ``alpha``, ``cmap``, ``interpolate`` and ``dpi``, as for ``ClassMap.save_picture``.
        colours: of classes, instead of the map's own; see ``maps.colours.colours_of``.
        partial: a store that is not finished may be written as it is.
        overwrite: a file that exists and that fullconv did not write may be replaced; what is read never is.

    Raises:
        BadInput: the name ends in none of these, the format cannot hold what is asked for, a map is not finished, maps differ in their classes, or a
            CRS cannot be transformed.
        MissingExtra: a library is needed that is not installed.
    """
    asked = Asked(name, what, threshold, distance, crs, image, look or {}, partial, colours)
    return write(result, out, asked, overwrite=overwrite).path


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be exported, as for ``export``."""

    name: Named | None = None
    what: str | None = None
    threshold: float | None = None
    distance: float | None = None
    crs: str | None = None
    image: Any = None
    look: Mapping[str, Any] = field(default_factory=dict)
    partial: bool = False
    colours: Given = None


def write(result: Result | Sequence[Result], out: str | Path, asked: Asked, *, overwrite: bool = False) -> Written:
    """As ``export``, with what it wrote."""
    target = Path(out)
    with guarded(asked.image, overwrite=overwrite):
        gathered = Gathered.of(result, partial=asked.partial).coloured(asked.colours)
        written = _write(gathered, target, asked)
        left_out = _background_notes(gathered, written, asked)
        return replace(written, notes=(*gathered.notes, *left_out, *_area_notes(gathered, written), *written.notes))


def _write(gathered: Gathered, target: Path, asked: Asked) -> Written:
    require_writable(target)  # before the work
    suffix = _suffix(target)
    what = _what(target, suffix, asked)
    _require_used(target, what, asked)
    kinds = {found.score_kind for found in gathered.maps}
    if "winner" in kinds and what in _FINDINGS:
        raise BadInput(
            f"{target}: {what} are of classes by their scores, and this network gives the winner's number alone; "
            "cells (.csv, .parquet) and scores (rasters) hold these numbers, one a cell"
        )
    if "winner" in kinds and (asked.name is not None or asked.threshold is not None):
        raise BadInput(
            f"{target}: this network gives the winner's number alone, one a cell, and no class has scores of its own; leave out the class and the threshold"
        )
    alone = [found for found in gathered.maps if len(found.labels) == 1 and found.score_kind != FEATURES]
    if alone and (what == "winners" or (what == "areas" and any(found.side is None for found in alone))):
        raise BadInput(
            f"{target}: {what} are of classes that win cells, and one class wins them all; regions (--threshold X) hold those that score enough"
        )
    if what in _WON and FEATURES in kinds:
        raise BadInput(
            f"{target}: {what} are of classes that win cells, and channels of a layer's features win nothing; scores, regions and peaks of channels "
            "(--class N --threshold X) and pca are had of them"
        )
    classes = _classes(gathered, what, suffix, asked)
    if what in POLYGONS and suffix not in (".csv", ".parquet", ".tif", ".tiff"):
        return _polygons(gathered, target, suffix, what, classes, asked)
    if what in _TABLES:
        return _table(gathered, target, what, classes, asked)
    found = gathered.only(target, "a picture" if what in _PICTURE else what)
    if suffix in (".ome.tif", ".ome.tiff"):
        from fullconv.exports.ometiff import write_ometiff

        write_ometiff(found, target, classes, gathered.images[0])
    elif what == "winners":
        from fullconv.exports.winners import write_winners

        write_winners(found, target, classes, asked.threshold)
    elif what == "scores":
        from fullconv.exports.geotiff import write_geotiff

        write_geotiff(found, target, classes)
    elif what == "pca" and suffix not in SUFFIXES:
        from fullconv.exports.components import write_components

        write_components(found, target)
    elif what in _PICTURE:
        about = dict(asked.look)
        dpi = about.pop("dpi", DPI)
        page_of(found, _one(found, asked.name, target), asked.image, Look(**about), components=what == "pca").save(
            target, dpi
        )
    else:
        found.save(target)
    return Written(target, what)


def _classes(gathered: Gathered, what: str, suffix: str, asked: Asked) -> tuple[int, ...]:
    """The classes that are meant: those named, or all, but background where classes are looked for."""
    every = gathered.classes(asked.name)
    if asked.name is not None or what not in _FINDINGS or suffix in (".tif", ".tiff"):
        return every
    return tuple(index for index in every if index not in gathered.background)


def _background_notes(gathered: Gathered, written: Written, asked: Asked) -> list[str]:
    """What was left out, since a card calls it background."""
    if asked.name is not None or written.what not in _FINDINGS or written.count is None or not gathered.background:
        return []
    names = ", ".join(repr(gathered.labels[index]) for index in gathered.background)
    return [f"background is left out, as the network's card has it: {names}; name it to have it (--class, name=)"]


def _one(found: ClassMap, name: Named | None, target: Path) -> int | None:
    """The class of a picture, None for that of all winners."""
    chosen = () if name is None else classes_named(found.labels, name)
    if len(chosen) > 1:
        raise BadInput(f"{target}: a picture is of one class, or, without a class, of the winning ones")
    return chosen[0] if chosen else None


def _area_notes(gathered: Gathered, written: Written) -> list[str]:
    """Why areas are missing where they would be."""
    if written.what not in ("regions", "winners", "areas") or written.count is None:
        return []
    return [f"{name}: {text}" if name else text for name, found in gathered if (text := area_note(found))]


def _suffix(target: Path) -> str:
    name = target.name.lower()
    suffix = next((suffix for suffix in HOLDS if name.endswith(suffix)), None)
    if suffix is None:
        raise BadInput(f"{target}: exports are {', '.join(HOLDS)}, by the name of the file")
    return suffix


def _what(target: Path, suffix: str, asked: Asked) -> str:
    holds = HOLDS[suffix]
    if asked.what is None:
        return holds[0]
    if asked.what not in holds:
        others = ", ".join(end for end, held in HOLDS.items() if asked.what in held)
        raise BadInput(f"{target}: holds {' or '.join(holds)}, not {asked.what}; {asked.what} go to {others}")
    return asked.what


_LOOK = {"interpolate": False, "cmap": "viridis", "dpi": DPI}  # as pictures look where nobody says


def _require_used(target: Path, what: str, asked: Asked) -> None:
    """BadInput where something is asked for that would change nothing."""
    idle = [
        option
        for option, given, used in (
            ("threshold", asked.threshold, what in ("regions", "winners", "peaks", "cells")),
            ("distance", asked.distance, what == "peaks"),
            (
                "crs",
                asked.crs,
                what in (*POLYGONS, *_TABLES) and what != "areas" and target.suffix.lower() not in (".tif", ".tiff"),
            ),
            ("image", asked.image, what in _PICTURE and target.suffix.lower() in SUFFIXES),
            ("class", asked.name, what != "pca"),
            *((key, value, what in _PICTURE) for key, value in asked.look.items() if value != _LOOK.get(key)),
        )
        if given is not None and not used
    ]
    if idle == ["crs"] and target.suffix.lower() in (".tif", ".tiff"):
        raise BadInput(
            f"{target}: cells of a raster lie as in their image, and are not resampled; gdalwarp takes it to another CRS"
        )
    if idle:
        raise BadInput(f"{target}: {idle[0]} has no effect on {what}; leave it out")


def _least(found: ClassMap, what: str, asked: Asked) -> float | None:
    """The threshold that counts, None where all does."""
    if what in ("regions", "peaks") or (what == "cells" and asked.name is not None):
        return found.least_score(asked.threshold)
    return None if asked.threshold is None else found.least_score(asked.threshold)


def _polygons(gathered: Gathered, out: Path, suffix: str, what: str, classes: tuple[int, ...], asked: Asked) -> Written:
    try:
        import shapely  # noqa: F401
    except ImportError:
        raise MissingExtra(
            f"{out}: polygons need shapely; install it with: pip install 'fullconv[geo]' or 'fullconv[slide]'"
        ) from None
    is_json = suffix in (".geojson", ".json")
    projections = []
    for name, found in gathered:
        own = found.place.transform is not None and found.place.crs is not None
        crs = WGS84 if asked.crs is None and is_json and own else asked.crs
        projections.append(Projection.of(found, crs, name or str(out)))
    _require_together(gathered, projections, out)
    least = _least(gathered.maps[0], what, asked)
    names = names_of(gathered.labels)
    layers = (
        (name, found, projection, features_of(found, projection, classes, what, least, asked.distance))
        for (name, found), projection in zip(gathered, projections, strict=True)
    )
    if is_json:
        from fullconv.exports.geojson import write_geojson as write_all
    else:
        from fullconv.exports.layers import write_layers as write_all
    count = write_all(layers, out, what, names, projections[0])
    return Written(out, what, count, () if count else (_emptiness(out, gathered, classes, least),))


def _table(gathered: Gathered, out: Path, what: str, classes: tuple[int, ...], asked: Asked) -> Written:
    from fullconv.exports.table import rows_of, write_table

    projections = [Projection.of(found, asked.crs, name or str(out)) for name, found in gathered]
    if len({projection.placed.on_earth for projection in projections}) > 1:
        raise BadInput(f"{out}: some images have a place on the earth and some have none; write a table of each kind")
    least = _least(gathered.maps[0], what, asked)

    def rows() -> Iterator[dict[str, Any]]:
        for (name, found), projection in zip(gathered, projections, strict=True):
            yield from rows_of(name, found, projection, classes, what, least, asked.distance)

    count = write_table(rows(), out)
    return Written(out, what, count, () if count else (_emptiness(out, gathered, classes, least),))


def _require_together(gathered: Gathered, projections: Sequence[Projection], out: Path) -> None:
    """BadInput where coordinates of several maps are not those of one plane."""
    if len(projections) == 1:
        return
    if not all(projection.placed.on_earth for projection in projections):
        raise BadInput(
            f"{out}: an image without a place on the earth has pixels as its coordinates, and those of several images would lie on each other; "
            "write a file each, or a table (.csv, .parquet)"
        )
    for name, projection in zip(gathered.images, projections, strict=True):
        if projection.crs != projections[0].crs:
            raise BadInput(
                f"{out}: {gathered.images[0]} and {name} lie in different CRSs; choose one for all with --crs"
            )


def _emptiness(out: Path, gathered: Gathered, classes: tuple[int, ...], least: float | None) -> str:
    """Why nothing was written."""
    if least is None:
        return f"{out}: is empty: no cell has an answer"
    tops = [peak.score for found in gathered.maps for i in classes if (peak := found.highest(i)) is not None]
    if not tops:
        return f"{out}: is empty: no cell has an answer"
    return f"{out}: is empty: no cell scores {least:g}; the highest score is {max(tops):.4g}"


__all__ = ["HOLDS", "OWN", "Asked", "What", "Written", "export", "write"]
