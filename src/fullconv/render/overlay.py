"""The two pictures of a class map: one class as heat, and the winning class of every cell."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from fullconv.errors import BadInput
from fullconv.geometry.grid import Grid
from fullconv.render import canvas as on
from fullconv.render.listed import PAPER, Entry, list_entries, on_paper, plan_list, told_share
from fullconv.render.palette import SCALES, scale_colours
from fullconv.render.subject import Subject

_HEAT, _CLASS = 0.8, 0.6  # opacity of the highest score, and of a class
_PALED = 0.3  # of that, for a class that fills most of the map
_RISE = 0.8  # the power by which opacity follows the score: what is halfway is seen


@dataclass(frozen=True, slots=True)
class Look:
    """How a picture is drawn.

    Attributes:
        alpha: opacity of the highest score, or of a class; 0.8 and 0.6 by default.
        cmap: the scale of heat.
        interpolate: heat is smoothed between cells; off by default, since a cell is one answer.
    """

    alpha: float | None = None
    cmap: str = "viridis"
    interpolate: bool = False

    def __post_init__(self) -> None:
        if self.alpha is not None and not 0 < self.alpha <= 1:
            raise BadInput(f"alpha {self.alpha:g}: an opacity, above 0 and up to 1")
        if self.cmap not in SCALES:
            raise BadInput(f"cmap {self.cmap!r}: not one of {', '.join(SCALES)}")


def heat_picture(
    found: Subject,
    index: int,
    picture: Image.Image | None,
    look: Look | None = None,
    limits: tuple[float, float] | None = None,
    most: str = "best",
    subtitle: str = "",
    drawn: tuple[Grid, npt.NDArray[np.float32]] | None = None,
) -> on.Canvas:
    """One class's scores over the image, transparent where they are lowest, with the colour scale, the best cell and its crop.

    Args:
        limits: ends of the colour scale; 0..1 for probabilities, else the class's own range.
        most: what the highest value is called.
        subtitle: what the numbers are; scores of the output by default.
        drawn: a coarser grid and its scores (rows, cols), of a map too large to draw cell by cell.
    """
    look = look or Look()
    alpha = look.alpha or _HEAT
    grid, scores = drawn or (found.grid, found.scores[index])
    low, high = limits or _limits(found, found.scores if drawn is None else scores, scores)
    page = on.start(picture, found.grid)
    lay_heat(page, grid, scores, (low, high), look)
    numbers = found.score_kind == "winner"  # of classes: the highest is not the best
    best = None if numbers else found.highest(index)
    if best is not None:
        on.outline(page, best.box)
    title = "winner's number" if numbers else spoken(found.labels[index])
    below = subtitle or (f"as {found.output} gives it" if numbers else f"{score_word(found)} of {found.output}")
    y = on.text_lines(page, on.MARGIN, [(title, 20, on.INK), (below, 13, on.FAINT)])
    y = _colour_bar(page, y + 8, low, high, look.cmap, alpha)
    lines = [] if numbers else [("no cell has an answer", 15, on.INK)]
    if best is not None:
        x, y_centre = found.centre(best.row, best.col)
        lines = [
            (f"{most} {best.score:.3g} at ({x:g}, {y_centre:g})", 15, on.INK),
            ("its crop is outlined", 13, on.FAINT),
        ]
    tell_about(page, found, on.text_lines(page, y + 10, lines))
    return page


def top1_picture(
    found: Subject,
    picture: Image.Image | None,
    look: Look | None = None,
    drawn: tuple[Grid, npt.NDArray[np.intp], npt.NDArray[np.intp]] | None = None,
    titles: tuple[str, str] | None = None,
) -> on.Canvas:
    """The winning class of every cell, each class in its own colour, with its share; background is in the list and leaves the image as it is.

    Args:
        drawn: a coarser grid, its winners (rows, cols), -1 without an answer, and how many cells of the map each class wins.
        titles: what is shown, and of what; the winning class of the output by default.
    """
    alpha = (look or Look()).alpha or _CLASS
    if drawn is None:
        winners = found.top1
        drawn = found.grid, winners, np.bincount(winners[winners >= 0], minlength=len(found.labels))
    counts = drawn[2]
    strength = _strengths(found, counts, alpha)
    order, share = list(strength), counts / max(1, counts.sum())
    plan = plan_list(len(order), on.drawn_size(found.grid)[1][1])
    page = on.start(picture, found.grid, plan.height, plan.columns)
    lay_winners(page, found, drawn, alpha)
    titles = titles or ("winning class", f"highest of {found.output}")
    top = on.text_lines(page, on.MARGIN, [(titles[0], 20, on.INK), (titles[1], 13, on.FAINT)])
    entries = [
        Entry(
            on_paper(found.colour(i), strength[i]),
            spoken(found.labels[i]) + (" (background)" if not strength[i] else ""),
            told_share(float(share[i])),
        )
        for i in order
    ]
    y = list_entries(page, plan, entries, top + 8)
    if not order:
        y = on.text_lines(page, y, [("no cell has an answer", 15, on.INK)])
    tell_about(page, found, y + 6)
    return page


def lay_heat(
    page: on.Canvas, grid: Grid, scores: npt.NDArray[Any], limits: tuple[float, float], look: Look | None = None
) -> None:
    """Lay scores (rows, cols) over the image, transparent where they are lowest."""
    look = look or Look()
    if look.interpolate:
        grid, scores = on.between(grid, scores, page.scale)
    shown = (scores - limits[0]) / (limits[1] - limits[0])
    opacity = np.where(np.isnan(scores), 0.0, _opacity(shown, look.alpha or _HEAT))
    on.lay_cells(page, grid, scale_colours(shown, look.cmap), opacity)


def lay_winners(
    page: on.Canvas,
    found: Subject,
    drawn: tuple[Grid, npt.NDArray[np.intp], npt.NDArray[np.intp]],
    alpha: float = _CLASS,
) -> None:
    """Lay the winning classes over the image, each in its colour."""
    grid, winners, counts = drawn
    strength = _strengths(found, counts, alpha)
    lookup = np.array([found.colour(i) for i in range(len(found.labels))], np.uint8)
    opacity = np.zeros(len(found.labels))
    opacity[list(strength)] = list(strength.values())
    on.lay_cells(page, grid, lookup[winners], np.where(winners < 0, 0.0, opacity[winners]))


def _strengths(found: Subject, counts: npt.NDArray[np.intp], alpha: float) -> dict[int, float]:
    """How opaque each class that wins any of its cells is, that of most cells first; nothing of what a card calls background."""
    classes = np.flatnonzero(counts)
    order = [int(i) for i in classes[np.argsort(-counts[classes], kind="stable")]]
    clear = set(range(len(found.labels))) - set(found.findings)
    # Where no card says, a class that fills most of the map is background more often than not: it is paled, so that the rest shows.
    paled = {i for i in order[:1] if counts[i] > 0.5 * counts.sum() and len(order) > 1 and not clear}
    return {i: 0.0 if i in clear else alpha * (_PALED if i in paled else 1) for i in order}


def _opacity(shown: npt.NDArray[Any], alpha: float) -> npt.NDArray[Any]:
    """Nothing at the lowest score, so that the image keeps its colours there."""
    return np.asarray(alpha * np.clip(np.nan_to_num(shown), 0, 1) ** _RISE)


def spoken(label: str) -> str:
    """A label without the WordNet number that ImageNet's lists put first."""
    return re.sub(r"^n\d{8} ", "", label)


def score_word(found: Subject) -> str:
    """What one of a map's scores is called."""
    return {
        "probabilities": "probability",
        "logits": "logit",
        "log-probabilities": "log-probability",
        "winner": "number",
    }.get(found.score_kind, "score")


def _limits(found: Subject, every: npt.NDArray[Any], scores: npt.NDArray[Any]) -> tuple[float, float]:
    """0..1 for probabilities, else the class's own range."""
    if np.isnan(scores).all():
        return 0.0, 1.0
    alike = found.score_kind == "" and np.nanmin(every) >= 0 and np.nanmax(every) <= 1 + 1e-6
    if found.score_kind == "probabilities" or alike:
        return 0.0, 1.0
    low, high = float(np.nanmin(scores)), float(np.nanmax(scores))
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _colour_bar(page: on.Canvas, y: float, low: float, high: float, cmap: str, alpha: float) -> float:
    x, width = page.size[0] + 2 * on.MARGIN, 200
    at = np.linspace(0, 1, width)
    blended = PAPER + (scale_colours(at, cmap) - PAPER) * _opacity(at, alpha)[:, None]
    ramp = np.rint(blended).astype(np.uint8)[None].repeat(18, axis=0)
    page.image.paste(Image.fromarray(ramp), (round(x), round(y)))
    for part in (0.0, 0.5, 1.0):
        tick = x + part * width
        page.draw.line((tick, y + 18, tick, y + 23), fill=on.INK)
        anchor = {0.0: "l", 0.5: "m", 1.0: "r"}[part]
        page.write(tick, y + 25, f"{low + part * (high - low):.3g}", 13, on.INK, anchor)
    return y + 44


def _stands_for(found: Subject) -> str:
    if not found.parts:
        return f"each stands for a crop of {found.grid.crop[1]} x {found.grid.crop[0]} px"
    sides = sorted(float(part.grid.crop[1]) for part in found.parts)
    scales = ", ".join(f"{scale:g}" for scale in found.scales)
    return f"scales {scales}: each stands for a crop of {sides[0]:.3g} to {sides[-1]:.3g} px"


def tell_about(page: on.Canvas, found: Subject, y: float) -> None:
    """What cells are, whether they equal their crops, and a scale bar."""
    grid = found.grid
    lines = [
        (f"{grid.rows} x {grid.cols} cells, one every {grid.stride[1]} x {grid.stride[0]} px", 13, on.FAINT),
        (_stands_for(found), 13, on.FAINT),
    ]
    if found.exactness:
        lines.append((found.exactness.split(" to floating")[0].split(" in ")[0], 13, on.FAINT))
    if found.statement is not None:
        lines.append((found.statement.short, 13, on.FAINT))
    y = on.text_lines(page, y + 8, lines)
    on.scale_bar(page, y + 10, found.place)
