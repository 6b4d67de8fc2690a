"""Operators over the whole map in terms of means, which a cast knows how to slide.

    variance     mean(x²) - mean(x)², of x about its mean over the whole map: no digits are lost where the mean is large
    length       √(count · mean(x²))
    group norm   (x - mean) / √(variance + eps), the means over a group's channels too
    a block of cells as channels: view, permute, reshape   ->   pixel_unshuffle, and the channels in that order
    a convolution with a kernel mixed for each image    ->   the mix of what each expert says
    softmax over positions, and a sum weighted by it       ->   mean(x · eᵃ) / mean(eᵃ)
    a fused transformer layer    ->   its parts

The module that is read keeps its meaning; only its graph is spelt otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import fx

from fullconv.formats.einsum import product
from fullconv.formats.torch.conditional import mixed
from fullconv.formats.torch.module import PATH, about_mean, below_peak
from fullconv.formats.torch.operators import Call
from fullconv.formats.torch.shapes import Known, is_size
from fullconv.formats.torch.transformer import RESPELT as TRANSFORMERS
from fullconv.graph.axes import Axes, AxesError, size_of

aten = torch.ops.aten
_SIDES = (2, 3)


def compose(module: fx.GraphModule, known: Known) -> bool:
    """Respell a graph in place; whether anything was."""
    found = False
    for node in list(module.graph.nodes):
        make = _RESPELT.get(node.target) if node.op == "call_function" else None
        if make is None or node not in known.flowing or not node.users:
            continue
        if any(value not in known.shapes for value in _before(node)):
            continue  # it reads what was respelt just now: the next round knows its shape
        with module.graph.inserting_before(node):
            made = make(_Writer(module.graph, node), Call(node, known))
        if made is not None:
            node.replace_all_uses_with(made)
            found = True
    if found:
        module.graph.eliminate_dead_code()
        module.recompile()
    return found


def _before(node: fx.Node, steps: int = 6) -> set[fx.Node]:
    """The tensors that a pattern may look back at."""
    found: set[fx.Node] = set()
    edge = {node}
    for _ in range(steps):
        edge = {
            value for each in edge for value in each.all_input_nodes if value.op != "get_attr" and not is_size(value)
        }
        found |= edge
    return found


class _Writer:
    """Writes operators in front of a node, which belong to the same part of the network."""

    def __init__(self, graph: fx.Graph, node: fx.Node) -> None:
        self.graph = graph
        self.path = node.meta.get(PATH, "")

    def __call__(self, target: Any, *args: Any) -> fx.Node:
        made = self.graph.call_function(target, args)
        made.meta[PATH] = self.path
        return made

    def mean(self, x: fx.Node, axes: list[int], keep: bool = True) -> fx.Node:
        return self(aten.mean.dim, x, axes, keep)

    def size(self, x: fx.Node, axis: int) -> fx.Node:
        return self(aten.sym_size.int, x, axis)


def _map_axes(call: Call, x: Any) -> list[int] | None:
    """The axes of a reduction, where they are the sides of a map: (2, 3), or (1, 2) with channels last."""
    rank, given = call.rank(x), call.get("dim")
    axes = sorted(int(i) % rank for i in (given if isinstance(given, list | tuple) else [given])) if given else []
    return axes if rank == 4 and axes in ([2, 3], [1, 2]) else None


def _variance(w: _Writer, call: Call) -> fx.Node | None:
    x = call["self"]
    axes = _map_axes(call, x)
    if axes is None:
        return None
    keep, count = bool(call["keepdim"]), 1
    for i in axes:
        count *= call.shape(x)[i]
    x = w(about_mean, x, *axes)
    given = call.get("correction", None if "correction" in call else float(bool(call.get("unbiased", True))))
    less = 1.0 if given is None else float(given)
    mean = w.mean(x, axes, keep)
    apart = w(aten.sub.Tensor, w.mean(w(aten.mul.Tensor, x, x), axes, keep), w(aten.mul.Tensor, mean, mean))
    var = w(aten.mul.Tensor, w(aten.clamp_min.default, apart, 0.0), count / (count - less))
    return w(aten.sqrt.default, var) if "std" in str(call.node.target) else var


def _length(w: _Writer, call: Call) -> fx.Node | None:
    x = call["self"]
    axes = _map_axes(call, x)
    if axes is None or float(call["ord"]) not in (1.0, 2.0) or call.kind(x) != "float":
        return None
    count = 1
    for i in axes:
        count *= call.shape(x)[i]
    one = float(call["ord"]) == 1.0
    each = w(aten.abs.default, x) if one else w(aten.mul.Tensor, x, x)
    total = w(aten.mul.Tensor, w.mean(each, axes, bool(call["keepdim"])), float(count))
    return total if one else w(aten.sqrt.default, total)


def _sum(w: _Writer, call: Call) -> fx.Node | None:
    x = call["self"]
    axes = _map_axes(call, x)
    if axes is None or call.kind(x) != "float":
        return None
    count = 1
    for i in axes:
        count *= call.shape(x)[i]
    return w(aten.mul.Tensor, w.mean(x, axes, bool(call["keepdim"])), float(count))


def _layer_norm(w: _Writer, call: Call) -> fx.Node | None:
    """Over channels and map together, without a number for each position."""
    whole = call.rank(call["input"]) == 4 and len(call["normalized_shape"]) == 3
    return _grouped(w, call, 1) if whole and call["weight"] is None and call["bias"] is None else None


def _group_norm(w: _Writer, call: Call) -> fx.Node | None:
    return _grouped(w, call, int(call["num_groups"])) if call.rank(call["input"]) == 4 else None


def _instance_norm(w: _Writer, call: Call) -> fx.Node | None:
    x = call["input"]
    return _grouped(w, call, call.shape(x)[1]) if call.rank(x) == 4 and call["use_input_stats"] else None


def _grouped(w: _Writer, call: Call, groups: int) -> fx.Node:
    x = call["input"]
    count = call.shape(x)[1]
    sizes = [w.size(x, 0), w.size(x, 2), w.size(x, 3)]
    if groups == count:
        x = w(about_mean, x, *_SIDES)
    parts = x
    if groups != count:
        parts = w(aten.reshape.default, x, [sizes[0], groups, count // groups, sizes[1], sizes[2]])

    def mean(value: fx.Node) -> fx.Node:
        each = w.mean(value, list(_SIDES))
        if groups == count:
            return each
        return w.mean(w(aten.reshape.default, each, [sizes[0], groups, count // groups, 1, 1]), [2])

    middle = mean(x)
    apart = w(aten.sub.Tensor, mean(w(aten.mul.Tensor, x, x)), w(aten.mul.Tensor, middle, middle))
    spread = w(aten.add.Tensor, w(aten.clamp_min.default, apart, 0.0), float(call["eps"]))
    made = w(aten.mul.Tensor, w(aten.sub.Tensor, parts, middle), w(aten.rsqrt.default, spread))
    if groups != count:
        made = w(aten.reshape.default, made, [sizes[0], count, sizes[1], sizes[2]])
    for value, operator in ((call["weight"], aten.mul.Tensor), (call["bias"], aten.add.Tensor)):
        if value is not None:
            made = w(operator, made, w(aten.reshape.default, value, [count, 1, 1]))
    return made


def _blocks(w: _Writer, call: Call) -> fx.Node | None:
    """(n, c, h/b, b, w/b, b) permuted to (n, (a block's own axes), h/b, w/b)."""
    order, view = call["self"], None
    while isinstance(order, fx.Node) and order.target in (aten.contiguous.default, aten.clone.default):
        order = order.args[0]
    if isinstance(order, fx.Node) and order.target is aten.permute.default:
        view = order.args[0]
    if not isinstance(view, fx.Node) or view.target not in (aten.view.default, aten.reshape.default):
        return None
    x = view.args[0]
    if call.rank(x) != 4 or call.rank(view) != 6 or len(call.out[0]) != 4:
        return None
    try:
        axes = Axes.image(call.shape(x)).reshape(call.shape(view)).permute([int(i) % 6 for i in order.args[1]])
        axes = axes.reshape(call.out[0])
    except AxesError:
        return None
    inner, rows, cols = axes.axes[1], axes.axes[2], axes.axes[3]
    if len(rows) != 1 or len(cols) != 1 or (rows[0].root, cols[0].root) != ("h", "w"):
        return None
    block = rows[0].inner
    if block < 2 or cols[0].inner != block or {a.size for a in inner if a.is_space} != {block}:
        return None
    roots = [a.root for a in inner]
    if sorted(roots) != ["c", "h", "w"]:
        return None
    made = w(aten.pixel_unshuffle.default, x, block)  # channels are c, y, x
    if roots == ["c", "h", "w"]:
        return made
    sizes = {"c": size_of(a for a in inner if a.root == "c"), "h": block, "w": block}
    height, width = w.size(made, 2), w.size(made, 3)
    laid = w(aten.reshape.default, made, [w.size(made, 0), sizes["c"], block, block, height, width])
    moved = w(aten.permute.default, laid, [0, *(1 + ["c", "h", "w"].index(root) for root in roots), 4, 5])
    return w(aten.reshape.default, moved, [w.size(made, 0), call.out[0][1], height, width])


def _viewed(w: _Writer, call: Call) -> fx.Node | None:
    return _blocks(w, call) or mixed(w, call)


def _weighted(w: _Writer, call: Call) -> fx.Node | None:
    """x as (n, 1, c, positions) times softmax weights of (n, 1, positions, 1)."""
    left, right = _behind_views(call["self"]), _behind_views(call["other"])
    if not isinstance(right, fx.Node) or right.target is not aten.softmax.int:
        return None
    scores = _behind_views(right.args[0])
    shapes = [call.shape(v) for v in (left, scores)]
    if len(shapes[0]) != 4 or len(shapes[1]) != 4 or shapes[1][1] != 1 or shapes[0][2:] != shapes[1][2:]:
        return None
    positions = shapes[0][2] * shapes[0][3]
    if call.shape(call["self"])[-1] != positions or call.shape(right)[Call(right, call.known)["dim"]] != positions:
        return None
    weights = w(aten.add.Tensor, w(aten.exp.default, w(below_peak, scores)), 1e-30)
    above = w.mean(w(aten.mul.Tensor, left, weights), list(_SIDES))
    pooled = w(aten.div.Tensor, above, w.mean(weights, list(_SIDES)))
    return w(aten.reshape.default, pooled, [w.size(pooled, 0), *call.out[0][1:]])


def _behind_views(node: Any) -> Any:
    views = (
        aten.view.default, aten.reshape.default, aten.unsqueeze.default, aten.flatten.using_ints, aten.contiguous.default, aten.squeeze.dim,
    )  # fmt: skip
    while isinstance(node, fx.Node) and node.target in views:
        node = node.args[0]
    return node


def _einsum(w: _Writer, call: Call) -> fx.Node | None:
    """The dense layer that it is, or the matrix over the channels of every position, which are laid last for it."""
    operands = call["tensors"]
    if not isinstance(operands, list | tuple) or len(operands) != 2:
        return None
    x, weights = operands
    if weights.op != "get_attr" or weights not in call.known.shapes or x not in call.known.shapes:
        return None
    rank = call.rank(x)
    found = product(str(call["equation"]), rank, call.rank(weights))
    if found is None:
        return None
    matrix = w(aten.permute.default, weights, [found.order[-1], *found.order[:-1]])
    if found.summed is None:
        flat = x if rank == 2 else w(aten.flatten.using_ints, x, 1)
        return w(aten.linear.default, flat, w(aten.flatten.using_ints, matrix, 1) if rank > 2 else matrix)
    last = [*(i for i in range(rank) if i != found.summed), found.summed]
    answer = w(aten.linear.default, w(aten.permute.default, x, last), matrix)
    return w(aten.permute.default, answer, [last.index(i) for i in range(rank)])


_RESPELT: dict[Any, Callable[[_Writer, Call], fx.Node | None]] = {
    aten.var.correction: _variance,
    aten.std.correction: _variance,
    aten.var.dim: _variance,
    aten.std.dim: _variance,
    aten.linalg_vector_norm.default: _length,
    aten.sum.dim_IntList: _sum,
    aten.group_norm.default: _group_norm,
    aten.instance_norm.default: _instance_norm,
    aten.layer_norm.default: _layer_norm,
    aten.reshape.default: _viewed,
    aten.view.default: _viewed,
    aten.matmul.default: _weighted,
    aten.einsum.default: _einsum,
    **TRANSFORMERS,
}
