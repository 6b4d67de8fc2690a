"""What a vector is after it became a map: its channels, its layout, and the window that a pool of it takes."""

from __future__ import annotations

from fullconv.graph.axes import SPACE, Axes, Axis, fuse, whole
from fullconv.graph.nodes import Node, Touch, Whole
from fullconv.surgery.edit import FreeShape


def channels_of(axis: Axis) -> Axis:
    """An axis without its spatial atoms."""
    return fuse(atom for atom in axis if not atom.is_space)


def as_map(vector: Axes, like: Axes) -> Axes:
    """A vector's axes as those of a map: (n, channels..., h, w), or in ``like``'s order where it has the same channels.

    A map without channels (their largest, say) gets an axis of one, as the vector has it.
    """
    kept = [channels_of(axis) for axis in vector.axes[1:] if channels_of(axis)]
    spaces = {i for i in range(like.rank) if i in (like.space_axis("h"), like.space_axis("w"))}
    own = [axis for i, axis in enumerate(like.axes) if i and i not in spaces]
    if not own and vector.rank > 1:
        return like.unsqueeze(1)
    if kept in (own, []):
        return like
    height, width = like.map_size
    return Axes((like.axes[0], *kept, (whole("h", height),), (whole("w", width),)))


def free_shape(node: Node, before: Axes, after: Axes, reason: str) -> FreeShape:
    """The edit by which a layout node reads height and width from its input."""
    copied = {after.space_axis(root): before.space_axis(root) for root in SPACE} | {0: 0}
    found = (copied.get(i) for i in range(after.rank))
    sources = tuple(-1 if source is None else source for source in found)
    shape = tuple(0 if source >= 0 else size for size, source in zip(after.shape, sources, strict=True))
    made = tuple(i for i, source in enumerate(sources) if source < 0)
    only = tuple(source for source in sources if source >= 0) == tuple(range(before.rank))
    added = made if only and all(shape[i] == 1 for i in made) else ()
    return FreeShape(node.name, shape, sources, reason, added)


def pooled_size(touch: Touch, axes: Axes) -> tuple[int, int]:
    """(height, width) of the window that a pool over the map, or over one side of it, takes together."""
    assert isinstance(touch, Whole)
    height, width = axes.map_size
    return height if "h" in touch.over else 1, width if "w" in touch.over else 1
