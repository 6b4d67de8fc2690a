"""The axes of an image, along which tiles and their sections are cut."""

from __future__ import annotations

from fullconv.geometry.grid import Grid
from fullconv.maps.ways import Way
from fullconv.stream.confirm import rim
from fullconv.tiling.cut import Line
from fullconv.tiling.window import Reach, crop_reach, reach


def line_of(way: Way, size: tuple[int, int], side: int, grid: Grid) -> Line:
    """One axis.

    Args:
        size: (height, width) of the image as it is read.
        side: 0 is height.
        grid: the cells in pixels as they are read.

    Raises:
        Refused: a node takes the whole map together, so that no part of the image can stand for it.
    """
    reaches = _reaches(way, size, side)
    unit = reaches[0].granule * len(reaches)
    # The result begins at the image's origin, as near as whole units come: some viewers lay it there whatever it says.
    lead = max(0, round(grid.centre0[side] / grid.stride[side] / unit)) * unit
    return Line(reaches, (grid.rows, grid.cols)[side], size[side], lead)


def rim_of(line: Line, way: Way, side: int) -> int:
    """Pixels that crops along an axis reach further, at most, than what their cells are run on."""
    step, crop = int(way.sampling.stride[side]), int(way.sampling.crop[side])
    return max(rim(reach, step, crop) for reach in line.reaches)


def _reaches(way: Way, size: tuple[int, int], side: int) -> tuple[Reach, ...]:
    if way.by == "crops":
        return (crop_reach(size[side], way.sampling.stride[side], way.sampling.crop[side]),)
    shifts = way.shifts[side]
    step = int(way.sampling.stride[side])
    reaches = []
    for shift in range(shifts):
        moved = tuple(length - shift * step if i == side else length for i, length in enumerate(size))
        fits = way.model.fitting((moved[0], moved[1]), way.output)
        reaches.append(reach(way.model.graph, way.output, fits, side))
    return tuple(reaches)
