"""A verification as a page: numbers, causes and pictures inside."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from fullconv.reports.html import Html, Sections, facts, figure, joined, name, page, table, tag
from fullconv.reports.pictures import TOTAL, Pictures
from fullconv.trust.intervals import Share
from fullconv.trust.pictures import difference_picture, parting_picture, winners_picture
from fullconv.trust.verified import Report
from fullconv.trust.yardstick import OfClass, Yardstick

_MOST = 20  # classes in the table
_PICTURES = 3  # of an image


def html_report(reports: Sequence[Report], model: str, shares: Sequence[str] = ()) -> str:
    """All images of one verification as a page that needs no other file.

    Args:
        reports: one an image.
        model: its name.
        shares: of the layers in the difference, in words, one an image or none.
    """
    failed = any(report.failed for report in reports)
    verdict = ["FAILED: an exact map differs from its crops."] if failed else []
    told = [*shares, *[""] * (len(reports) - len(shares))]
    pictures, sections = Pictures(), Sections()
    most = TOTAL // (_PICTURES * max(1, len(reports)))
    for report, share in zip(reports, told, strict=True):
        sections.add(name(report.image), _section(report, share, pictures, most))
    return page(f"fullconv verify: {model}", reports[0].exactness, sections, verdict)


def _section(report: Report, shares: str, pictures: Pictures, most: int) -> Html:
    rows = {
        "cells compared": f"{report.compared} of {report.cells}",
        **_agreement(report),
        "largest difference": f"{report.largest:.3g}",
        "mean difference": f"{report.mean:.3g}",
        "noise of the engine": f"{report.noise:.3g}, more than noise above {report.threshold:.3g}",
        **(
            {"no numbers": f"one side alone in {report.apart} cells, both in {report.neither}"}
            if report.apart or report.neither
            else {}
        ),
        **({} if report.rounded is None else {"precision": "; ".join(report.rounded.lines)}),
        "what to do": report.advice,
    }
    largest = sorted(report.by_class.items(), key=lambda item: -item[1])[:_MOST]

    def drawn(picture: Image.Image, caption: str) -> Html | None:
        return figure(pictures.image(picture, caption, most), caption)

    return joined([
        facts(rows),
        drawn(parting_picture(report), "Where map and crops part, and where the classifier parts from itself.") if _parts(report) else None,
        drawn(difference_picture(report), "Where map and crops differ, laid where the cells look."),
        drawn(winners_picture(report), "The map: the winning class of each cell that was compared."),
        joined([tag("h3", "Which layers"), tag("pre", shares, tabindex="0", role="region", aria_label="each layer's share")]) if shares else None,
        _classes(report.yardstick),
        tag("h3", "Largest difference of each class"),
        table(("class", "difference"), [(name(label), f"{gap:.3g}") for label, gap in largest], "Over all cells that were compared."),
    ])  # fmt: skip


def _agreement(report: Report) -> dict[str, str]:
    stick, many = report.yardstick, len(report.labels) > 1
    rows = {}
    if report.agree is not None:
        rows["top-1 agrees" if many else "agrees"] = f"{report.agree / report.compared:.2%} ({report.agree})"
    if stick is not None:
        rows["yardstick"] = stick.verdict
        rows["more of it"] = "\n".join(stick.lines)
    if many:
        rows["rank correlation"] = f"{report.rank:.4f}"
    return rows


def _parts(report: Report) -> bool:
    return report.states is not None and report.yardstick is not None and report.yardstick.map is not None


def class_rows(stick: Yardstick, most: int | None = None) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Titles and rows of the table by class: what each is called, how frequent it is, and how well map and crops agree on it."""
    titles = ("class", "crops", "map", "map agrees", "classifier with itself", "mean p map", "of crops", "bias")
    moved, told = stick.itself is not None, stick.calibration is not None
    keep = [True] * 4 + [moved] + [told] * 3
    seen = stick.seen if most is None else stick.seen[:most]
    rows = [
        tuple(cell for cell, kept in zip(_row(each, len(stick.classes)), keep, strict=True) if kept) for each in seen
    ]
    return tuple(title for title, kept in zip(titles, keep, strict=True) if kept), rows


def _row(each: OfClass, classes: int) -> tuple[str, ...]:
    def told(share: Share | None) -> str:
        return "" if share is None or not share.of else str(share)

    bias = ""
    if each.bias is not None:
        half = each.bias.half()
        sure = "*" if each.is_biased(classes) else ""
        bias = f"{each.bias.mean:+.3f}" + (f" ±{half:.3f}{sure}" if half is not None else "")
    chances = ("", "") if each.mapped is None else (f"{each.mapped:.3f}", f"{each.classifier:.3f}")
    return each.label, f"{each.crops:,}", f"{each.won:,}", told(each.agrees), told(each.itself), *chances, bias


CLASS_NOTE = "agreement of cells whose crop has this class (of labels: over all cells), with intervals of 95 %; * surely biased, all classes looked at"


def _classes(stick: Yardstick | None) -> Html | None:
    if stick is None or not stick.seen:
        return None
    titles, rows = class_rows(stick, _MOST)
    more = f" The {_MOST} most frequent of {len(stick.seen)}; --json has all." if len(stick.seen) > _MOST else ""
    listed = table(titles, [(name(row[0]), *row[1:]) for row in rows], f"{CLASS_NOTE}.{more}")
    return joined([tag("h3", "By class"), listed])
