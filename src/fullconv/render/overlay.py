"""The two pictures of a class map: one class as heat, and the winning class of every cell."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
from PIL import Image

from fullconv.geometry.grid import Grid
from fullconv.render import canvas as on
from fullconv.render.palette import CATEGORIES, OTHER, viridis
from fullconv.render.subject import Subject

_ALPHA, _PALED = 0.75, 0.25
_FAINTEST, _STRONGEST = 0.22, 0.85  # opacity of the lowest and the highest score
_PAPER = 225.0  # grey behind the colour bar: what a light part of the image looks like


def heat_picture(
    found: Subject,
    index: int,
    picture: Image.Image | None,
    interpolate: bool = False,
    limits: tuple[float, float] | None = None,
    most: str = "best",
    subtitle: str = "",
    drawn: tuple[Grid, npt.NDArray[np.float32]] | None = None,
) -> Image.Image:
    """One class's scores over the image, with the colour scale, the best cell and its crop.

    Args:
        limits: ends of the colour scale; 0..1 for probabilities, else the class's own range.
        most: what the highest value is called.
        subtitle: what the numbers are; scores of the output by default.
        drawn: a coarser grid and its scores (rows, cols), of a map too large to draw cell by cell.
    """
    grid, scores = drawn or (found.grid, found.scores[index])
    low, high = limits or _limits(found.scores if drawn is None else scores, scores)
    page = on.start(picture, found.grid)
    if interpolate:
        grid, scores = on.between(grid, scores)
    shown = (scores - low) / (high - low)
    on.lay_cells(page, grid, viridis(shown), np.where(np.isnan(scores), 0.0, _opacity(shown)))
    best = found.highest(index)
    if best is not None:
        on.outline(page, best.box)
    y = on.text_lines(
        page,
        on.MARGIN,
        [(_spoken(found.labels[index]), 20, on.INK), (subtitle or f"score of {found.output}", 13, on.FAINT)],
    )
    y = _colour_bar(page, y + 8, low, high)
    lines = [("no cell has an answer", 15, on.INK)]
    if best is not None:
        x, y_centre = found.centre(best.row, best.col)
        lines = [
            (f"{most} {best.score:.3g} at ({x:g}, {y_centre:g})", 15, on.INK),
            ("its crop is outlined", 13, on.FAINT),
        ]
    _about(page, found, on.text_lines(page, y + 10, lines))
    return page.image


def top1_picture(
    found: Subject,
    picture: Image.Image | None,
    drawn: tuple[Grid, npt.NDArray[np.intp], npt.NDArray[np.intp]] | None = None,
) -> Image.Image:
    """The winning class of every cell, the most frequent ones by colour, with their share.

    Args:
        drawn: a coarser grid, its winners (rows, cols), -1 without an answer, and how many cells of the map each class wins.
    """
    if drawn is None:
        winners = found.top1
        drawn = found.grid, winners, np.bincount(winners[winners >= 0], minlength=len(found.labels))
    grid, winners, counts = drawn
    classes = np.flatnonzero(counts)
    order = classes[np.argsort(-counts[classes], kind="stable")]
    shown = [int(i) for i in order[: len(CATEGORIES)]]
    lookup = np.tile(np.array(OTHER, np.uint8), (len(found.labels), 1))
    for i, colour in zip(shown, CATEGORIES, strict=False):
        lookup[i] = colour
    page = on.start(picture, found.grid)
    share = {int(i): float(counts[i] / counts.sum()) for i in order}
    common = max(share, key=lambda i: share[i], default=-1)
    share.setdefault(common, 0.0)
    # A class that fills most of the map is background more often than not: it is paled, so that the rest shows.
    opacity = np.where((winners == common) & (share[common] > 0.5), _PALED, _ALPHA)
    on.lay_cells(page, grid, lookup[winners], np.where(winners < 0, 0.0, opacity))
    y = on.text_lines(page, on.MARGIN, [("winning class", 20, on.INK), (f"highest of {found.output}", 13, on.FAINT)])
    y += 8
    for i, colour in zip(shown, CATEGORIES, strict=False):
        alpha = _PALED if i == common and share[i] > 0.5 else _ALPHA
        y = _swatch(page, y, _on_paper(colour, alpha), _spoken(found.labels[i]), share[i])
    rest = 1 - sum(share[i] for i in shown)
    if len(classes) > len(shown):
        y = _swatch(page, y, _on_paper(OTHER, _ALPHA), f"{len(classes) - len(shown)} others", rest)
    _about(page, found, y + 6)
    return page.image


def _opacity(shown: np.ndarray) -> np.ndarray:
    """Low scores leave the image to be seen."""
    return np.asarray(_FAINTEST + (_STRONGEST - _FAINTEST) * np.clip(np.nan_to_num(shown), 0, 1))


def _spoken(label: str) -> str:
    """A label without the WordNet number that ImageNet's lists put first."""
    return re.sub(r"^n\d{8} ", "", label)


def _limits(every: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """0..1 for probabilities, else the class's own range."""
    if np.isnan(scores).all():
        return 0.0, 1.0
    if np.nanmin(every) >= 0 and np.nanmax(every) <= 1 + 1e-6:
        return 0.0, 1.0
    low, high = float(np.nanmin(scores)), float(np.nanmax(scores))
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _colour_bar(page: on.Canvas, y: float, low: float, high: float) -> float:
    x, width = page.size[0] + 2 * on.MARGIN, 200
    at = np.linspace(0, 1, width)
    blended = _PAPER + (viridis(at) - _PAPER) * _opacity(at)[:, None]
    ramp = np.rint(blended).astype(np.uint8)[None].repeat(18, axis=0)
    page.image.paste(Image.fromarray(ramp), (round(x), round(y)))
    for part in (0.0, 0.5, 1.0):
        tick = x + part * width
        page.draw.line((tick, y + 18, tick, y + 23), fill=on.INK)
        anchor = {0.0: "la", 0.5: "ma", 1.0: "ra"}[part]
        page.draw.text((tick, y + 25), f"{low + part * (high - low):.3g}", fill=on.INK, font=on.font(13), anchor=anchor)
    return y + 44


def _on_paper(colour: on.Rgb, alpha: float) -> on.Rgb:
    """A colour as it shows over a light part of the image."""
    red, green, blue = (round(_PAPER + (channel - _PAPER) * alpha) for channel in colour)
    return red, green, blue


def _swatch(page: on.Canvas, y: float, colour: tuple[int, int, int], label: str, share: float) -> float:
    x = page.size[0] + 2 * on.MARGIN
    page.draw.rectangle((x, y + 2, x + 16, y + 18), fill=colour, outline=on.INK)
    page.draw.text((x + 24, y), on.shortened(page.draw, label, 15, on.LEGEND - 84), fill=on.INK, font=on.font(15))
    told = f"{share:.1%}" if share < 0.1 else f"{share:.0%}"
    page.draw.text((x + on.LEGEND, y), told, fill=on.FAINT, font=on.font(15), anchor="ra")
    return y + 24


def _stands_for(found: Subject) -> str:
    if not found.parts:
        return f"each stands for a crop of {found.grid.crop[1]} x {found.grid.crop[0]} px"
    sides = sorted(float(part.grid.crop[1]) for part in found.parts)
    scales = ", ".join(f"{scale:g}" for scale in found.scales)
    return f"scales {scales}: each stands for a crop of {sides[0]:.3g} to {sides[-1]:.3g} px"


def _about(page: on.Canvas, found: Subject, y: float) -> None:
    grid = found.grid
    lines = [
        (f"{grid.rows} x {grid.cols} cells, one every {grid.stride[1]} x {grid.stride[0]} px", 13, on.FAINT),
        (_stands_for(found), 13, on.FAINT),
    ]
    if found.exactness:
        lines.append((found.exactness.split(" to floating")[0].split(" in ")[0], 13, on.FAINT))
    y = on.text_lines(page, y + 8, lines)
    place = found.place
    if place.pixel_size is not None:
        on.scale_bar(page, y + 10, place.pixel_size[1], {"micrometer": "µm", "meter": "m"}.get(place.unit, place.unit))
    else:
        on.scale_bar(page, y + 10)
