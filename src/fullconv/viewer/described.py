"""What the page is told of an image and of a result, as JSON. Names and labels are text, and stay that."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from fullconv.geometry.grid import Grid, Pair
from fullconv.maps.areas import cell_area
from fullconv.maps.classmap import ClassMap
from fullconv.maps.summary import image_name
from fullconv.rasters.source import About
from fullconv.render.palette import SCALES, scale_colours
from fullconv.version import __version__
from fullconv.viewer.exhibit import Exhibit
from fullconv.viewer.picture import SIDE, Picture

_STEPS = 256


def described(exhibits: list[Exhibit], picture: Picture | None, asks: list[str]) -> dict[str, Any]:
    """All that does not change while a page is open.

    Args:
        asks: for each result why the classifier cannot be asked; empty where it can.
    """
    steps = np.linspace(0, 1, _STEPS)
    return {
        "version": __version__,
        "scales": {name: scale_colours(steps, name).reshape(-1).tolist() for name in SCALES},
        "image": None if picture is None else _image(picture.about, picture),
        "results": [_result(each, why) for each, why in zip(exhibits, asks, strict=True)],
    }


def _image(about: About, picture: Picture) -> dict[str, Any]:
    return {
        "name": about.name.replace("\\", "/").rpartition("/")[2], "width": about.size[1], "height": about.size[0], "levels": picture.levels,
        "side": SIDE, "bands": about.bands, "type": about.dtype, "look": {"bands": list(picture.plain.bands), "cut": picture.plain.cut}, "place": about.place.to_json(),
    }  # fmt: skip


def _result(exhibit: Exhibit, why_not: str) -> dict[str, Any]:
    found, record = exhibit.found, exhibit.found.record
    low, high = exhibit.range()
    name = exhibit.source.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return {
        "name": name, "image": image_name(found), "grid": _grid(found.grid), "lead": list(exhibit.lead),
        "levels": [list(size) for size in exhibit.levels], "side": exhibit.side, "stored": exhibit.stored, "stacked": exhibit.stacked, "winnersOnly": exhibit.winners_only, "finished": exhibit.finished,
        "labels": list(found.labels), "background": list(found.advice.background), "threshold": found.advice.threshold, "colours": [list(found.colour(i)) for i in range(len(found.labels))],
        "kind": found.score_kind, "range": [low, high], "by": found.by, "exactness": found.exactness,
        "statement": None if found.statement is None else str(found.statement), "scales": list(found.scales),
        "place": found.place.to_json(), "area": cell_area(found), "asks": why_not, "failed": failed(found),
        "version": "" if record is None else record.version, "epoch": exhibit.epoch, "output": found.output,
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
