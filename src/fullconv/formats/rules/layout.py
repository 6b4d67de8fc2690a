"""Operators that move values: Flatten, Reshape, Squeeze, Unsqueeze, Transpose, one position of an axis, a stack."""

from __future__ import annotations

from fullconv.axes import Axes, AxesError, size_of, whole
from fullconv.formats.rules.site import Site, Told, opaque
from fullconv.graph import Layout, Pointwise


def reshape(site: Site) -> Told:
    """Flatten, Reshape, Squeeze, Unsqueeze: the same values in another shape."""
    shape = site.shape()
    try:
        out = site.first.reshape(shape)
    except AxesError as error:
        return opaque(site, str(error))
    if out.rank == 4 and not out.is_map and out.axes[2] == out.axes[3] == ():
        out = Axes((*out.axes[:2], *Axes.image((1, 1, 1, 1)).axes[2:]))
    return Told(Layout(fixed=_fixes(site, out)), (out,))


def _fixes(site: Site, out: Axes) -> bool:
    """Whether a Reshape states height or width as numbers."""
    if site.op != "Reshape" or not out.is_map or site.is_sized(1):
        return False
    stated = site.ints("shape", 1) or []
    spaces = [out.space_axis(root) for root in ("h", "w")]
    return any(axis is not None and axis < len(stated) and stated[axis] > 0 for axis in spaces)


def transpose(site: Site) -> Told:
    """Transpose: the axes in another order."""
    order = site.attribute("perm") or list(range(site.first.rank))[::-1]
    return Told(Layout(), (site.first.permute(order),))


def select(site: Site) -> Told:
    """One position of an axis, or each of them, without the axis."""
    axes, axis = site.first, site.first.index(int(site.attribute("axis", 0)))
    if axis == 0 or size_of(atom for atom in axes.axes[axis] if atom.is_space) > 1:
        return opaque(site, f"it picks single positions along axis {axis} of {axes}")
    if axes.shape[axis] == 1:
        return Told(Layout(), (axes.squeeze(axis),) * len(site.shapes))
    out = Axes((*axes.axes[:axis], *axes.axes[axis + 1 :]))
    return Told(Pointwise(axis=axis), (out,) * len(site.shapes))


def stack(site: Site) -> Told:
    """Several side by side along an axis of its own."""
    axes, axis = site.first, int(site.attribute("axis", 0))
    if any(each is None for each in site.axes) or axis == 0:
        return opaque(site, "it stacks along the batch, or a map with a constant")
    new = (whole(f"s{site.attribute('name', '')}", len(site.names)),)
    return Told(Pointwise(axis=axis), (Axes((*axes.axes[:axis], new, *axes.axes[axis:])),))
