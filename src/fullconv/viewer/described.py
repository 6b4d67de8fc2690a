"""What the page is told of results, differences and images, as JSON. Names and labels are text, and stay that."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from fullconv.geometry.grid import Grid, Pair
from fullconv.maps.areas import cell_area
from fullconv.maps.classmap import ClassMap
from fullconv.maps.summary import image_name
from fullconv.render.palette import SCALES, diverging_colours, scale_colours
from fullconv.version import __version__
from fullconv.viewer.catalogue import last_part
from fullconv.viewer.difference import KINDS, Difference
from fullconv.viewer.difference import SIDE as CELLS
from fullconv.viewer.exhibit import Exhibit
from fullconv.viewer.picture import SIDE, Picture
from fullconv.viewer.shown import Shown

_STEPS = 256


def described(shown: Shown) -> dict[str, Any]:
    """What there is, and how it is coloured."""
    steps = np.linspace(0, 1, _STEPS)
    catalogue = shown.catalogue
    return {
        "version": __version__,
        "scales": {name: scale_colours(steps, name).reshape(-1).tolist() for name in SCALES},
        "diverging": diverging_colours(steps).reshape(-1).tolist(),
        "study": shown.is_study, "columns": list(catalogue.columns),
        "results": [
            {"name": each.name, "error": "" if each.source else each.error, "values": [each.values.get(name, "") for name in catalogue.columns]}
            for each in catalogue.entries
        ],
    }  # fmt: skip


def of_result(shown: Shown, number: int) -> dict[str, Any]:
    """A result and its image."""
    exhibit = shown.exhibit(number)
    exhibit.look()
    picture = shown.opened(number)
    image = None if picture is None else _image(picture, number)
    return {"result": _result(exhibit, shown.why_not(number)), "image": image}


def of_difference(shown: Shown, difference: Difference, first: int) -> dict[str, Any]:
    """A difference, told as a result is, and the image of its first."""
    picture = shown.picture(first)
    one, other = difference.first, difference.second
    labels, number = difference.labels, {label: i for i, label in reversed(list(enumerate(one.found.labels)))}
    result = {
        "name": f"{last_part(other.source)} − {last_part(one.source)}", "image": image_name(one.found), "grid": _grid(difference.grid), "lead": [0, 0],
        "levels": [list(size) for size in difference.levels], "side": CELLS, "stored": "float32", "stacked": False, "winnersOnly": not difference.has_scores,
        "finished": one.finished and other.finished, "labels": list(labels), "background": [], "threshold": None, "colours": [list(one.found.colour(number[label])) for label in labels],
        "kind": "difference", "range": [-difference.most, difference.most], "by": one.found.by, "exactness": "",
        "statement": None, "scales": [], "place": one.found.place.to_json(), "area": None, "asks": "a difference of two maps is no map", "failed": [],
        "epoch": one.epoch + other.epoch, "parts": {"labels": [label for label, _ in KINDS], "colours": [list(colour) for _, colour in KINDS]},
        "remarks": list(difference.remarks),
    }  # fmt: skip
    return {"result": result, "image": None if picture is None else _image(picture, first)}


def _image(picture: Picture, number: int) -> dict[str, Any]:
    about = picture.about
    return {
        "of": number, "name": last_part(about.name), "width": about.size[1], "height": about.size[0], "levels": picture.levels,
        "side": SIDE, "bands": about.bands, "type": about.dtype, "look": {"bands": list(picture.plain.bands), "cut": picture.plain.cut},
    }  # fmt: skip


def _result(exhibit: Exhibit, why_not: str) -> dict[str, Any]:
    found = exhibit.found
    return {
        "name": last_part(exhibit.source), "image": image_name(found), "grid": _grid(found.grid), "lead": list(exhibit.lead),
        "levels": [list(size) for size in exhibit.levels], "side": exhibit.side, "stored": exhibit.stored, "stacked": exhibit.stacked, "winnersOnly": exhibit.winners_only, "finished": exhibit.finished,
        "labels": list(found.labels), "background": list(found.advice.background), "threshold": found.advice.threshold, "colours": [list(found.colour(i)) for i in range(len(found.labels))],
        "kind": found.score_kind, "range": list(exhibit.range()), "by": found.by, "exactness": found.exactness,
        "statement": None if found.statement is None else str(found.statement), "scales": list(found.scales),
        "place": found.place.to_json(), "area": cell_area(found), "asks": why_not, "failed": failed(found),
        "epoch": exhibit.epoch, "parts": None, "remarks": [],
    }  # fmt: skip


def failed(found: ClassMap) -> list[dict[str, Any]]:
    """Tiles that did not decode: their cells [top, bottom, left, right), and why."""
    if found.record is None or not found.record.failed:
        return []
    reasons = dict(found.record.failed)
    return [
        {"cells": [*tile.y.cells, *tile.x.cells], "why": reasons[tile.name]}
        for tile in found.record.tiles
        if tile.name in reasons
    ]


def _grid(grid: Grid) -> dict[str, Any]:
    """Fractions as numerator and denominator, so that a browser places cells as ``Grid`` does."""

    def pair(values: Pair) -> list[list[int]]:
        return [_fraction(value) for value in values]

    return {
        "rows": grid.rows, "cols": grid.cols, "stride": pair(grid.stride), "crop": pair(grid.crop), "centre0": pair(grid.centre0),
        "field": pair(grid.field), "image": list(grid.image),
    }  # fmt: skip


def _fraction(value: Fraction) -> list[int]:
    return [value.numerator, value.denominator]
