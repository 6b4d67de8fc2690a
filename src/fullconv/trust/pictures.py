"""What a comparison found, laid over the image: how far map and crops differ, which class wins, and where the two part."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from fullconv.geometry.grid import Grid
from fullconv.maps.classmap import ClassMap
from fullconv.maps.kinds import Kinds
from fullconv.rasters.view import View
from fullconv.render.overlay import heat_picture, top1_picture
from fullconv.trust.tally import AGREES, MEASURED, UNSURE
from fullconv.trust.verified import Report

Array = npt.NDArray[Any]
_ALL, _SOME = 1600, 200  # cells a side that are drawn of a whole map, and of a sample
_PARTS = ("agree", "agree, crop unsure", "part, crop unsure", "part, crop sure", "part, crop not moved")
_COLOURS = ((0, 114, 178), (86, 180, 233), (240, 200, 60), (213, 60, 0), (204, 121, 167))


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
    factor = max(1, -(-max(report.grid.rows, report.grid.cols) // _most(report)))
    return report.grid.coarser(factor), (report.at[:, 0] // factor, report.at[:, 1] // factor)


def _most(report: Report) -> int:
    return _ALL if report.compared == report.cells else _SOME


def _picture(report: Report) -> Image.Image | None:
    with closing(View(report.source, report.select)) as view:
        return view.thumbnail(_ALL)


def parting_picture(report: Report) -> Image.Image:
    """Which cells agree with their crops, and where the classifier agrees with itself moved by a pixel; what is worst of a block is shown."""
    assert report.states is not None, "a report of cells has their states"
    states = report.states.astype(np.intp)
    agrees, measured, unsure = (states & bit > 0 for bit in (AGREES, MEASURED, UNSURE))
    kinds = np.where(agrees, np.where(unsure, 1, 0), np.where(unsure, 2, np.where(measured, 3, 4)))
    drawn = Kinds(report.grid, list(zip(_PARTS, _COLOURS, strict=True)), _most(report))
    drawn.add(report.at[:, 0], report.at[:, 1], kinds)
    titles = ("map and crops", "unsure: a crop whose answer changes when it moves by a pixel")
    return drawn.page(_picture(report), titles, report.exactness, report.place).flat()
