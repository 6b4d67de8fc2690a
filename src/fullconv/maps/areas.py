"""Areas of cells: those of a CRS only where it keeps areas, since Web Mercator's at 60 degrees are four times the earth's."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from fullconv.geometry.place import Affine
from fullconv.maps.classmap import ClassMap

# Of a unit of length: names of a small and a large unit of area, and how many small ones make a large one.
_UNITS = {"micrometer": ("area_um2", "area_mm2", 1e6), "meter": ("area_m2", "area_km2", 1e6)}
_MOST = 0.02  # by which areas may differ from the earth's: UTM's do by 0.1 %, those of national grids by less than one


def cell_area(found: ClassMap) -> float | None:
    """Area of a cell's square, as wide as the stride, in the unit of ``place``, squared; None where pixels have no size, or none that is the earth's."""
    size, stride = found.place.pixel_size, found.grid.stride
    if size is None or area_note(found):
        return None
    return float(stride[0]) * float(stride[1]) * size[0] * size[1]


def area_note(found: ClassMap) -> str:
    """Why a map whose pixels have a size has no areas; empty where it has them."""
    place = found.place
    if place.pixel_size is None or place.transform is None or place.crs is None or place.unit != "meter":
        return ""
    stretch = _stretch(place.crs, place.transform, place.pixel_size[0] * place.pixel_size[1], found.grid.image)
    if abs(stretch - 1) <= _MOST:
        return ""
    return f"areas are left out: those of its CRS are {stretch:.3g} times the earth's; an image in a CRS that keeps them, such as UTM, has areas"


def area_columns(found: ClassMap, cells: Any) -> dict[str, Any]:
    """Areas of so many cells as columns whose names say the unit, one that fits small areas and one that fits large ones; none where there is no area."""
    area = cell_area(found)
    if area is None:
        return {}
    small, large, ratio = _UNITS.get(found.place.unit, ("area", "", 1.0))
    covered = np.asarray(cells) * area
    return {small: covered} | ({large: covered / ratio} if large else {})


def readable(unit: str, area: float) -> tuple[str, float]:
    """The unit in which an area reads best, and how many of the small one it is: µm² or mm², m² or km²."""
    names = {"micrometer": ("µm²", "mm²"), "meter": ("m²", "km²")}.get(unit)
    if names is None:
        return "", 1.0
    return (names[1], 1e6) if area >= 1e5 else (names[0], 1.0)


@lru_cache(64)
def _stretch(crs: str, transform: Affine, pixel: float, image: tuple[int, int]) -> float:
    """How many times the earth's areas those of a CRS are, where they differ most: measured on squares of pixels in an equal-area projection about
    each. One where that cannot be measured."""
    try:
        from rasterio.crs import CRS
        from rasterio.warp import transform as project
    except ImportError:
        return 1.0
    a, b, c, d, e, f = transform
    found = [1.0]
    side = max(1.0, min(image) / 100)
    for y0 in np.linspace(0, image[0] - side, 3):
        for x0 in np.linspace(0, image[1] - side, 3):
            x, y = x0 + side * np.array([0.5, 0, 1, 1, 0]), y0 + side * np.array([0.5, 0, 0, 1, 1])
            corners = a * x + b * y + c, d * x + e * y + f
            try:
                lon, lat = project(crs, "EPSG:4326", *corners)
                equal = CRS.from_proj4(f"+proj=laea +lat_0={lat[0]} +lon_0={lon[0]} +datum=WGS84 +units=m")
                u, v = (np.array(part[1:]) for part in project(crs, equal, *corners))
            except Exception:  # GDAL's, of a CRS of another body or none
                return 1.0
            area = abs(np.dot(u, np.roll(v, -1)) - np.dot(v, np.roll(u, -1))) / 2
            if np.isfinite(area) and area > 0:
                found.append(pixel * side * side / float(area))
    return max(found, key=lambda ratio: abs(np.log(ratio)))
