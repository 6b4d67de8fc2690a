"""What of an operator's input is space: for every rule the same answer."""

from __future__ import annotations

from fullconv.graph.axes import Axes


def channels_first(axes: Axes) -> bool:
    """Whether the axes are (n, c, h, w)."""
    return axes.rank == 4 and axes.is_map and axes.channel_axis == 1
