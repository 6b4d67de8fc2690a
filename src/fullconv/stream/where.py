"""Which cells are mapped: those whose centre lies in a mask, in polygons or on tissue, or whose own square is not blank.

``auto`` maps a cell of whose own square, one stride around its centre, at least a tenth shows something (``stream/blank.py``); ``auto:0.3``
sets that share. Cells on what a coarser level shows to be clear glass are left out without a look at their pixels (``stream/glass.py``).
``tissue`` maps cells whose centre lies on what is saturated (``stream/tissue.py``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from fullconv.errors import BadInput
from fullconv.geometry.grid import Grid
from fullconv.rasters.view import View
from fullconv.stream.job import Job
from fullconv.stream.mask import Mask, Picture
from fullconv.stream.polygons import SUFFIXES, Polygons
from fullconv.stream.tissue import Tissue
from fullconv.system.guard import reads, require_file

_SHARE = 0.1  # of a cell's own square that shows something: thin tissue, fat say, is mostly white
_TISSUE = "tissue"


class Where(Protocol):
    """A rule that is known before a tile is read."""

    fingerprint: str

    def cells(self, grid: Grid, rows: tuple[int, int], cols: tuple[int, int]) -> Mask:
        """Which of these cells are mapped, (rows, cols); the grid is in pixels of the finest level."""


def where_of(given: str | None, view: View) -> Where | None:
    """The rule of a file, or of the whole image; None where there is none, or where it needs a tile's pixels (``auto``)."""
    if given == _TISSUE:
        return Tissue.of(view)
    if given is None or not is_file(given):
        return None
    path = Path(given)
    require_file(path, "--where takes auto, tissue, a mask picture, or polygons (GeoJSON, GeoPackage, Shapefile)")
    reads(path)
    if path.suffix.lower() in SUFFIXES:
        return Polygons(path, view.about)
    return Picture(path, view.about)


def is_file(given: str | None) -> bool:
    """Whether a rule is a file: none of the words, whatever lies in the working folder under their names."""
    return given not in (None, _TISSUE) and auto_share(given) is None


def auto_share(given: str | None) -> float | None:
    """The least share of a cell's own square that shows something, as ``auto`` says; None for any other rule.

    Raises:
        BadInput: a share that is none.
    """
    word, _, share = (given or "").partition(":")
    if word != "auto":
        return None
    try:
        value = float(share) if share else _SHARE
    except ValueError:
        value = -1
    if not 0 < value <= 1:
        raise BadInput(
            f"--where {given}: after auto: comes a share of a cell's own square above 0 and up to 1, as in auto:0.3"
        )
    return value


def go_by_pixels(job: Job, view: View) -> bool:
    """Whether pixels of a cell's crop say that it has no answer: such that are missing, do not decode or show nothing."""
    return view.may_miss or job.on_error == "skip" or auto_share(job.where) is not None


def fingerprint(given: str | None, rule: Where | None, view: View) -> str | None:
    """What a run must share with an earlier one."""
    share = auto_share(given)
    if share is not None:
        clear = ", clear glass by a coarser level" if len(view.about.levels) > 1 else ""
        return f"auto, {share:g} of a cell's own square{clear}"
    return None if rule is None else rule.fingerprint
