"""Operators that read a number computed from the image's size: where following it is proven they stay, elsewhere they are refused.

A shape, a size or an end may follow the image, and the other size at which the network was run shows whether it does as the
operator's axes say. Arithmetic on the image's values with such a number (x / H, coordinates) has no place in a map of crops.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from fullconv.formats.onnx.static import Static, input_name
from fullconv.geometry.axis import output_length
from fullconv.graph.axes import BATCH, SPACE, Axes
from fullconv.graph.nodes import Layout, Opaque, Pointwise, Window
from fullconv.operators import OPERATORS, effect_of
from fullconv.operators.operation import Effect, Operation, opaque

Shape = tuple[int, ...]


def sized_effect(node: ir.Node, op: Operation, static: Static) -> Effect:
    """What an operator does to its axes, with numbers from the image's size read only where they are proven to follow it."""
    sized = [(i, name) for i, name in enumerate(op.names) if name is not None and name in static.sized]
    for i, name in sized:
        if not _may_follow(op, i) and name not in static.uniform and not _is_mean(node, static):
            return opaque(op, f"it computes with {name}, which comes from the input's size and is no constant")
    effect = effect_of(op)
    if not sized or isinstance(effect.touch, Opaque) or _is_mean(node, static):
        return effect
    out = str(node.outputs[0].name)
    reads = [name for name in op.names if name is not None and name in static.flowing]
    for i, name in sized:
        if _may_follow(op, i):
            if not _follows(op, effect, reads[0], out, static):
                return _unproven(op, effect, name)
        elif not _fills(op, effect, name, out, static):
            return opaque(op, f"{name} comes from the input's size, and does not have the shape of the map")
    return effect


def _may_follow(op: Operation, i: int) -> bool:
    """Whether an input is a shape, a size or an end."""
    return op.kind in OPERATORS and OPERATORS[op.kind].input_mark(i) == "size"


def _is_mean(node: ir.Node, static: Static) -> bool:
    """A sum over the cells of a window that lie inside, by their count: the padding is the sum's, which says so."""
    if node.op_type != "Div":
        return False
    total, count = (None if value is None else value.producer() for value in node.inputs)
    if total is None or count is None or total.op_type != "Conv" or count.op_type != "Conv":
        return False
    ones, weights = (input_name(count, i) or "" for i in (0, 1))
    kernel = static.constants.get(weights)
    counts = ones in static.uniform and weights not in static.sized and kernel is not None and bool(np.all(kernel == 1))
    windows = [{k: a.value for k, a in each.attributes.items() if k != "group"} for each in (total, count)]
    return counts and windows[0] == windows[1] and bool(np.all(static.constants[ones] == 1)) and len(count.inputs) == 2


def _unproven(op: Operation, effect: Effect, name: str) -> Effect:
    """A layout or a size that holds at training size only is stated anew by a cast; what else there is, is refused."""
    if isinstance(effect.touch, Layout):
        return replace(effect, touch=replace(effect.touch, fixed=True))
    if isinstance(effect.touch, Window) and op.kind == "Resize":
        return replace(effect, touch=replace(effect.touch, auto=True))
    return opaque(op, f"{name} comes from the input's size, and does not grow with it as the map does")


def _follows(op: Operation, effect: Effect, read: str, out: str, static: Static) -> bool:
    """Whether the output has the shape that its axes say on every larger image on which it is known."""
    known = [shapes for shapes in static.larger if read in shapes and out in shapes]
    return bool(known) and all(_expected(op.first, effect, shapes[read]) == shapes[out] for shapes in known)


def _expected(before: Axes, effect: Effect, shape: Shape) -> Shape | None:
    """The output's shape on an input of this shape; None where the axes do not say."""
    sizes: dict[str, int] = {}
    for i, root in ((before.space_axis(root), root) for root in (*SPACE, BATCH)):
        if i is not None:
            sizes[root] = shape[i]
    if isinstance(effect.touch, Window):
        spans = zip(SPACE, (effect.touch.y, effect.touch.x), strict=True)
        sizes |= {root: output_length(span, sizes[root]) for root, span in spans}
    out = []
    for axis in effect.outputs[0].axes:
        size = 1
        for atom in axis:
            if atom.is_whole and atom.root in sizes:
                size *= sizes[atom.root]
            elif atom.root in (*SPACE, BATCH) and atom.size > 1:
                return None
            else:
                size *= atom.size
        out.append(size)
    return tuple(out)


def _fills(op: Operation, effect: Effect, name: str, out: str, static: Static) -> bool:
    """Whether one number laid over the map lies over all of it, at every size."""
    axes = effect.outputs[0]
    cellwise = isinstance(effect.touch, Pointwise) and effect.touch.axis is None and axes.is_map
    at: list[Mapping[str, Shape]] = [static.shapes, *(s for s in static.larger if name in s and out in s)]
    return cellwise and len(at) > 1 and all(_covers(shapes[name], shapes[out]) for shapes in at)


def _covers(small: Shape, whole: Shape) -> bool:
    return len(small) in (0, len(whole)) and all(have in (1, want) for have, want in zip(small, whole, strict=False))
