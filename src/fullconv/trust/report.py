"""A verification as one HTML file: numbers, causes and pictures inside."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence

from PIL import Image

from fullconv.system.guard import MARK
from fullconv.trust.intervals import Share
from fullconv.trust.pictures import difference_picture, parting_picture, winners_picture
from fullconv.trust.verified import Report
from fullconv.trust.yardstick import OfClass, Yardstick

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 1280px; margin: 2rem auto; padding: 0 1rem; color: #202020 }
h1 { font-size: 1.5rem } h2 { font-size: 1.2rem; margin-top: 2.5rem; border-top: 1px solid #ccc; padding-top: 1rem }
table { border-collapse: collapse; margin: 1rem 0 } td, th { padding: .2rem 1.2rem .2rem 0; text-align: left; vertical-align: top }
.classes td { text-align: right; font-variant-numeric: tabular-nums } .classes thead th { border-bottom: 1px solid #ccc }
td:nth-child(2) { font-variant-numeric: tabular-nums } img { max-width: 100%; height: auto } .failed { color: #b00020; font-weight: 600 }
figcaption { color: #555; margin-bottom: 1rem } figure { margin: 1rem 0 }
"""
_MOST = 20  # classes in the table


def html_report(reports: Sequence[Report], model: str, shares: Sequence[str] = ()) -> str:
    """All images of one verification as a page that needs no other file.

    Args:
        reports: one an image.
        model: its name.
        shares: of the layers in the difference, in words, one an image or none.
    """
    failed = any(report.failed for report in reports)
    verdict = '<p class="failed">FAILED: an exact map differs from its crops.</p>' if failed else ""
    told = [*shares, *[""] * (len(reports) - len(shares))]
    sections = "".join(map(_section, reports, told))
    title = f"fullconv verify: {html.escape(model)}"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="generator" content="{MARK}"><title>{title}</title><style>{_STYLE}</style></head>'
        f"<body><h1>{title}</h1>{verdict}<p>{html.escape(reports[0].exactness)}</p>{sections}</body></html>\n"
    )


def _section(report: Report, shares: str) -> str:
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
    most = sorted(report.by_class.items(), key=lambda item: -item[1])[:_MOST]
    return (
        f"<h2>{html.escape(report.image)}</h2>{_table(rows)}"
        f"{_parting(report)}"
        f"{_figure(difference_picture(report), 'Where map and crops differ, laid where the cells look.')}"
        f"{_figure(winners_picture(report), 'The map: the winning class of each cell that was compared.')}"
        f"{f'<h3>Which layers</h3><pre>{html.escape(shares)}</pre>' if shares else ''}"
        f"{_classes(report.yardstick)}"
        f"<h3>Largest difference of each class</h3>{_table({label: f'{gap:.3g}' for label, gap in most})}"
    )


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
    return {name: value for name, value in rows.items() if value}


def _parting(report: Report) -> str:
    if report.states is None or report.yardstick is None or report.yardstick.map is None:
        return ""
    return _figure(parting_picture(report), "Where map and crops part, and where the classifier parts from itself.")


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


def _classes(stick: Yardstick | None) -> str:
    if stick is None or not stick.seen:
        return ""
    titles, rows = class_rows(stick, _MOST)
    head = "".join(f"<th>{html.escape(title)}</th>" for title in titles)
    body = "".join(
        f"<tr><th>{html.escape(row[0])}</th>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row[1:])}</tr>"
        for row in rows
    )
    more = f" The {_MOST} most frequent of {len(stick.seen)}; --json has all." if len(stick.seen) > _MOST else ""
    return (
        f'<h3>By class</h3><table class="classes"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        f"<p>{html.escape(CLASS_NOTE)}.{more}</p>"
    )


def _table(rows: dict[str, str]) -> str:
    cells = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>" for name, value in rows.items()
    )
    return f"<table>{cells}</table>"


def _figure(picture: Image.Image, caption: str) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<figure><img alt="{html.escape(caption)}" src="data:image/png;base64,{data}"><figcaption>{html.escape(caption)}</figcaption></figure>'
