"""The classes of a map on a page: a table of all, and of those that are shown a part each, with heat, scores and the crops of the best peaks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from PIL import Image

from fullconv.exports.images import Overview
from fullconv.maps.areas import cell_area, readable
from fullconv.maps.classmap import ClassMap, Peak
from fullconv.render import canvas
from fullconv.render.overlay import lay_heat, score_word, spoken
from fullconv.reports import plots
from fullconv.reports.html import Html, facts, figure, joined, name, swatch, table, tag
from fullconv.reports.pictures import Pictures
from fullconv.reports.pixels import Pixels
from fullconv.reports.survey import Histogram, Survey
from fullconv.system.notebook import counted

_FEW, _LISTED = 20, 500  # classes that are all listed, and at most
_PEAKS = 6  # of a class
_SIDE, _CROP_BYTES, _HEAT_SIDE, _HEAT_BYTES = 512, 25_000, 640, 60_000


@dataclass(frozen=True, slots=True)
class Part:
    """A class that is shown.

    Attributes:
        peaks: its best ones, with their numbers on the page.
        count: of those that reach the threshold, where they were counted.
        histogram: of its scores, None where it has none.
    """

    index: int
    peaks: tuple[tuple[int, Peak], ...]
    count: int | None
    histogram: Histogram | None


def parts_of(seen: Survey) -> list[Part]:
    """The classes that are shown, their peaks numbered one behind the other."""
    made, number = [], 1
    for index in seen.shown:
        bars = seen.histogram(index)
        found, count = seen.peaks(index, bars, _PEAKS)
        made.append(Part(index, tuple(enumerate(found, number)), count, bars))
        number += len(found)
    return made


def all_classes(seen: Survey, parts: list[Part]) -> Html:
    """A table of the classes, the one of most cells first; of many those alone that win cells or reach the threshold."""
    found, area, each = seen.whole, cell_area(seen.whole), seen.step**2
    counts = {part.index: part.count for part in parts if part.count is not None}
    order = sorted(range(len(found.labels)), key=lambda i: (-seen.classes[i].cells, -(seen.classes[i].over or 0)))
    listed = [i for i in order if len(order) <= _FEW or seen.classes[i].cells or seen.classes[i].over][:_LISTED]
    unit, per = readable(found.place.unit, seen.answered * each * (area or 0))
    columns: dict[str, Callable[[int, Overview], object]] = {
        "class": lambda i, of: joined([swatch(found.colour(i)), _label(found, i)]),
        "cells": lambda i, of: f"{of.cells * each:,}",
        "share": lambda i, of: f"{of.share:.1%}",
    }
    if area is not None:
        columns[f"area ({unit})"] = lambda i, of: _number(of.cells * each * area / per)
    columns[f"highest {score_word(found)}"] = lambda i, of: "" if of.best is None else f"{of.best:.4g}"
    columns["at (x, y)"] = lambda i, of: "" if of.x is None or of.y is None else f"{of.x:,.0f}, {of.y:,.0f}"
    if seen.threshold is not None:
        columns[f"cells from {seen.threshold:g}"] = lambda i, of: f"{(of.over or 0) * each:,}"
    if counts:
        columns["peaks"] = lambda i, of: f"{counts[i]:,}" if i in counts else ""
    rows = [[show(i, seen.classes[i]) for show in columns.values()] for i in listed]
    notes = []
    if seen.step > 1:
        notes.append(f"Counted on means of {seen.step} × {seen.step} cells, since there are too many to be read one by one for a page; fullconv export --what areas counts them all.")  # fmt: skip
    if len(listed) < len(order):
        notes.append(f"{len(order) - len(listed):,} classes are not listed, since they win fewer cells or none; fullconv export --what areas lists all.")  # fmt: skip
    made = table(list(columns), rows, "Classes: the cells that each wins, and its highest score.")
    return joined([made, *(tag("p", line, class_="note") for line in notes)])


def _label(found: ClassMap, index: int) -> Html:
    return joined([name(spoken(found.labels[index])), " (background)" if index in found.advice.background else None])


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def legend(seen: Survey, most: int = 12) -> Html:
    """The classes that win cells, with their colours and shares."""
    order = [i for i in sorted(range(len(seen.classes)), key=lambda i: -seen.classes[i].cells) if seen.classes[i].cells]
    lines = [
        tag("li", swatch(seen.whole.colour(i)), _label(seen.whole, i), tag("span", f"{seen.classes[i].share:.1%}"))
        for i in order[:most]
    ]
    more = tag("p", f"and {len(order) - most:,} more, see Classes", class_="note") if len(order) > most else None
    return joined([tag("ul", *lines, class_="legend"), more])


def class_parts(
    seen: Survey, parts: list[Part], pixels: Pixels | None, base: Image.Image | None, pictures: Pictures
) -> Iterator[Html]:
    """A part of each class that is shown.

    Args:
        base: a picture of the image, None for paper.
    """
    for part in parts:
        found, of = seen.whole, seen.classes[part.index]
        title = joined([swatch(found.colour(part.index)), name(spoken(found.labels[part.index]))])
        shown = [_heat(seen, part, base, pictures), _scores(seen, part)]
        body = tag("div", *shown, _gallery(seen, part, pixels, pictures), class_="class")
        yield tag("section", tag("h3", title), _facts(seen, part, of), body)


def _facts(seen: Survey, part: Part, of: Overview) -> Html:
    each, about = seen.step**2, "about " if seen.step > 1 else ""
    line = f"wins {about}{counted(of.cells * each, 'cell')} ({of.share:.1%})"
    if seen.features:
        line = f"channel {part.index}"
    elif not seen.whole.has_winners:  # one class wins over no other
        line = f"{about}{counted(seen.answered * each, 'cell')}"
    if seen.threshold is not None and of.over is not None:
        line += f"; {about}{of.over * each:,} reach {seen.threshold:g}"
    if part.count is not None:
        line += f"; {counted(part.count, 'peak')}"
    return tag("p", line, class_="subtitle")


def _heat(seen: Survey, part: Part, base: Image.Image | None, pictures: Pictures) -> Html | None:
    if part.histogram is None:
        return None
    found, bars = seen.whole, part.histogram
    page = canvas.start(base, found.grid)
    lay_heat(page, *seen.heat(part.index), (bars.low, bars.high))
    picture = page.laid
    picture.thumbnail((_HEAT_SIDE, _HEAT_SIDE))
    label = spoken(found.labels[part.index])
    uri = pictures.uri(picture, _HEAT_BYTES)
    if uri is None:
        return None
    marks = [plots.Mark(peak.box, number, found.colour(part.index)) for number, peak in part.peaks]
    where = "The winner's numbers" if found.score_kind == "winner" else f"Where {label} scores high"
    made = plots.marked(uri, found.grid.image, f"{where}, over the image", marks)
    numbered = "; numbered: the best peaks" if marks else ""
    return figure(
        made, f"{score_word(found).capitalize()}, from {bars.low:.3g} (clear) to {bars.high:.3g} (yellow){numbered}."
    )


def _scores(seen: Survey, part: Part) -> Html | None:
    if part.histogram is None:
        return None
    found, label = seen.whole, spoken(seen.whole.labels[part.index])
    cells = "means of cells" if seen.step > 1 else "cells"
    alt = f"Histogram of the scores of {label}: {int(part.histogram.cells.sum()):,} {cells} from {part.histogram.low:.3g} to {part.histogram.high:.3g}"
    plot = plots.histogram(part.histogram, found.colour(part.index), alt, seen.threshold)
    dashed = f"; dashed: {seen.threshold:g}, which counts" if seen.threshold is not None else ""
    told = f"How many {cells} hold each number" if found.score_kind == "winner" else f"How many {cells} score how much"
    return figure(plot, f"{told}; heights are logarithmic{dashed}.")


def _gallery(seen: Survey, part: Part, pixels: Pixels | None, pictures: Pictures) -> Html | None:
    if not part.peaks:
        return None
    if pixels is None:
        return _listed(part)
    made = []
    for number, peak in part.peaks:
        x, y = seen.whole.centre(peak.row, peak.col)
        crop = pictures.image(pixels.part(peak.box, _SIDE), f"Crop {number}: {spoken(peak.label)}, {peak.score:.3g}, at {x:.0f}, {y:.0f}", _CROP_BYTES)  # fmt: skip
        told = joined([tag("b", number), f" scores {peak.score:.4g}", tag("br"), f"at {x:,.0f}, {y:,.0f}"])
        made.append(
            tag("li", tag("figure", crop or tag("p", "does not decode", class_="note"), tag("figcaption", told)))
        )
    return tag("ul", *made, class_="gallery")


def _listed(part: Part) -> Html:
    rows = {
        f"peak {number}": f"{peak.score:.4g}, crop {', '.join(f'{value:g}' for value in peak.box)}"
        for number, peak in part.peaks
    }
    return tag("div", facts(rows), class_="gallery")


def peak_marks(found: ClassMap, parts: list[Part]) -> list[plots.Mark]:
    """All numbered peaks as boxes over the image."""
    return [plots.Mark(peak.box, number, found.colour(part.index)) for part in parts for number, peak in part.peaks]
