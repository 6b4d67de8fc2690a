"""What of an operator's axes is space: for every rule the same answer.

Space is an atom's root, never its size: the sides of a 1×1 map grow with the image like those of any other.
"""

from __future__ import annotations

from collections.abc import Iterable

from fullconv.graph.axes import SPACE, Axes, Axis, fuse


def touches_space(axes: Axes, along: Iterable[int]) -> bool:
    """Whether an operator along these axes mixes positions of the map, or would on a larger one.

    A flattened map of one cell, n (c h w), is a vector of channels: on a larger map it is one at every cell.
    """
    return any(_is_space(axes.axes[axes.index(i)]) for i in along)


def _is_space(axis: Axis) -> bool:
    space = [atom for atom in axis if atom.is_space]
    return bool(space) and (len(space) == len(axis) or any(atom.size > 1 for atom in space))


def is_side(axis: Axis) -> bool:
    """Whether an axis is height or width, and all of it."""
    return len(axis) == 1 and axis[0].is_space and axis[0].is_whole


def positions(axis: Axis) -> tuple[tuple[str, int], ...]:
    """Where along an axis batch and space lie, whatever the channels between them are: ``(c h w)`` is not ``(h w c)``."""
    known = (*SPACE, "n")
    marks = [(a.root if a.root in known else "", a.size, a.inner if a.root in known else 0) for a in fuse(axis)]
    out: list[tuple[str, int]] = []
    for root, size, _ in marks:
        if root == "" and out and out[-1][0] == "":
            out[-1] = ("", out[-1][1] * size)
        elif size > 1:
            out.append((root, size))
    return tuple(out)


def channels_first(axes: Axes) -> bool:
    """Whether the axes are (n, c, h, w)."""
    return (
        axes.rank == 4
        and axes.is_map
        and axes.channel_axis == 1
        and (axes.space_axis("h"), axes.space_axis("w")) == (2, 3)
    )
