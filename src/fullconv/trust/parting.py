"""The first layer at which a crop's numbers and the map's part.

In an exact network every value of a crop is a part of the map's: the one that starts where the crop starts. So the values that the
untouched network and its cast both have are compared in the order in which they are made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fullconv.errors import FullconvError, Refused
from fullconv.geometry.field import receptive_fields
from fullconv.geometry.lengths import map_sizes
from fullconv.graph.nodes import Graph
from fullconv.trust.compare import as_cells, gaps, scale_of

Array = npt.NDArray[Any]
_MOST = 256 << 20  # bytes of values asked for in one run


class Network(Protocol):
    """What is asked of a network here."""

    @property
    def graph(self) -> Graph: ...

    def values(
        self, inputs: Any, names: Sequence[str] | None = None, *, rewrites: bool = False, double: bool = False
    ) -> dict[str, Array]:
        """Values inside the network by name, in its own layout."""


def first_difference(
    before: Network, after: Network, crop: Array, image: Array, start: tuple[int, int], tolerance: float
) -> str:
    """The first value of the network at which a crop and the map part.

    Args:
        before, after: the untouched network and its cast.
        crop, image: (1, C, H, W), what each runs on.
        start: (y, x) pixel of the image at which the crop starts.
        tolerance: of each value's largest magnitude; what is above it is no rounding.
    """
    try:
        fields = receptive_fields(after.graph)
    except Refused:
        fields = {}
    names = [v for node in before.graph for v in node.outputs if v in after.graph.values and v in fields]
    for group in in_groups(after.graph, names, image.shape[2:]):
        small, large = before.values(crop, group), after.values(image, group)
        for name in group:
            if name not in small or name not in large:
                continue
            step = fields[name].stride
            if any((pixel / s).denominator != 1 for pixel, s in zip(start, step, strict=True)):
                continue
            top, left = (int(pixel / s) for pixel, s in zip(start, step, strict=True))
            mine = as_cells(before.graph.values[name], small[name])
            theirs = as_cells(after.graph.values[name], large[name])
            part = theirs[:, :, top : top + mine.shape[2], left : left + mine.shape[3]]
            if part.shape != mine.shape:
                if prod(part.shape[:2]) == prod(mine.shape[:2]):
                    return name
                continue  # another arrangement of the same numbers, behind a flatten
            if float(gaps(part, mine).max(initial=0.0)) > tolerance * scale_of(mine):
                return name
    return "the head, behind the last map"


def in_groups(graph: Graph, names: Sequence[str], size: Sequence[int]) -> Iterator[list[str]]:
    """The names in groups of which one run can hold all values, for an image of (height, width)."""
    sizes = _sizes(graph, (int(size[0]), int(size[1])))
    group: list[str] = []
    total = 0
    for name in names:
        axes = graph.values[name]
        cells = prod(sizes[name]) / max(1, prod(axes.map_size)) if name in sizes and axes.is_map else 1
        bytes_ = int(4 * prod(axes.shape) * cells)
        if group and total + bytes_ > _MOST:
            yield group
            group, total = [], 0
        group.append(name)
        total += bytes_
    if group:
        yield group


def _sizes(graph: Graph, size: tuple[int, int]) -> Mapping[str, tuple[int, int]]:
    try:
        return map_sizes(graph, size)
    except FullconvError:
        return {}


def is_number(array: Array) -> bool:
    """Whether an answer is made of scores, rather than of indices or truth values."""
    return bool(np.issubdtype(array.dtype, np.floating))
