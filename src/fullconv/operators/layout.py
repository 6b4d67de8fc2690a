"""Operators that move values: Flatten, Reshape, Squeeze, Unsqueeze, Transpose, one position of an axis, a stack."""

from __future__ import annotations

from fullconv.graph.axes import Axes, AxesError, whole
from fullconv.graph.nodes import Layout, Pointwise
from fullconv.operators.channels import without
from fullconv.operators.operation import Effect, Operation, opaque
from fullconv.operators.record import Operator, words
from fullconv.operators.space import touches_space


def reshape(op: Operation) -> Effect:
    """Flatten, Reshape, Squeeze, Unsqueeze: the same values in another shape."""
    shape, named = op.shape(), op.ints("axes", 1) if op.kind in ("Squeeze", "Unsqueeze") else None
    try:
        out = op.first.reshape(shape) if named is None or not op.first.is_map else _by_place(op, named)
    except AxesError as error:
        return opaque(op, str(error))
    flat = any(atom.is_space and atom.size > 1 for atom in out.atoms)  # a map's cells in a row are no channels
    if out.rank == 4 and not out.is_map and out.axes[2] == out.axes[3] == () and not flat:
        out = Axes((*out.axes[:2], *Axes.image((1, 1, 1, 1)).axes[2:]))
    return _moved(op, Layout(fixed=_fixes(op, out)), out)


def _by_place(op: Operation, named: list[int]) -> Axes:
    """Axes of one that come or go by their places, since a map's own sides of one cell stay where they are."""
    axes = op.first
    if op.kind == "Unsqueeze":
        rank = axes.rank + len(named)
        for i in sorted(i % rank for i in named):
            axes = axes.unsqueeze(i)
        return axes
    gone = sorted({axes.index(i) for i in named}, reverse=True)
    if any(atom.is_space for i in gone for atom in axes.axes[i]):
        out = axes.reshape(op.shape())
        if out.is_map:  # which of several sides of one the shape leaves, it does not say
            raise AxesError(f"it takes a side of the map away, of {axes}")
        return out
    for i in gone:
        axes = without(axes, i) if i else axes.squeeze(i)
    return axes


def _moved(op: Operation, touch: Layout, out: Axes) -> Effect:
    if out.batch != op.first.batch:
        return opaque(op, f"it moves the batch into other axes ({out})")
    return Effect(touch, (out,))


def _fixes(op: Operation, out: Axes) -> bool:
    """Whether a Reshape states height or width as numbers."""
    if op.kind != "Reshape" or not out.is_map or op.is_sized(1):
        return False
    stated = op.ints("shape", 1) or []
    spaces = [out.space_axis(root) for root in ("h", "w")]
    return any(axis is not None and axis < len(stated) and stated[axis] > 0 for axis in spaces)


def transpose(op: Operation) -> Effect:
    """Transpose: the axes in another order."""
    order = op.attribute("perm") or list(range(op.first.rank))[::-1]
    return _moved(op, Layout(), op.first.permute(order))


def select(op: Operation) -> Effect:
    """One position of an axis, or each of them, without the axis."""
    axes, declared = op.first, int(op.attribute("axis", 0))
    axis = axes.index(declared)
    if axis == 0 or touches_space(axes, [axis]):
        return opaque(op, f"it picks single positions along axis {axis} of {axes}")
    if axes.shape[axis] == 1:
        return Effect(Layout(), (axes.squeeze(axis),) * len(op.shapes))
    return Effect(Pointwise(axis=axis, from_end=declared < 0), (without(axes, axis),) * len(op.shapes))


def stack(op: Operation) -> Effect:
    """Several side by side along an axis of its own."""
    axes, declared = op.first, int(op.attribute("axis", 0))
    axis = axes.unsqueeze(declared).index(declared)
    if any(each is None for each in op.axes) or axis == 0:
        return opaque(op, "it stacks along the batch, or a map with a constant")
    if any(each.axes != axes.axes for each in op.axes if each is not None):
        data = " and ".join(map(str, op.axes))
        return opaque(op, f"it stacks {data}, whose positions are others")
    new = (whole(f"s{op.attribute('name', '')}", len(op.names)),)
    out = Axes((*axes.axes[:axis], new, *axes.axes[axis:]))
    return Effect(Pointwise(axis=axis, from_end=declared < 0), (out,))


OPERATORS = (
    Operator("Flatten", reshape, read=words("axis"), memory="moved"),
    Operator("Reshape", reshape, ("data", "size"), read=words("shape"), harmless=words("allowzero consumed_inputs"), memory="moved"),
    Operator("Squeeze", reshape, ("data", "read"), read=words("axes"), memory="moved"),
    Operator("Unsqueeze", reshape, ("data", "read"), read=words("axes"), memory="moved"),
    Operator("Transpose", transpose, read=words("perm")),
    # Words of our own:
    Operator("Select", select, read=words("axis")),
    Operator("Stack", stack, variadic=True, read=words("axis name")),
)  # fmt: skip
