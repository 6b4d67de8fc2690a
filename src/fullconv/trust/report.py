"""A verification as one HTML file: numbers, causes and pictures inside."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from PIL import Image

from fullconv.rasters.pictures import to_picture
from fullconv.render.overlay import heat_picture
from fullconv.system.guard import MARK
from fullconv.trust.verify import Report

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 1280px; margin: 2rem auto; padding: 0 1rem; color: #202020 }
h1 { font-size: 1.5rem } h2 { font-size: 1.2rem; margin-top: 2.5rem; border-top: 1px solid #ccc; padding-top: 1rem }
table { border-collapse: collapse; margin: 1rem 0 } td, th { padding: .2rem 1.2rem .2rem 0; text-align: left; vertical-align: top }
td:nth-child(2) { font-variant-numeric: tabular-nums } img { max-width: 100%; height: auto } .failed { color: #b00020; font-weight: 600 }
figcaption { color: #555; margin-bottom: 1rem } figure { margin: 1rem 0 }
"""
_MOST = 20  # classes in the table


def difference_picture(report: Report) -> Image.Image:
    """The largest difference of each compared cell over the image; the crop of the worst is outlined."""
    shown = replace(
        report.result,
        scores=report.differences[None],
        labels=("difference from crops",),
    )
    picture = None if report.result.pixels is None else to_picture(report.result.pixels)
    most = float(np.nanmax(report.differences))
    return heat_picture(
        shown,
        0,
        picture,
        limits=(0.0, most if most > 0 else 1.0),
        most="largest",
        subtitle=f"of {report.result.score_kind or 'scores'}, the largest over classes",
    ).flat()


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
        "top-1 agrees": f"{report.agree / report.compared:.2%} ({report.agree})",
        "rank correlation": f"{report.rank:.4f}",
        "largest difference": f"{report.largest:.3g}",
        "mean difference": f"{report.mean:.3g}",
        "noise of the engine": f"{report.noise:.3g}, more than noise above {report.threshold:.3g}",
        **(
            {"no numbers": f"one side alone in {report.apart} cells, both in {report.neither}"}
            if report.apart or report.neither
            else {}
        ),
        "what to do": report.advice,
    }
    most = sorted(report.by_class.items(), key=lambda item: -item[1])[:_MOST]
    return (
        f"<h2>{html.escape(report.image)}</h2>{_table(rows)}"
        f"{_figure(difference_picture(report), 'Where map and crops differ, laid where the cells look.')}"
        f"{_figure(report.result.overlay(), 'The map: the winning class of every cell.')}"
        f"{f'<h3>Which layers</h3><pre>{html.escape(shares)}</pre>' if shares else ''}"
        f"<h3>Largest difference of each class</h3>{_table({label: f'{gap:.3g}' for label, gap in most})}"
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
