"""Where an image's pixels lie: how large they are, and on the earth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Affine = tuple[float, float, float, float, float, float]


@dataclass(frozen=True, slots=True)
class Place:
    """The place of an image's finest pixels; nothing of it need be known.

    Attributes:
        pixel_size: (y, x) of a pixel in ``unit``.
        unit: ``micrometer``, ``meter`` or empty.
        transform: (a, b, c, d, e, f): x = a·col + b·row + c, y = d·col + e·row + f of a pixel's upper left corner in the CRS.
        crs: as WKT.
    """

    pixel_size: tuple[float, float] | None = None
    unit: str = ""
    transform: Affine | None = None
    crs: str | None = None

    def to_json(self) -> dict[str, Any]:
        size, transform = self.pixel_size, self.transform
        return {
            "pixel_size": None if size is None else list(size),
            "unit": self.unit,
            "transform": None if transform is None else list(transform),
            "crs": self.crs,
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Place:
        size, transform = data.get("pixel_size"), data.get("transform")
        y_x = None if size is None else (float(size[0]), float(size[1]))
        if transform is None:
            return Place(y_x, str(data.get("unit", "")), None, data.get("crs"))
        a, b, c, d, e, f = (float(value) for value in transform)
        return Place(y_x, str(data.get("unit", "")), (a, b, c, d, e, f), data.get("crs"))
