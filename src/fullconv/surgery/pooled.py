"""Weight matrices and pools over the map: as convolutions, as pools that slide, or as the window around each cell."""

from __future__ import annotations

from dataclasses import replace

from fullconv.graph.axes import CHANNEL, SPACE, Axes, flatten_order, size_of, whole
from fullconv.graph.nodes import Layout, Linear, Node, Span, Window
from fullconv.surgery.became import pooled_size
from fullconv.surgery.draft import Draft
from fullconv.surgery.edit import FromChannelsFirst, GlobalToLocal, GlobalToSliding, LinearToConv, ToChannelsFirst
from fullconv.surgery.step import Step

CHANNELS = 1  # the channel axis of a map in (n, c, h, w)


def edges_of(gate: str) -> str:
    """Name of the node that gives a local pool the map's size."""
    return f"{gate}/edges"


def linear(draft: Draft, step: Step, matrix: Linear) -> None:
    """A weight matrix over a map, or over what was a vector, is a convolution."""
    value, source = _channels_first(draft, step)
    channels = source.axes[CHANNELS]
    order = flatten_order(matrix.over, channels)
    height, width = (size_of(atom for atom in matrix.over if atom.root == root) for root in SPACE)
    kernel = (height, width)
    cells = [have - size + 1 for have, size in zip(source.map_size, kernel, strict=True)]
    name = draft.fresh(step.node.name)
    what = "over 1×1 cells" if kernel == (1, 1) else f"over the {kernel[0]}×{kernel[1]} map"
    reason = f"an inner product {what} is a {kernel[0]}×{kernel[1]} convolution"
    draft.edits.append(
        LinearToConv(step.node.name, name, order, matrix.outputs, size_of(channels), kernel, value, reason)
    )
    out = source.with_axis(CHANNELS, (whole(CHANNEL, matrix.outputs),)).with_size(*cells)
    inputs = (value, *step.inputs[1:])
    draft.emit(replace(step.node, name=name, inputs=inputs, linear=None, touch=_window(kernel)), out)


def pool(draft: Draft, step: Step, gates: bool) -> None:
    """A pool over the whole map: it slides, or, where it gates the map, pools the window around each cell."""
    value, source = _channels_first(draft, step)
    kernel = pooled_size(step.node.touch, source)
    after = draft.graph.values[step.node.outputs[0]]
    moved = value != step.inputs[0] and after.is_map
    out = f"{step.node.outputs[0]}/channels_first" if moved else step.node.outputs[0]
    node = replace(step.node, inputs=(value, *step.inputs[1:]), outputs=(out,))
    if gates:
        made = _locally(draft, node, source, kernel, f"{step.node.outputs[0]}/window")
    else:
        reason = f"pooling the {kernel[0]}×{kernel[1]} map of one crop is pooling a window of that size"
        draft.edits.append(GlobalToSliding(node.name, kernel, reason))
        height, width = source.map_size
        made = source.with_size(height - kernel[0] + 1, width - kernel[1] + 1)
        draft.emit(replace(node, touch=_window(kernel)), made)
    if moved:  # as its readers expect it
        value, like = step.node.outputs[0], step.new[0]
        there = (0, like.channel_axis, *(like.space_axis(root) or 0 for root in SPACE))
        back = tuple(there.index(i) for i in range(len(there)))
        draft.edits.append(FromChannelsFirst(node.name, value, back, f"{like} has its channels last"))
        draft.emit(Node(f"{node.name}/back", "Transpose", (out,), (value,), Layout()), made.permute(back))


def _locally(draft: Draft, node: Node, axes: Axes, kernel: tuple[int, int], inner: str) -> Axes:
    height, width = kernel
    top, left = (height - 1) // 2, (width - 1) // 2
    bottom, right = height - 1 - top, width - 1 - left
    reason = "it gates the map; the window around each cell stands in for the crop"
    draft.edits.append(GlobalToLocal(node.name, (height, width), (top, left, bottom, right), reason))
    edges = Window(Span(1, pad_before=top, pad_after=bottom), Span(1, pad_before=left, pad_after=right))
    draft.emit(
        replace(node, outputs=(inner,), touch=_window(kernel)),
        axes.with_size(*(s - k + 1 for s, k in zip(axes.map_size, kernel, strict=True))),
    )
    draft.emit(Node(edges_of(node.name), "Pad", (inner,), node.outputs, edges), axes)
    return axes


def _channels_first(draft: Draft, step: Step) -> tuple[str, Axes]:
    """The node's first input as (n, c, h, w), transposed by a node of its own where it is not."""
    value, axes = step.inputs[0], step.new[0]
    order = (0, axes.channel_axis, *(axes.space_axis(root) or 0 for root in SPACE))
    if order == tuple(range(axes.rank)):
        return value, axes
    moved, first = f"{value}/channels_first/{step.node.name}", axes.permute(order)
    reason = f"{axes} has its channels last; a window reads them first"
    draft.edits.append(ToChannelsFirst(step.node.name, value, order, reason))
    draft.emit(Node(moved, "Transpose", (value,), (moved,), Layout()), first)
    return moved, first


def _window(kernel: tuple[int, int]) -> Window:
    return Window(Span(kernel[0]), Span(kernel[1]))
