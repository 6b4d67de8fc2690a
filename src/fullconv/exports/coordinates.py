"""From cells to coordinates: the CRS of an image that has one, else pixels of its finest level (x to the right, y down)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.geometry.place import Affine
from fullconv.maps.classmap import ClassMap

Array = npt.NDArray[Any]
_PIXELS: Affine = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@dataclass(frozen=True, slots=True)
class Coordinates:
    """A map's place: ``cells`` takes the corner (col, row) of a cell's square to coordinates, ``pixels`` a pixel's corner.

    A cell's square is as wide as the stride and centred on the cell's true centre. An affine (a, b, c, d, e, f) is
    x = a·col + b·row + c, y = d·col + e·row + f.
    """

    cells: Affine
    pixels: Affine
    crs: str | None

    @staticmethod
    def of(found: ClassMap) -> Coordinates:
        pixels = found.place.transform or _PIXELS
        a, b, c, d, e, f = pixels
        (sy, sx), (cy, cx) = found.grid.stride, found.grid.centre0
        # Pixel i reaches from i to i + 1, its centre is i + 1/2; the square starts half a stride before the cell's centre.
        x0, y0 = float(cx + (1 - sx) / 2), float(cy + (1 - sy) / 2)
        step_x, step_y = float(sx), float(sy)
        cells = (a * step_x, b * step_y, a * x0 + b * y0 + c, d * step_x, e * step_y, d * x0 + e * y0 + f)
        return Coordinates(cells, (a, b, c, d, e, f), found.place.crs)

    @property
    def on_earth(self) -> bool:
        """Whether coordinates are those of a CRS."""
        return self.pixels != _PIXELS


def apply(affine: Affine, x: Any, y: Any) -> tuple[Any, Any]:
    """Coordinates of (x, y)."""
    a, b, c, d, e, f = affine
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    return a * x + b * y + c, d * x + e * y + f
