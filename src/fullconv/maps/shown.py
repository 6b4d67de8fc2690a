"""A map in a notebook: what it is of, and a picture of one that is quick to draw."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from fullconv.errors import FullconvError
from fullconv.render.components import FEATURES
from fullconv.system.notebook import as_html, counted

if TYPE_CHECKING:
    from fullconv.maps.classmap import ClassMap

_DRAWN = 4 << 20  # scores up to which a picture is drawn
_LONGEST = 700  # px
_NAMED = 8  # labels that are listed
_KINDS = ("class", "classes"), ("channel", "channels")


def in_short(found: ClassMap) -> str:
    """A line, of names and numbers alone."""
    grid = found.grid
    known = (
        counted(len(found.labels), *_KINDS[found.score_kind == FEATURES]),
        f"{grid.rows} × {grid.cols} cells every {float(grid.stride[1]):g} × {float(grid.stride[0]):g} px",
        f"of {grid.image[1]} × {grid.image[0]} px",
        f"{found.output!r} by {found.by}",
        *([found.score_kind] if found.score_kind not in ("", FEATURES) else ()),
        *([] if found.record is None or found.record.finished else ["not finished"]),
    )
    return f"ClassMap({', '.join(known)})"


def in_html(found: ClassMap) -> str:
    """A table, and the winning class of every cell, or of features their components as colours."""
    grid = found.grid
    labels = ", ".join(found.labels[:_NAMED]) + (", ..." if len(found.labels) > _NAMED else "")
    rows = {
        "cells": f"{grid.rows} × {grid.cols}, one every {float(grid.stride[1]):g} × {float(grid.stride[0]):g} px",
        "crop": f"{float(grid.crop[1]):g} × {float(grid.crop[0]):g} px",
        "image": f"{grid.image[1]} × {grid.image[0]} px",
        counted(len(found.labels), *_KINDS[found.score_kind == FEATURES]): labels,
        "output": f"{found.output} (by {found.by})",
        "cells and crops": found.exactness,
        "confirmed": "" if found.statement is None else str(found.statement),
        **(
            {"store": f"{found.record.keep}, {found.record.stored}"}
            if found.record and not isinstance(found.scores, np.ndarray)
            else {}
        ),
        **({"scales": ", ".join(f"{scale:g}" for scale in found.scales)} if found.scales else {}),
    }
    shown = "first principal components of each cell" if found.score_kind == FEATURES else "winning class of each cell"
    return as_html("ClassMap", rows, png=in_png(found), picture=shown)


def in_png(found: ClassMap) -> bytes | None:
    """The picture without a class's name as a PNG; None of a large map, and of one whose image is not there any more."""
    if len(found.labels) * found.grid.rows * found.grid.cols > _DRAWN:
        return None
    try:
        return png_of(found.overlay())
    except (FullconvError, OSError):  # an image that moved is no reason to show nothing
        return None


def png_of(picture: Image.Image) -> bytes:
    """A picture as small as a notebook shows it."""
    out = io.BytesIO()
    picture.thumbnail((_LONGEST, _LONGEST))
    picture.save(out, "PNG")
    return out.getvalue()
