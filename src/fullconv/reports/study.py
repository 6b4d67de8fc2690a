"""The page of a study: all its images, their classes side by side, what failed and why, and links to each image's own files."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from fullconv.errors import BadInput
from fullconv.geometry.grid import Grid
from fullconv.render.canvas import MARGIN, drawn_size
from fullconv.render.overlay import spoken
from fullconv.render.palette import class_colour
from fullconv.reports import plots
from fullconv.reports.html import Html, Rgb, Sections, facts, joined, name, page, swatch, table, tag
from fullconv.reports.pictures import TOTAL, Pictures
from fullconv.results.places import storage_of
from fullconv.results.store import Store
from fullconv.study.outcome import Outcome
from fullconv.system.guard import is_folder, is_url, reads

SUMMARY = "summary.csv"
_MOST = 1500  # images on a page
_PIXELS = 64_000_000  # of a picture that is made small
_THUMB, _THUMB_BYTES = 360, 24_000
_COMPARED = 8  # classes that are compared over images
_FEW, _LISTED = 20, 100  # classes that are all listed, and at most
_OTHERS: Rgb = (150, 150, 150)


def is_study(result: str | Path) -> bool:
    """Whether a path is the folder of a study."""
    return not is_url(str(result)) and is_folder(Path(result)) and (Path(result) / SUMMARY).is_file()


def agreed(agreement: tuple[float, float, float], how: str = "agree with their crop") -> str:
    """How far a map agrees with crops, in words: a share and its interval.

    Args:
        how: such cells agree, see ``trust.agreement.told_alike``.
    """
    share, low, high = agreement
    return f"{share:.0%} of random cells {how} ({100 * low:.0f}–{100 * high:.0f} % of all by a 95 % interval)"


def page_of_study(folder: Path, beside: Path, title: str | None = None) -> str:
    """The page of a study that lies in a folder.

    Args:
        beside: the folder of the page, which links begin at.

    Raises:
        BadInput: it is no study.
    """
    return page_of_outcomes(read_outcomes(folder), folder, beside, title)


def read_outcomes(folder: Path) -> list[Outcome]:
    """What became of each image: of those that are mapped what lies beside their maps, of the others what the table says."""
    reads(folder / SUMMARY)
    try:
        with (folder / SUMMARY).open(encoding="utf-8-sig", newline="") as file:  # as a spreadsheet saves it
            rows = [
                {key: value or "" for key, value in row.items() if isinstance(key, str)}
                for row in islice(csv.DictReader(file), 100_000)
            ]
    except (OSError, ValueError, csv.Error) as error:
        raise BadInput(f"{folder / SUMMARY}: is no table of a study, or damaged ({error})") from None
    if rows and not {"image", "status", "error"} <= rows[0].keys():
        raise BadInput(f"{folder / SUMMARY}: is no table of a study (fullconv run)")
    found = []
    for row in rows:
        if row["status"] != "mapped":
            found.append(Outcome(row["image"], error=row["error"] or "it was not mapped"))
            continue
        store = _name_of(row.get("result", ""))
        kept = Outcome.load((folder / store).with_suffix(".json")) if store else None
        found.append(kept or Outcome(row["image"], error="what a study keeps beside its map is not there any more"))
    return found


def page_of_outcomes(outcomes: Sequence[Outcome], folder: Path, beside: Path, title: str | None = None) -> str:
    """A whole page, bounded whatever the study is."""
    mapped, failed = [each for each in outcomes if each.mapped], [each for each in outcomes if not each.mapped]
    links = _Links(folder, beside)
    shown = mapped[:_MOST]
    colours = _colours(folder, mapped)
    sections = Sections()
    sections.add("Images that failed", _failures(failed))
    sections.add("Images", _thumbnails(shown, folder, links), _left(len(mapped)))
    sections.add("Classes over the images", _bars(shown, colours, links))
    sections.add("Every class", _totals(mapped, colours))
    sections.add("Every image", _images(shown, links), _left(len(mapped)))
    sections.add("Do the maps say what the classifier says?", _exactness(mapped))
    sections.add("How it was run", _course(mapped, failed))
    warnings = [f"{len(failed):,} of {len(outcomes):,} images have no map; their reasons follow."] if failed else []
    holding = [each for each in mapped if each.rules]
    if holding:
        warnings.append(f"A rule of --fail-if holds for {len(holding):,} of {len(mapped):,} images.")
    broken = sum(1 for each in mapped if each.failed_tiles)
    if broken:
        warnings.append(f"{broken:,} maps lack tiles, since their pixels do not decode.")
    told = f"{len(mapped):,} of {len(outcomes):,} images are mapped."
    return page(title or f"Study: {folder.resolve().name}", told, sections, warnings)


class _Links:
    """Links to files of a study, relative to the page."""

    def __init__(self, folder: Path, beside: Path) -> None:
        self._folder, self._beside = folder.resolve(), beside.resolve()

    def to(self, file: str, shown: object) -> Html:
        """A link to a file of the study, where it is there; else what would be shown of it."""
        where = self._folder / _name_of(file)
        if not _name_of(file) or not where.exists():
            return joined([shown])
        try:
            path = Path(os.path.relpath(where, self._beside)).as_posix()
        except ValueError:  # on another drive of Windows
            return joined([shown])
        return tag("a", shown, href=quote(f"./{path}"))

    def page_of(self, outcome: Outcome, shown: object) -> Html:
        """A link to an image's own page, else its picture."""
        pages = [file for end in (".html", ".png") for file in outcome.files if file.endswith(end)]
        return self.to(pages[0], shown) if pages else joined([shown])


def _name_of(path: str) -> str:
    return path.replace("\\", "/").rstrip("/").rpartition("/")[2]


def _left(count: int) -> Html | None:
    return tag("p", f"The first {_MOST:,} of {count:,}; {SUMMARY} has all.", class_="note") if count > _MOST else None


def _failures(failed: Sequence[Outcome]) -> Html | None:
    if not failed:
        return None
    rows = [(name(_name_of(each.image)), name(each.error)) for each in failed[:_MOST]]
    return table(("image", "reason"), rows, "Images without a map, and why.", left=2)


def _thumbnails(mapped: Sequence[Outcome], folder: Path, links: _Links) -> Html | None:
    pictures = Pictures()
    made = []
    for each in mapped:
        picture = _thumbnail(each, folder)
        image = pictures.image(
            picture, f"The map over {_name_of(each.image)}", min(_THUMB_BYTES, TOTAL // max(1, len(mapped)))
        )
        told = joined([name(_name_of(each.image)), tag("br"), name(spoken(each.winner)), f" {_share(each)}"])
        shown = image or tag("p", "no picture", class_="note")
        made.append(tag("li", tag("figure", links.page_of(each, shown), tag("figcaption", told))))
    return tag("ul", *made, class_="thumbs") if made else None


def _thumbnail(outcome: Outcome, folder: Path) -> Image.Image | None:
    """The map over the image, of the picture that a study writes of each map, without its legend."""
    file = next((file for file in outcome.files if file.endswith(".png")), None)
    if file is None or min(outcome.width, outcome.height, outcome.rows, outcome.cols) < 1:
        return None
    with suppress(Exception), Image.open(folder / _name_of(file)) as picture:  # of anyone: Pillow has errors of its own
        if picture.width * picture.height > _PIXELS:
            return None
        one = (1, 1)
        grid = Grid(outcome.rows, outcome.cols, one, one, (0, 0), one, (outcome.height, outcome.width))  # type: ignore[arg-type]
        wide, high = drawn_size(grid)[1]
        made = picture.convert("RGB").crop((MARGIN, MARGIN, MARGIN + wide, MARGIN + high))
        made.thumbnail((_THUMB, _THUMB))
        return made
    return None


def _share(outcome: Outcome) -> str:
    return next((f"{each.share:.1%}" for each in outcome.classes if each.label == outcome.winner), "")


def _totals_of(mapped: Sequence[Outcome]) -> dict[str, tuple[int, int, float]]:
    """By class: cells over all images, images in which it wins any, and its area; the one of most cells first."""
    found: dict[str, tuple[int, int, float]] = {}
    for outcome in mapped:
        for each in outcome.classes:
            cells, images, area = found.get(each.label, (0, 0, 0.0))
            found[each.label] = cells + each.cells, images + bool(each.cells), area + (each.area or 0.0)
    return dict(sorted(found.items(), key=lambda item: -item[1][0]))


def _colours(folder: Path, mapped: Sequence[Outcome]) -> dict[str, Rgb]:
    """Of the classes, as the first map has them."""
    for outcome in mapped[:1]:
        with suppress(BadInput):
            from fullconv.maps.classmap import ClassMap

            found = ClassMap.of_store(Store.open(storage_of(folder / _name_of(outcome.files[0]))))
            return {label: found.colour(i) for i, label in enumerate(found.labels)}
    return {label: class_colour(i) for i, label in enumerate(each.label for one in mapped[:1] for each in one.classes)}


def _bars(mapped: Sequence[Outcome], colours: dict[str, Rgb], links: _Links) -> Html | None:
    """Shares of the classes, an image a bar."""
    totals = _totals_of(mapped)
    most = [label for label, (cells, _, _) in totals.items() if cells][:_COMPARED]
    if not most or len(mapped) < 2:
        return None
    lines = [tag("li", swatch(colours.get(label, _OTHERS)), name(spoken(label))) for label in most]
    if sum(1 for cells, _, _ in totals.values() if cells) > len(most):
        lines.append(tag("li", swatch(_OTHERS), "others"))
    rows = []
    for each in mapped:
        share = {of.label: of.share for of in each.classes}
        parts = [(spoken(label), share.get(label, 0.0), colours.get(label, _OTHERS)) for label in most]
        rest = max(0.0, 1 - sum(part for _, part, _ in parts)) if each.answered else 0.0
        told = ", ".join(f"{label} {part:.0%}" for label, part, _ in parts if part >= 0.005)
        bar = plots.shares(
            [*parts, ("others", rest, _OTHERS)], f"{_name_of(each.image)}: {told or 'no cell has an answer'}"
        )
        rows.append((links.page_of(each, name(_name_of(each.image))), bar))
    body = [tag("tr", tag("th", image, scope="row"), tag("td", bar)) for image, bar in rows]
    return joined([tag("ul", *lines, class_="legend"), tag("table", tag("caption", "Share of the cells that each class wins, an image a bar."), tag("tbody", *body), class_="bars")])  # fmt: skip


def _totals(mapped: Sequence[Outcome], colours: dict[str, Rgb]) -> Html | None:
    totals, units = _totals_of(mapped), sorted({each.unit for each in mapped})
    if not totals:
        return None
    cells = max(1, sum(each.answered for each in mapped))
    unit = {"mm2": "mm²", "km2": "km²"}.get(units[0], "") if len(units) == 1 else ""
    listed = [label for label, found in totals.items() if len(totals) <= _FEW or found[0]][:_LISTED]
    titles = ["class", "images", "cells", "share of all", *([f"area ({unit})"] if unit else [])]
    rows = []
    for label in listed:
        count, images, area = totals[label]
        title = joined([swatch(colours.get(label, _OTHERS)), name(spoken(label))])
        rows.append([title, f"{images:,}", f"{count:,}", f"{count / cells:.1%}", *([f"{area:,.4g}"] if unit else [])])
    left = f"{len(totals) - len(listed):,} classes are not listed, since they win fewer cells or none."
    more = tag("p", left, class_="note") if len(listed) < len(totals) else None
    return joined([table(titles, rows, "Over all images: in how many a class wins cells, and how many."), more])


def _images(mapped: Sequence[Outcome], links: _Links) -> Html | None:
    if not mapped:
        return None
    rules, peaks = (
        any(each.rules for each in mapped),
        any(of.peaks is not None for each in mapped for of in each.classes),
    )
    titles = ["image", "files", "most cells", "agrees with crops", *(["rules that hold"] if rules else []), "size (px)", "cells", "share", *(["peaks"] if peaks else []), "seconds"]  # fmt: skip
    rows = []
    for each in mapped:
        files = Html(", ").join(links.to(file, _kind(file, each)) for file in each.files)
        count = sum(of.peaks or 0 for of in each.classes)
        rows.append([
            links.page_of(each, name(_name_of(each.image))), Html(files), name(spoken(each.winner)), _agrees(each),
            *([name("; ".join(each.rules))] if rules else []), f"{each.width:,} × {each.height:,}", f"{each.answered:,}", _share(each),
            *([f"{count:,}"] if peaks else []), f"{each.seconds:,.1f}",
        ])  # fmt: skip
    return table(titles, rows, "Every image that is mapped, with its files.", left=5 if rules else 4)


def _kind(file: str, outcome: Outcome) -> str:
    """What a file is, beside the name of its image: ``zarr``, ``7.geojson``."""
    stem = Path(_name_of(outcome.files[0])).stem
    return _name_of(file).removeprefix(f"{stem}.")


def _agrees(outcome: Outcome) -> str:
    if outcome.agreement is None:
        return "exact" if outcome.exactness.startswith("exact") else "not compared"
    share, low, high = outcome.agreement
    return f"{share:.0%} ({100 * low:.0f}–{100 * high:.0f} %)"


def _exactness(mapped: Sequence[Outcome]) -> Html | None:
    told = list(dict.fromkeys(each.exactness for each in mapped if each.exactness))
    compared = [each.agreement for each in mapped if each.agreement is not None]
    parts: list[object] = [tag("p", f"{line[:1].upper()}{line[1:]}.", class_="lead") for line in told[:3]]
    if compared:
        least = min(compared)
        parts.append(tag("p", f"Compared on {len(compared):,} images; where they agree least, {agreed(least)}."))
    return joined(parts) if parts else None


def _course(mapped: Sequence[Outcome], failed: Sequence[Outcome]) -> Html:
    pixels = sum(each.width * each.height for each in mapped)
    return facts({
        "images": f"{len(mapped):,} mapped, {len(failed):,} failed", "pixels": f"{pixels / 1e6:,.1f} megapixels",
        "cells": f"{sum(each.answered for each in mapped):,} with an answer", "time": f"{sum(each.seconds for each in mapped):,.1f} s, all images together",
        "tiles left out": f"{tiles:,}" if (tiles := sum(each.failed_tiles for each in mapped)) else "",
    })  # fmt: skip
