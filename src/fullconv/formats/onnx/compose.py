"""Statistics over the map in terms of means, which a cast knows how to slide or keep; and sums of products in terms of layers.

    sum, length          count · mean(x), √(count · mean(x²)); the count is that of one crop
    least                -max(-x)
    variance             mean(x²) - mean²
    normalisations       (x - mean) / √(mean(x²) - mean² + eps); over groups the means of their channels too
    Einsum               the dense layer or 1×1 convolution that it is
    1×1 convolution      the dense layer that it is, over a map laid out as one cell

Files spell group normalisation as an operator, or as an instance normalisation between two reshapes. The model keeps its meaning at training
size; only its graph is spelt otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from onnx_ir.passes import common

from fullconv.formats.einsum import product
from fullconv.formats.onnx.lower import lower_model
from fullconv.formats.onnx.static import Static, input_name, run_plainly
from fullconv.graph.axes import Axes
from fullconv.graph.nodes import Graph
from fullconv.operators.space import channels_first

Array = npt.NDArray[Any]
_ROUNDING = 1e-3  # a wrong spelling is off by far more; so deep are few networks that rounding is
_TINY = 1e-9  # what MeanVarianceNormalization adds to its deviation
_AXES_AS_INPUT = 18  # the operator set from which on means have their axes as an input


def composed(model: ir.Model, graph: Graph, static: Static, inputs: Mapping[str, Axes]) -> ir.Model | None:
    """The model spelt otherwise, None where nothing is, or where the two do not answer alike."""
    if not any(_may_be(node, graph) for node in model.graph):
        return None
    spelt = model.clone()
    return spelt if _respell(spelt, graph, static) and _agree(model, spelt, inputs) else None


def _may_be(node: ir.Node, graph: Graph) -> bool:
    """Whether a node may be spelt otherwise: a mean is, where it is one of squares, a convolution where it is a dense layer."""
    source = node.inputs[0].producer() if node.inputs and node.inputs[0] is not None else None
    if node.op_type == "ReduceMean":
        return source is not None and source.op_type in ("Mul", "Pow")
    if node.op_type == "Conv":
        axes = graph.values.get(input_name(node, 0) or "")
        return axes is not None and _is_one_cell(axes)
    return node.op_type in _RESPELT


def _respell(model: ir.Model, graph: Graph, static: Static) -> bool:
    """Respell a model in place; whether anything was."""
    found = False
    for node in list(model.graph):
        make = _RESPELT.get(node.op_type)
        source = node.inputs[0] if node.inputs else None
        if make is None or source is None or len(node.outputs) != 1:
            continue
        axes = graph.values.get(str(source.name))
        if node.op_type not in _NARROW and static.kind(str(source.name)) == np.float16:
            continue  # its squares are too large for it, and what is left of their difference too little
        made = None if axes is None else make(_Writer(model, static, node), source, axes)
        if made is None:
            continue
        old = made[0]
        ir.convenience.replace_all_uses_with(old, made[1], replace_graph_outputs=True)
        made[1].name, old.name = old.name, f"{old.name}/replaced"
        made[1].type = old.type
        found = True
    if found:
        common.RemoveUnusedNodesPass()(model)
    return found


def _agree(plain: ir.Model, spelt: ir.Model, inputs: Mapping[str, Axes]) -> bool:
    """Whether two spellings of a model answer alike, rounding aside, on random numbers at training size."""
    rng = np.random.default_rng(0)
    shapes = {name: axes.shape for name, axes in inputs.items()}
    feeds = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    names = [str(value.name) for value in plain.graph.outputs]
    answers = [run_plainly(lower_model(model, shapes), names, shapes, feeds) for model in (plain, spelt)]
    return all(_alike(answers[0][name], answers[1][name]) for name in names)


def _alike(a: Array, b: Array) -> bool:
    largest = max(1.0, float(np.abs(a).max(initial=0.0)))
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=0, atol=_ROUNDING * largest, equal_nan=True))


Made = tuple[ir.Value, ir.Value]  # a value, and what stands for it


class _Writer:
    """Writes operators in front of a node."""

    def __init__(self, model: ir.Model, static: Static, node: ir.Node) -> None:
        self.model = model
        self.graph = model.graph
        self.static = static
        self.node = node
        self.opset = model.opset_imports.get("", 0)
        self.count = 0

    def __call__(self, kind: str, *inputs: ir.Value, **attributes: Any) -> ir.Value:
        made = ir.node(kind, list(inputs), attributes, name=self._name())
        made.outputs[0].name = made.name
        self.graph.insert_before(self.node, made)
        return made.outputs[0]

    def at(self, node: ir.Node) -> _Writer:
        """The same for another node."""
        return _Writer(self.model, self.static, node)

    def _name(self) -> str:
        self.count += 1
        return f"{self.node.name}/{self.count}"

    def number(self, values: Any, kind: Any = None) -> ir.Value:
        """A constant, of the type of the node's own numbers where none is given."""
        own = self.static.kind(input_name(self.node, 0) or "")
        array, name = np.asarray(values, kind or own), self._name()
        value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
        value.shape, value.type = ir.Shape(array.shape), ir.TensorType(ir.DataType.from_numpy(array.dtype))
        self.graph.register_initializer(value)
        return value

    def mean(self, x: ir.Value, axes: list[int], keep: int = 1) -> ir.Value:
        if self.opset >= _AXES_AS_INPUT:
            return self("ReduceMean", x, self.number(axes, np.int64), keepdims=keep)
        return self("ReduceMean", x, axes=axes, keepdims=keep)

    def attribute(self, name: str, default: Any) -> Any:
        found = self.node.attributes.get(name)
        return default if found is None else found.value

    def constant(self, i: int) -> Array | None:
        return self.static.constants.get(input_name(self.node, i) or "")

    def shape(self, value: ir.Value | None) -> tuple[int, ...]:
        return self.static.shapes.get("" if value is None else str(value.name), ())


# Reductions -------------------------------------------------------------------------------------


def _sides(w: _Writer, axes: Axes) -> list[int] | None:
    """The axes of a reduction, where they are sides of a map and nothing else."""
    given = w.attribute("axes", None)
    numbers = w.constant(1) if given is None else np.asarray(given)
    if numbers is None or not axes.is_map:
        return None
    which = sorted({axes.index(int(i)) for i in np.ravel(numbers)})
    return which if which and all(a.is_space and a.is_whole for a in axes.mixed(which)) else None


def _reduction(w: _Writer, x: ir.Value, axes: Axes) -> Made | None:
    which, keep = _sides(w, axes), int(w.attribute("keepdims", 1))
    if which is None:
        return None
    kind, count = w.node.op_type, prod(axes.shape[i] for i in which)
    if kind == "ReduceMin":
        return w.node.outputs[0], w("Neg", _largest(w, w("Neg", x), which, keep))
    each = x if kind == "ReduceSum" else w("Abs", x) if kind == "ReduceL1" else w("Mul", x, x)
    total = w("Mul", w.mean(each, which, keep), w.number(count))
    return w.node.outputs[0], w("Sqrt", total) if kind == "ReduceL2" else total


def _largest(w: _Writer, x: ir.Value, which: list[int], keep: int) -> ir.Value:
    if w.opset >= _AXES_AS_INPUT:
        return w("ReduceMax", x, w.number(which, np.int64), keepdims=keep)
    return w("ReduceMax", x, axes=which, keepdims=keep)


def _variance(w: _Writer, x: ir.Value, axes: Axes) -> Made | None:
    """The mean of (x - mean)², spelt with a subtraction and a product or a power."""
    which, keep, apart = _sides(w, axes), int(w.attribute("keepdims", 1)), _squared(w, x)
    below = None if apart is None else apart.producer()
    if which is None or below is None or below.op_type != "Sub":
        return None
    source, middle = below.inputs
    pool = None if middle is None else middle.producer()
    if source is None or pool is None or pool.op_type not in ("ReduceMean", "GlobalAveragePool"):
        return None
    pooled = which if pool.op_type != "GlobalAveragePool" else [2, 3]
    own = pool.op_type == "GlobalAveragePool" or _sides(w.at(pool), axes) == which
    if pool.inputs[0] is not source or not own or pooled != which:
        return None
    mean = w.mean(source, which, keep)
    return w.node.outputs[0], w("Relu", w("Sub", w.mean(w("Mul", source, source), which, keep), w("Mul", mean, mean)))


def _squared(w: _Writer, x: ir.Value) -> ir.Value | None:
    """What x is the square of."""
    node = x.producer()
    if node is None or node.op_type not in ("Mul", "Pow"):
        return None
    base, other = node.inputs
    power = None if other is None else w.static.constants.get(str(other.name))
    twice = (
        base is other
        if node.op_type == "Mul"
        else power is not None and power.size == 1 and float(power.ravel()[0]) == 2
    )
    return base if twice else None


# Normalisations -----------------------------------------------------------------------------------


def _normalised(
    w: _Writer,
    x: ir.Value,
    channels: int,
    groups: int,
    sides: list[int],
    eps: float,
    scale: Array | None,
    bias: Array | None,
) -> ir.Value:
    """Normalised over the map, and over the channels of a group, which a convolution of equal weights takes together."""
    share = channels // groups

    def mean(value: ir.Value) -> ir.Value:
        each = w.mean(value, sides)
        if share == 1:
            return each
        equal = w.number(np.kron(np.eye(groups), np.full((share, share), 1 / share))[:, :, None, None])
        return w("Conv", each, equal, kernel_shape=[1, 1])

    middle = mean(x)
    apart = w("Relu", w("Sub", mean(w("Mul", x, x)), w("Mul", middle, middle)))
    spread = w("Sqrt", w("Add", apart, w.number(eps))) if eps else w("Add", w("Sqrt", apart), w.number(_TINY))
    made = w("Div", w("Sub", x, middle), spread)
    for numbers, kind in ((scale, "Mul"), (bias, "Add")):
        if numbers is not None:
            laid = np.repeat(numbers.reshape(-1), channels // numbers.size).reshape(-1, 1, 1)
            made = w(kind, made, w.number(laid))
    return made


def _instance(w: _Writer, x: ir.Value, axes: Axes) -> Made | None:
    scale, bias, eps = w.constant(1), w.constant(2), float(w.attribute("epsilon", 1e-5))
    if scale is None or bias is None:
        return None
    if channels_first(axes):
        channels = axes.shape[1]
        return w.node.outputs[0], _normalised(w, x, channels, channels, [2, 3], eps, scale, bias)
    # Reshape to (n, groups, everything else), normalise, and back: a group normalisation.
    before, readers = x.producer(), [use.node for use in w.node.outputs[0].uses()]
    after = readers[0] if len(readers) == 1 else None
    if before is None or after is None or before.op_type != "Reshape" or after.op_type != "Reshape":
        return None
    source, shape, grouped = before.inputs[0], w.shape(before.inputs[0]), w.shape(x)
    if source is None or len(shape) != 4 or w.shape(after.outputs[0]) != shape or len(grouped) != 3:
        return None
    if grouped[0] != shape[0] or shape[1] % grouped[1]:
        return None
    return after.outputs[0], _normalised(w, source, shape[1], grouped[1], [2, 3], eps, scale, bias)


def _group(w: _Writer, x: ir.Value, axes: Axes) -> Made | None:
    scale, bias, groups = w.constant(1), w.constant(2), int(w.attribute("num_groups", 0))
    if scale is None or bias is None or not channels_first(axes) or groups < 1 or axes.shape[1] % groups:
        return None
    eps = float(w.attribute("epsilon", 1e-5))
    return w.node.outputs[0], _normalised(w, x, axes.shape[1], groups, [2, 3], eps, scale, bias)


def _mean_variance(w: _Writer, x: ir.Value, axes: Axes) -> Made | None:
    """Over the map; the batch goes with it where there is one image alone."""
    which = sorted(axes.index(int(i)) for i in w.attribute("axes", [0, 2, 3]))
    first = w.graph.inputs[0].shape
    alone = first is not None and len(first) > 0 and first[0] == 1
    if not channels_first(axes) or which not in ([2, 3], [0, 2, 3]) or (0 in which and not alone):
        return None
    channels = axes.shape[1]
    return w.node.outputs[0], _normalised(w, x, channels, channels, [2, 3], 0, None, None)


# Sums of products -----------------------------------------------------------------------------------


def _einsum(w: _Writer, x: ir.Value, axes: Axes) -> Made | None:
    """A dense layer over all that lies behind the batch, or one matrix for the channels of every position."""
    matrix = w.constant(1)
    found = None
    if matrix is not None and len(w.node.inputs) == 2:
        found = product(str(w.attribute("equation", "")), axes.rank, matrix.ndim)
    if matrix is None or found is None:
        return None
    laid = matrix.transpose(found.order).reshape(-1, matrix.shape[found.order[-1]])
    value = w.node.outputs[0]
    if found.summed is None:
        return value, w("MatMul", x if axes.rank == 2 else w("Flatten", x, axis=1), w.number(laid))
    if found.summed == axes.rank - 1:
        return value, w("MatMul", x, w.number(laid))
    if found.summed == 1 and axes.rank == 4:
        return value, w("Conv", x, w.number(laid.T[:, :, None, None]), kernel_shape=[1, 1])
    return None


def _is_one_cell(axes: Axes) -> bool:
    """Whether it is a whole map laid out as the channels of one cell."""
    return axes.rank == 4 and axes.axes[2:] == ((), ()) and any(a.is_space and a.size > 1 for a in axes.axes[1])


def _dense(w: _Writer, x: ir.Value, axes: Axes) -> Made | None:
    """A 1×1 convolution over a map that was laid out as one cell, (n, c·h·w, 1, 1): a dense layer."""
    kernel, bias = w.constant(1), w.node.inputs[2] if len(w.node.inputs) > 2 else None
    made = w.shape(w.node.outputs[0])
    if kernel is None or not _is_one_cell(axes) or kernel.shape[1:] != (axes.shape[1], 1, 1) or made[2:] != (1, 1):
        return None
    flat = [w("Flatten", x, axis=1), w.number(kernel.reshape(kernel.shape[:2]).T)]
    dense = w("Gemm", *flat, *([] if bias is None else [bias]))
    return w.node.outputs[0], w("Reshape", dense, w.number([0, -1, 1, 1], np.int64))


_NARROW = ("Conv", "Einsum", "ReduceMin")  # spelt otherwise in half precision too
_RESPELT: Mapping[str, Callable[[_Writer, ir.Value, Axes], Made | None]] = {
    "ReduceSum": _reduction,
    "ReduceL1": _reduction,
    "ReduceL2": _reduction,
    "ReduceSumSquare": _reduction,
    "ReduceMin": _reduction,
    "ReduceMean": _variance,
    "InstanceNormalization": _instance,
    "GroupNormalization": _group,
    "MeanVarianceNormalization": _mean_variance,
    "Einsum": _einsum,
    "Conv": _dense,
}
