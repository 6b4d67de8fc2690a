"""Figures of a page as SVG: drawn in its own colours, sharp at any size and on paper, and without a style of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log10

from fullconv.reports.html import Html, Rgb, hexed, joined, tag
from fullconv.reports.survey import Histogram

Box = tuple[float, float, float, float]  # x0, y0, x1, y1
_PLOT = (420, 150)
CROP, FIELD, CELL = "#56b4e9", "#f0e442", "#ffffff"


@dataclass(frozen=True, slots=True)
class Mark:
    """A box over a picture, with a number."""

    box: Box
    number: int
    colour: Rgb


def marked(uri: str, size: tuple[int, int], alt: str, marks: Sequence[Mark] = ()) -> Html:
    """A picture of an image of (height, width), with boxes in its pixels; boxes that would be too small to be seen are dots."""
    height, width = size
    unit = max(width, height) / 1000
    shapes = [_mark(mark, unit) for mark in marks]
    image = tag("image", href=uri, width=width, height=height, preserveAspectRatio="none", class_=_sharp(max(size)))
    return _picture((0, 0, width, height), alt, image, *shapes)


def _picture(view: Box, alt: str, *parts: object) -> Html:
    x0, y0, x1, y1 = view
    box = f"{x0:g} {y0:g} {x1 - x0:g} {y1 - y0:g}"
    return tag("svg", tag("title", alt), *parts, class_="picture", viewBox=box, width=f"{x1 - x0:g}", height=f"{y1 - y0:g}", role="img", aria_label=alt)  # fmt: skip


def _sharp(longest: float) -> str | None:
    return "pixels" if longest <= 400 else None


def _mark(mark: Mark, unit: float) -> Html:
    x0, y0, x1, y1 = mark.box
    size = 24 * unit
    colour = hexed(mark.colour)
    if min(x1 - x0, y1 - y0) < 10 * unit:
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        shape = tag(
            "circle",
            cx=f"{x:g}",
            cy=f"{y:g}",
            r=f"{6 * unit:g}",
            fill=colour,
            stroke="#000000",
            stroke_width=f"{1.5 * unit:g}",
        )
        at = x + 8 * unit, y - 4 * unit
    else:
        shape = _outlined(mark.box, colour, 2.5 * unit)
        at = x0, y0 - 4 * unit if y0 > size else y0 + size
    number = tag(
        "text", mark.number, x=f"{at[0]:g}", y=f"{at[1]:g}", font_size=f"{size:g}", font_weight="700", fill="#ffffff", stroke="#000000",
        stroke_width=f"{4 * unit:g}", paint_order="stroke", class_="number-mark",
    )  # fmt: skip
    return joined([shape, number])


def _outlined(box: Box, colour: str, width: float, dashed: bool = False) -> Html:
    """A line that is seen on light and dark; a dashed one lets one below it be seen."""
    x0, y0, x1, y1 = box
    at = {"x": f"{x0:g}", "y": f"{y0:g}", "width": f"{x1 - x0:g}", "height": f"{y1 - y0:g}", "fill": "none"}
    dashes = f"{4 * width:g} {4 * width:g}" if dashed else None
    under = tag(
        "rect", **at, stroke="#000000", stroke_width=f"{2 * width:g}", stroke_opacity=0.75, stroke_dasharray=dashes
    )
    return joined([under, tag("rect", **at, stroke=colour, stroke_width=f"{width:g}", stroke_dasharray=dashes)])


def of_cell(uri: str | None, view: Box, image: Box, crop: Box, field: Box, cell: Box, alt: str) -> Html:
    """One cell over its surroundings.

    Args:
        view: what is drawn, in pixels of the image.
        image: the image's own edges.
        crop, field, cell: the crop that it stands for, what the network sees, and its square.
    """
    x0, y0, x1, y1 = view
    line = max(x1 - x0, y1 - y0) / 200
    sharp = _sharp(max(x1 - x0, y1 - y0))
    picture = None if uri is None else tag("image", href=uri, x=f"{x0:g}", y=f"{y0:g}", width=f"{x1 - x0:g}", height=f"{y1 - y0:g}", preserveAspectRatio="none", class_=sharp)  # fmt: skip
    edge = tag(
        "rect", x=f"{image[0]:g}", y=f"{image[1]:g}", width=f"{image[2] - image[0]:g}", height=f"{image[3] - image[1]:g}", fill="none",
        stroke="currentColor", stroke_opacity=0.5, stroke_width=f"{line / 2:g}",
    )  # fmt: skip
    shapes = [_outlined(crop, CROP, line), _outlined(field, FIELD, line, dashed=True), _outlined(cell, CELL, line)]
    return _picture(view, alt, picture, edge, *shapes)


def histogram(found: Histogram, colour: Rgb, alt: str, threshold: float | None = None) -> Html:
    """How many cells have which score; heights are logarithmic, so that a few cells are seen beside a million."""
    width, height = _PLOT
    most = log10(1 + max(1, int(found.cells.max())))
    step = width / len(found.cells)
    bars = []
    for i, cells in enumerate(found.cells.tolist()):
        if cells:
            tall = max(1.5, height * log10(1 + cells) / most)
            bars.append(tag("rect", x=f"{i * step + 0.5:.2f}", y=f"{height - tall:.2f}", width=f"{step - 1:.2f}", height=f"{tall:.2f}", fill=hexed(colour), stroke="currentColor", stroke_width=0.4))  # fmt: skip
    base = tag("line", x1=0, y1=height, x2=width, y2=height, stroke="currentColor")
    ends = [
        tag("text", f"{found.low + share * (found.high - found.low):.3g}", x=share * width, y=height + 17, font_size=13, text_anchor=anchor)
        for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end"))
    ]  # fmt: skip
    line = None
    if threshold is not None and found.low < threshold < found.high:
        x = f"{width * (threshold - found.low) / (found.high - found.low):.2f}"
        line = tag("line", x1=x, y1=0, x2=x, y2=height, stroke="currentColor", stroke_dasharray="4 3")
    top = tag("text", f"{int(found.cells.max()):,} cells", x=width, y=-6, font_size=13, text_anchor="end")
    return tag("svg", tag("title", alt), *bars, base, *ends, line, top, class_="plot", viewBox=f"-2 -20 {width + 4} {height + 42}", role="img", aria_label=alt)  # fmt: skip


def shares(parts: Sequence[tuple[str, float, Rgb]], alt: str) -> Html:
    """Shares of a whole side by side in one bar."""
    made, x = [], 0.0
    for label, share, colour in parts:
        title = tag("title", f"{label}: {share:.1%}")
        made.append(tag("rect", title, x=f"{x:.3f}", y=0, width=f"{100 * share:.3f}", height=5, fill=hexed(colour)))
        x += 100 * share
    edge = tag(
        "rect", x=0, y=0, width=100, height=5, fill="none", stroke="currentColor", vector_effect="non-scaling-stroke"
    )
    return tag("svg", tag("title", alt), *made, edge, class_="plot", viewBox="0 0 100 5", preserveAspectRatio="none", role="img", aria_label=alt)  # fmt: skip


def bar(share: float, colour: Rgb) -> Html:
    """A share as a bar beside its number, which says the same."""
    length = f"{100 * min(max(share, 0.0), 1.0):.2f}"
    filled = tag("rect", x=0, y=0, width=length, height=8, fill=hexed(colour), stroke="currentColor", stroke_width=0.5)
    return tag("svg", filled, class_="bar", viewBox="0 0 100 8", width=100, height=8, aria_hidden="true")
