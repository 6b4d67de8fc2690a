"""Which cells are mapped: those whose centre lies in a mask, or whose crop is not blank.

``auto`` leaves out a cell when at least 99 % of its crop is blank. A pixel is blank where all its channels are 220 or more and
no more than 16 apart (glass, paper), or all are 8 or less (outside a scan), of 255.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fullconv.errors import BadInput, MissingExtra
from fullconv.geometry.grid import Grid
from fullconv.rasters.source import About
from fullconv.rasters.view import read_image
from fullconv.system.guard import reads, require_file

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
BLANK_SHARE = 0.99
_BRIGHT, _APART, _DARK = 220, 16, 8
_LARGEST = 64 << 20  # bytes of a file of polygons
_AT_ONCE = 4096  # cells that are asked one by one; larger blocks are halved where a border runs through them


class Where(Protocol):
    """A rule that is known before a pixel is read."""

    fingerprint: str

    def cells(self, grid: Grid, rows: tuple[int, int], cols: tuple[int, int]) -> Mask:
        """Which of these cells are mapped, (rows, cols); the grid is in pixels of the finest level."""


def where_of(given: str | None, about: About) -> Where | None:
    """The rule of a file; None where there is none, or where it needs the pixels (``auto``)."""
    if given is None or given == "auto":
        return None
    path = Path(given)
    require_file(path, "--where takes auto, a mask picture or GeoJSON polygons")
    reads(path)
    return Polygons(path, about) if path.suffix.lower() in (".geojson", ".json") else Picture(path, about)


def fingerprint(given: str | None, rule: Where | None) -> str | None:
    """What a run must share with an earlier one."""
    return given if rule is None else rule.fingerprint


class Picture:
    """A mask of any size, laid over the image: what is not 0 is mapped."""

    def __init__(self, path: Path, about: About) -> None:
        self._mask: Mask = np.asarray(read_image(path).any(axis=2))
        self.fingerprint = hashlib.sha256(np.packbits(self._mask).tobytes()).hexdigest()[:32]
        self._scale = tuple(have / length for have, length in zip(self._mask.shape, about.size, strict=True))
        ratio = self._scale[0] / self._scale[1]
        if not 0.95 < ratio < 1.05:
            (height, width), (rows, cols) = about.size, self._mask.shape
            raise BadInput(f"{path}: a mask of {cols}×{rows} has another shape than the image of {width}×{height}")

    def cells(self, grid: Grid, rows: tuple[int, int], cols: tuple[int, int]) -> Mask:
        y, x = _centres(grid, rows, cols)
        at = [
            np.clip(((place + 0.5) * scale).astype(int), 0, length - 1)
            for place, scale, length in zip((y, x), self._scale, self._mask.shape, strict=True)
        ]
        found: Mask = self._mask[np.ix_(at[0], at[1])]
        return found


class Polygons:
    """GeoJSON polygons: in the CRS of an image that has one, else in pixels of its finest level (x to the right, y down)."""

    def __init__(self, path: Path, about: About) -> None:
        try:
            import shapely
        except ImportError:
            raise MissingExtra(
                "polygons need shapely; install it with: pip install 'fullconv[geo]' or 'fullconv[slide]'"
            ) from None
        if path.stat().st_size > _LARGEST:
            raise BadInput(f"{path}: larger than {_LARGEST >> 20} MB; simplify the polygons")
        try:
            text = path.read_text(encoding="utf-8")
            shapes = [shapely.from_geojson(json.dumps(each)) for each in _geometries(json.loads(text)) if each]
        except (OSError, ValueError, KeyError, TypeError, RecursionError, shapely.GEOSException) as error:
            raise BadInput(f"{path}: not GeoJSON that can be read ({str(error)[:200]})") from None
        areas = [shape for shape in shapes if shape is not None and shape.area > 0]
        if not areas:
            raise BadInput(f"{path}: holds no polygon with an area")
        self.fingerprint = hashlib.sha256(text.encode()).hexdigest()[:32]
        self._area = shapely.union_all([shapely.make_valid(area) for area in areas])
        shapely.prepare(self._area)
        self._transform = about.transform
        self._require_overlap(path, about)

    def _require_overlap(self, path: Path, about: About) -> None:
        import shapely

        height, width = about.size
        x, y = self._placed(np.array([0.0, width, width, 0.0]), np.array([0.0, 0.0, height, height]))
        if not shapely.intersects(self._area, shapely.Polygon(list(zip(x, y, strict=True)))):
            where = "in the image's own CRS" if self._transform else "in pixels of the image"
            raise BadInput(f"{path}: no polygon lies on the image; coordinates must be {where}")

    def _placed(self, x: Array, y: Array) -> tuple[Array, Array]:
        if self._transform is None:
            return x, y
        a, b, c, d, e, f = self._transform
        return a * x + b * y + c, d * x + e * y + f

    def cells(self, grid: Grid, rows: tuple[int, int], cols: tuple[int, int]) -> Mask:
        found = np.zeros((rows[1] - rows[0], cols[1] - cols[0]), np.bool_)
        waiting = [(rows, cols)]
        while waiting:
            down, right = waiting.pop()
            sides = down[1] - down[0], right[1] - right[0]
            into = found[down[0] - rows[0] : down[1] - rows[0], right[0] - cols[0] : right[1] - cols[0]]
            if sides[0] * sides[1] <= _AT_ONCE:
                into[...] = self._inside(grid, down, right)
            elif (within := self._holds(grid, down, right)) is not None:
                into[...] = within
            elif sides[0] >= sides[1]:
                waiting += [((a, b), right) for a, b in _halves(down)]
            else:
                waiting += [(down, (a, b)) for a, b in _halves(right)]
        return found

    def _inside(self, grid: Grid, rows: tuple[int, int], cols: tuple[int, int]) -> Mask:
        import shapely

        y, x = _centres(grid, rows, cols)
        across, down = np.meshgrid(x + 0.5, y + 0.5)  # pixel i reaches from i to i + 1
        found: Mask = shapely.contains_xy(self._area, *self._placed(across, down))
        return found

    def _holds(self, grid: Grid, rows: tuple[int, int], cols: tuple[int, int]) -> bool | None:
        """Whether all centres of a block of cells lie in the polygons, or none; None where a border runs through it."""
        import shapely

        y, x = _centres(grid, rows, cols)
        corners = np.array([x[0], x[-1], x[-1], x[0]]) + 0.5, np.array([y[0], y[0], y[-1], y[-1]]) + 0.5
        block = shapely.MultiPoint(list(zip(*self._placed(*corners), strict=True))).convex_hull
        if not shapely.intersects(self._area, block):
            return False
        return True if shapely.contains_properly(self._area, block) else None


def _geometries(data: Any) -> list[dict[str, Any]]:
    if isinstance(data, list):
        return [each for part in data for each in _geometries(part)]
    if data.get("type") == "FeatureCollection":
        return [each for part in data["features"] for each in _geometries(part)]
    return [data["geometry"]] if data.get("type") == "Feature" else [data]


def _halves(between: tuple[int, int]) -> list[tuple[int, int]]:
    middle = sum(between) // 2
    return [(between[0], middle), (middle, between[1])]


def _centres(grid: Grid, rows: tuple[int, int], cols: tuple[int, int]) -> tuple[Array, Array]:
    """y and x of cells' centres, as pixel indices."""
    y, x = (
        float(first) + np.arange(*between) * float(step)
        for first, step, between in zip(grid.centre0, grid.stride, (rows, cols), strict=True)
    )
    return y, x


def blank(pixels: Array) -> Mask:
    """Pixels (H, W, C) on 0..255 that show nothing, by the rule above."""
    low, high = pixels.min(axis=2), pixels.max(axis=2)
    found: Mask = ((low >= _BRIGHT) & (high - low <= _APART)) | (high <= _DARK)
    return found
