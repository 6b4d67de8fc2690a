"""A map in a notebook: what it is of, and a picture of one that is quick to draw."""

from __future__ import annotations

import base64
import io
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from fullconv.errors import FullconvError

if TYPE_CHECKING:
    from fullconv.maps.classmap import ClassMap

_DRAWN = 4 << 20  # scores up to which a picture is drawn
_LONGEST = 700  # px
_NAMED = 8  # labels that are listed


def as_html(found: ClassMap) -> str:
    """A table, and the winning class of every cell."""
    grid = found.grid
    labels = ", ".join(found.labels[:_NAMED]) + (", ..." if len(found.labels) > _NAMED else "")
    rows = {
        "cells": f"{grid.rows} × {grid.cols}, one every {float(grid.stride[1]):g} × {float(grid.stride[0]):g} px",
        "crop": f"{float(grid.crop[1]):g} × {float(grid.crop[0]):g} px",
        "image": f"{grid.image[1]} × {grid.image[0]} px",
        f"{len(found.labels)} classes": labels,
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
    lines = "".join(
        f"<tr><th style='text-align:left'>{escape(name)}</th><td style='text-align:left'>{escape(value)}</td></tr>"
        for name, value in rows.items()
        if value
    )
    return f"<div><strong>ClassMap</strong><table>{lines}</table>{_picture(found)}</div>"


def _picture(found: ClassMap) -> str:
    if len(found.labels) * found.grid.rows * found.grid.cols > _DRAWN:
        return ""
    out = io.BytesIO()
    try:
        picture = found.overlay()
        picture.thumbnail((_LONGEST, _LONGEST))
        picture.save(out, "PNG")
    except (FullconvError, OSError):  # an image that moved is no reason to show nothing
        return ""
    return f"<img alt='winning class of each cell' style='max-width:100%' src='data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}'>"
