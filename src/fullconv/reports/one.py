"""The page of one result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from fullconv.cards.card import Card
from fullconv.maps.classmap import ClassMap
from fullconv.maps.labels import Named
from fullconv.render import canvas
from fullconv.render.components import FEATURES, components_picture
from fullconv.render.overlay import lay_heat, lay_winners, spoken
from fullconv.reports import plots, told
from fullconv.reports.cell import one_cell
from fullconv.reports.classes import Part, all_classes, class_parts, legend, parts_of, peak_marks
from fullconv.reports.html import Html, Sections, figure, joined, name, page, tag
from fullconv.reports.pictures import Pictures
from fullconv.reports.pixels import Pixels
from fullconv.reports.survey import Survey, survey
from fullconv.results.store import Store

_SIDE = 1600  # px of the image as drawn, as pictures of maps have
_IMAGE_BYTES, _MAP_BYTES = 420_000, 650_000


@dataclass(frozen=True, slots=True)
class Subject:
    """What a page is of.

    Attributes:
        found: the map.
        store: that it lies in, None of others.
        image: its name.
        pixels: the image itself, where it is at hand.
        card: of the network.
        measured: what a comparison with crops found, or why there was none.
        seconds: that the run took, where that is known.
        classes, threshold: that are shown and count; what goes without saying by default.
        warnings: what is to be said first.
    """

    found: ClassMap
    store: Store | None = None
    image: str = ""
    pixels: Pixels | None = None
    card: Card | None = None
    measured: str = ""
    seconds: float | None = None
    classes: Named | None = None
    threshold: float | None = None
    warnings: tuple[str, ...] = ()


def page_of_result(subject: Subject, title: str) -> str:
    """A whole page, bounded whatever the map is."""
    found, pictures = subject.found, Pictures()
    seen = survey(found, subject.store, subject.classes, threshold_of(found, subject.threshold))
    parts = parts_of(seen)
    base = None if subject.pixels is None else subject.pixels.whole(_SIDE)
    sections = Sections()
    classes = not seen.features
    sections.add(
        "Overview", _overview(seen, parts, base, pictures), legend(seen) if classes and len(found.labels) > 1 else None
    )
    faithful = "Does the map say what the classifier says?" if classes else "What does a cell equal?"
    sections.add(faithful, told.exactness(found, subject.measured))
    sections.add("Classes", all_classes(seen, parts) if classes and len(found.labels) > 1 else None)
    sections.add(
        ("What the classes look like" if found.has_winners else "What the network gives") if classes else "Channels",
        *class_parts(seen, parts, subject.pixels, base, pictures),
    )
    first = next(((number, peak) for part in parts for number, peak in part.peaks), None)
    if first is not None and not found.parts:
        sections.add("One cell", one_cell(found, first[1], first[0], subject.pixels, pictures))
    sections.add("The network", told.network(found, subject.card))
    answered = seen.answered if seen.step == 1 else None
    sections.add("How it was run", told.course(found, subject.image, answered, subject.seconds))
    warnings = [*_unfinished(found, subject.store), *subject.warnings]
    return page(title, _summary(seen, subject), sections, warnings)


def threshold_of(found: ClassMap, given: float | None) -> float | None:
    """The threshold that counts, see ``ClassMap.least_score``; of logits none where nobody gave one."""
    if (
        given is None
        and found.advice.threshold is None
        and found.score_kind in ("logits", "log-probabilities", "winner", FEATURES)
    ):
        return None
    return found.least_score(given)


def _summary(seen: Survey, subject: Subject) -> Html:
    """What is there, in a sentence."""
    grid, each = seen.whole.grid, seen.step**2
    parts: list[object] = ["A map of ", name(subject.image or "an image"), f", {grid.image[1]:,} × {grid.image[0]:,} px: {'about ' if seen.step > 1 else ''}{seen.answered * each:,} cells"]  # fmt: skip
    most = max(range(len(seen.classes)), key=lambda i: seen.classes[i].cells)
    if seen.answered and len(seen.classes) > 1 and not seen.features:
        parts += [", of which ", name(spoken(seen.whole.labels[most])), f" wins {seen.classes[most].share:.1%}"]
    return joined([*parts, "."])


def _unfinished(found: ClassMap, store: Store | None) -> Sequence[str]:
    record = found.record
    if record is None:
        return ()
    warnings = []
    if not record.finished:
        done = "" if store is None else f" {len(store.done()):,} of {len(record.tiles):,} tiles are done;"
        warnings.append(f"This map is not finished:{done} what is missing counts as cells without an answer.")
    if record.failed:
        warnings.append(
            f"{len(record.failed):,} of {len(record.tiles):,} tiles were left out, since their pixels do not decode; see How it was run."
        )
    return warnings


def _overview(seen: Survey, parts: list[Part], base: Image.Image | None, pictures: Pictures) -> Html:
    """The image, with the best peaks, beside the map over it."""
    found = seen.whole
    shown = []
    if base is not None:
        plain = canvas.start(base, found.grid).laid
        uri = pictures.uri(plain, _IMAGE_BYTES)
        if uri is not None:
            marks = peak_marks(found, parts)
            alt = "The image, with the best peaks of the classes numbered" if marks else "The image"
            drawn = plots.marked(uri, found.grid.image, alt, marks)
            shown.append(figure(drawn, "The image; numbered: the best peaks, as below." if marks else "The image."))
    over = canvas.start(base, found.grid)
    bars = parts[0].histogram if len(found.labels) == 1 and parts else None
    if bars is not None:
        lay_heat(over, *seen.heat(0), (bars.low, bars.high))
        what = "is" if found.score_kind == "winner" else "scores"
        caption = f"{spoken(found.labels[0])}: clear where it {what} lowest, yellow where highest."
    elif seen.features:
        over = components_picture(seen.found, base, factor=seen.factor)
        caption = "The first three principal components of the features as red, green and blue."
    else:
        lay_winners(over, found, seen.won)
        clear = "Background is left clear, and so is" if len(found.findings) < len(found.labels) else "Clear is"
        caption = f"The map: the winning class of each cell. {clear} what has no answer."
    laid = pictures.image(over.laid, f"The map over the image. {caption}", _MAP_BYTES)
    shown.append(figure(laid, caption))
    return tag("div", *shown, class_="pair") if len(shown) > 1 else joined(shown)
