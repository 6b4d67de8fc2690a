"""A result as a small picture: the winner of each coarse cell over its image, for a table of many."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from fullconv.viewer.exhibit import Exhibit
from fullconv.viewer.picture import Picture

_SIDE = 160  # px
_OPACITY = 0.6


def thumbnail(exhibit: Exhibit, picture: Picture | None) -> bytes:
    """PNG of at most 160 px a side."""
    grid, (up, left) = exhibit.found.grid, exhibit.lead
    height, width = grid.image
    scale = _SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    under = None if picture is None else picture.overview()
    page = Image.new("RGB", size, (225, 225, 225)) if under is None else under.convert("RGB").resize(size)
    if grid.rows and grid.cols:
        cells = _coloured(exhibit)
        step = 2 ** (len(exhibit.levels) - 1)
        high, wide = (float(stride) * step * count for stride, count in zip(grid.stride, cells.size[::-1], strict=True))
        top, first = (
            float(centre) + 0.5 - (float(lead) + 0.5) * float(stride)
            for centre, stride, lead in zip(grid.centre0, grid.stride, (up, left), strict=True)
        )
        # A pixel of the page shows the cell in which its middle lies.
        part = cells.transform(
            size,
            Image.Transform.AFFINE,
            (
                cells.width / wide / scale,
                0,
                -first * cells.width / wide,
                0,
                cells.height / high / scale,
                -top * cells.height / high,
            ),
            Image.Resampling.NEAREST,
        )
        page.paste(part, (0, 0), part)
    file = io.BytesIO()
    page.save(file, "PNG")
    return file.getvalue()


def _coloured(exhibit: Exhibit) -> Image.Image:
    """The coarsest level, a pixel a cell."""
    level = len(exhibit.levels) - 1
    won, _ = exhibit.winners(level, 0, 0)
    colours = np.zeros((len(exhibit.found.labels) + 1, 4), np.uint8)
    colours[:-1] = [(*exhibit.found.colour(i), round(255 * _OPACITY)) for i in range(len(exhibit.found.labels))]
    return Image.fromarray(colours[np.minimum(won, len(colours) - 1)])
