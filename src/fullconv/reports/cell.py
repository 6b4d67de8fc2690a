"""A figure of one cell: its crop, what the network sees of it, and what it answers."""

from __future__ import annotations

import numpy as np

from fullconv.maps.classmap import ClassMap, Peak
from fullconv.render.overlay import spoken
from fullconv.reports import plots
from fullconv.reports.html import Html, figure, joined, name, swatch, table, tag
from fullconv.reports.pictures import Pictures
from fullconv.reports.pixels import Pixels

_SIDE, _BYTES = 720, 150_000
_TOP = 5  # classes whose scores are shown
_AROUND = 0.12  # of what is drawn, on every side


def one_cell(found: ClassMap, peak: Peak, number: int, pixels: Pixels | None, pictures: Pictures) -> Html:
    """The cell of a peak.

    Args:
        number: the peak's on the page.
    """
    grid, row, col = found.grid, peak.row, peak.col
    x, y = (value + 0.5 for value in grid.centre(row, col))

    def square(sides: tuple[object, object]) -> plots.Box:
        high, wide = (float(side) / 2 for side in sides)  # type: ignore[arg-type]
        return x - wide, y - high, x + wide, y + high

    crop, field, cell = peak.box, square(grid.field), square(grid.stride)
    ends = np.array([crop, field, cell])
    low, high = ends[:, :2].min(axis=0), ends[:, 2:].max(axis=0)
    margin = _AROUND * float((high - low).max())
    x0, y0 = np.floor(low - margin).tolist()
    x1, y1 = np.ceil(high + margin).tolist()
    view = (x0, y0, x1, y1)
    picture = None if pixels is None else pixels.part(view, _SIDE)
    uri = None if picture is None else pictures.uri(picture, _BYTES)
    label = spoken(peak.label)
    alt = f"The cell of peak {number} with its crop and its receptive field, over the image"
    height, width = grid.image
    drawn = plots.of_cell(uri, view, (0, 0, width, height), crop, field, cell, alt)
    told = joined([
        f"Cell ({row:,}, {col:,}), peak {number} of ", name(label), f". Blue: its crop of {float(grid.crop[1]):g} × {float(grid.crop[0]):g} px, which the classifier "
        f"was trained on. Yellow, dashed: its receptive field of {float(grid.field[1]):g} × {float(grid.field[0]):g} px, all that can change its answer",
        "" if _inside(field, (0, 0, width, height)) else ", which reaches past the image here", f". White: the {float(grid.stride[1]):g} × {float(grid.stride[0]):g} px that it "
        "is drawn as on the map. Thin line: the image's edge.",
    ])  # fmt: skip
    return tag("div", figure(drawn, told), _answers(found, row, col), class_="pair")


def _inside(box: plots.Box, other: plots.Box) -> bool:
    return box[0] >= other[0] and box[1] >= other[1] and box[2] <= other[2] and box[3] <= other[3]


def _answers(found: ClassMap, row: int, col: int) -> Html:
    """Its highest scores, by class."""
    scores = np.asarray(found.scores[:, row, col], np.float64)
    order = [
        int(i) for i in np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable")[:_TOP] if scores[i] == scores[i]
    ]
    known = scores[np.isfinite(scores)]
    low, high = (
        (0.0, 1.0)
        if found.score_kind == "probabilities" or not known.size
        else (min(0.0, float(known.min())), float(known.max()))
    )
    rows = [
        (
            joined([swatch(found.colour(i)), name(spoken(found.labels[i]))]),
            joined([plots.bar((scores[i] - low) / max(high - low, 1e-30), found.colour(i)), f"{scores[i]:.4g}"]),
        )
        for i in order
    ]
    return table(("class", "score"), rows, "What the map says of this cell: its highest scores.")
