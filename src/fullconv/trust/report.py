"""A verification as one HTML file: numbers, causes and pictures inside."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from fullconv.geometry.grid import Grid
from fullconv.maps.classmap import ClassMap
from fullconv.rasters.view import View
from fullconv.render.overlay import heat_picture, top1_picture
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
_ALL, _SOME = 1600, 200  # cells a side that are drawn of a whole map, and of a sample

Array = npt.NDArray[Any]


def difference_picture(report: Report) -> Image.Image:
    """The largest difference of each compared cell over the image; the crop of the worst is outlined."""
    grid, block = _blocks(report)
    gaps = np.full((grid.rows, grid.cols), np.nan, np.float32)
    np.fmax.at(gaps, block, report.gaps)
    shown = ClassMap(gaps[None], grid, ("difference from crops",), report.output, place=report.place)
    return heat_picture(
        shown,
        0,
        _picture(report),
        limits=(0.0, report.largest if report.largest > 0 else 1.0),
        most="largest",
        subtitle=f"of {report.score_kind or 'scores'}, the largest over classes",
    ).flat()


def winners_picture(report: Report) -> Image.Image:
    """The class that wins each compared cell on the map."""
    grid, block = _blocks(report)
    winners = np.full((grid.rows, grid.cols), -1, np.intp)
    winners[block] = report.winners
    known = report.winners[report.winners >= 0]
    counts = np.bincount(known, minlength=len(report.labels))
    none = np.broadcast_to(np.float32(np.nan), (len(report.labels), grid.rows, grid.cols))
    shown = ClassMap(none, grid, report.labels, report.output, exactness=report.exactness, place=report.place)
    return top1_picture(shown, _picture(report), drawn=(grid, winners, counts)).flat()


def _blocks(report: Report) -> tuple[Grid, tuple[Array, Array]]:
    """A grid whose cells can be seen, of a sample the larger ones, and the block of each cell that was compared."""
    most = _ALL if report.compared == report.cells else _SOME
    factor = max(1, -(-max(report.grid.rows, report.grid.cols) // most))
    return report.grid.coarser(factor), (report.at[:, 0] // factor, report.at[:, 1] // factor)


def _picture(report: Report) -> Image.Image | None:
    with closing(View(report.source, report.select)) as view:
        return view.thumbnail(_ALL)


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
        f"{_figure(winners_picture(report), 'The map: the winning class of each cell that was compared.')}"
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
