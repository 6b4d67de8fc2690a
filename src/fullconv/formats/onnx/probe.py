"""Which numbers that come from Shape follow the image: what leads to them is run at another size, and with another batch.

A number that stays the same is a constant, however it was computed. One that changes, or that lies behind a node that does
not run at the other size (a dense layer on a flattened map), is not proven to be anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from fullconv.formats.onnx.lower import lower_model, reads
from fullconv.formats.onnx.static import RANDOM, Static, names_read, run_plainly
from fullconv.graph.axes import Axes
from fullconv.runtimes.lowered import Lowered

Array = npt.NDArray[Any]
Shape = tuple[int, ...]
MORE_ROWS, MORE_COLS = 67, 134  # more than strides; odd and even, and divided by no small number
_MOST_CUTS = 8  # nodes that fail at another size; what is left then counts as unknown
_NAMED = re.compile(r"Name:'(.*?)' Status|Node \((.*?)\) Op", re.DOTALL)


def prove(model: ir.Model, inputs: Mapping[str, Axes], static: Static) -> Static:
    """``static`` with the numbers from Shape that are constants set apart from those that follow the image."""
    if not static.sized:
        return static
    wanted = set(static.sized)
    for node in model.graph:
        reads = set(names_read(node))
        if reads & static.sized:
            wanted |= (reads | {str(value.name) for value in node.outputs}) & static.flowing
    batches = {str(value.name) for value in model.graph.inputs if not _states_batch(value)}
    more = {
        name: (axes.shape[0] + 1, *axes.shape[1:]) if name in batches else axes.shape for name, axes in inputs.items()
    }
    at_sizes = [_values(model, wanted, _larger(inputs, lambda h, w: (h + MORE_ROWS, w + MORE_COLS)))]
    if wanted - at_sizes[0].keys():  # what needs whole blocks, or branches that meet, runs at multiples
        at_sizes.append(_values(model, wanted, _larger(inputs, lambda h, w: (2 * h, 3 * w))))
    at_batch = _values(model, wanted, more)
    same, uniform = set(), set()
    for name in static.sized - _by_chance(model):
        others = [values[name] for values in at_sizes if name in values]
        if not others:
            continue
        known = static.constants[name]
        others.append(at_batch.get(name, known))
        if all(_is_same(known, other) for other in others):
            same.add(name)
        elif all(_is_uniform(known, other) for other in others):
            uniform.add(name)
    _drop_steps(model, static, same, uniform)
    shapes = tuple({name: tuple(np.shape(value)) for name, value in values.items()} for values in at_sizes)
    return replace(static, sized=static.sized - same, uniform=frozenset(uniform), larger=shapes)


def _drop_steps(model: ir.Model, static: Static, same: set[str], uniform: set[str]) -> None:
    """Leave out what is the same at these sizes and may change at others: what makes steps of a number that grows (H > 300, H // 1000)."""
    steps: set[str] = set()
    for node in model.graph:
        names, outputs = _names(node), {str(value.name) for value in node.outputs} & static.sized
        growing = [i for i, name in enumerate(names) if name in static.sized - same - uniform]
        if outputs and (steps.intersection(names) or (growing and not _is_algebra(node, growing, static))):
            steps |= outputs
            same -= outputs
            uniform -= outputs


def _is_algebra(node: ir.Node, growing: list[int], static: Static) -> bool:
    """Whether an operator on numbers that grow is equal at all sizes where it is equal at two."""
    if node.op_type in ("Gather", "Slice", "Split", "Reshape", "Squeeze", "Unsqueeze", "Transpose"):
        return growing == [0]  # numbers picked, at places that do not grow
    if node.op_type == "Div":
        return growing == [0, 1]  # a ratio
    if node.op_type == "Cast":
        kinds = [static.constants[name].dtype.kind for name in (_names(node)[0], str(node.outputs[0].name))]
        return kinds != ["f", "i"]
    return node.op_type in (
        "Shape",
        "Size",
        "Identity",
        "Concat",
        "Add",
        "Sub",
        "Mul",
        "Neg",
        "ConstantOfShape",
        "Expand",
    )


def _names(node: ir.Node) -> list[str]:
    """Of the values that a node reads, in order, and those that its subgraphs do behind them."""
    own = ["" if value is None else str(value.name) for value in node.inputs]
    return [*own, *(name for name in names_read(node) if name not in own)]


def _larger(inputs: Mapping[str, Axes], size: Callable[[int, int], tuple[int, int]]) -> dict[str, Shape]:
    """The shapes of inputs whose maps are of another size."""
    return {n: axes.with_size(*size(*axes.map_size)).shape if axes.is_map else axes.shape for n, axes in inputs.items()}


def _by_chance(model: ir.Model) -> set[str]:
    """Values that follow from random numbers, which are others at the next run."""
    drawn: set[str] = set()
    for node in model.graph:
        if node.op_type in RANDOM or drawn.intersection(names_read(node)):
            drawn.update(str(value.name) for value in node.outputs)
    return drawn


def _states_batch(value: ir.Value) -> bool:
    return value.shape is not None and len(value.shape) > 0 and isinstance(value.shape[0], int)


def _values(model: ir.Model, wanted: set[str], shapes: Mapping[str, Shape]) -> dict[str, Any]:
    """The wanted values on inputs of these shapes, as far as the network runs there."""
    rest = lower_model(model, shapes)
    for _ in range(_MOST_CUTS):
        targets = sorted(wanted & {name for node in rest.nodes for name in node.output})
        if not targets:
            break
        part = leading_to(rest, set(targets))
        try:
            given = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
            return {**given, **run_plainly(part, targets, shapes)}
        except Exception as error:  # the engine's own, naming the node
            named = _NAMED.search(str(error))
            name = None if named is None else named[1] or named[2]
            if all(node.name != name for node in part.nodes):
                break
            rest = replace(part, nodes=_without(part.nodes, str(name)))
    return {}


def _is_same(one: Array, other: Array) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


def _is_uniform(one: Array, other: Array) -> bool:
    """One number everywhere, the same in both, whatever their shapes."""
    return bool(one.size and other.size and np.all(one == one.flat[0]) and np.all(other == one.flat[0]))


def leading_to(lowered: Lowered, wanted: set[str]) -> Lowered:
    """The part of a network that makes the wanted values."""
    need, kept = set(wanted), []
    for node in reversed(lowered.nodes):
        if need.intersection(node.output):
            need |= reads(node)
            kept.append(node)
    nodes = kept[::-1]
    made = {name: name for node in nodes for name in node.output if name}
    return replace(
        lowered,
        nodes=nodes,
        outputs=made,
        inputs={name: shape for name, shape in lowered.inputs.items() if name in need},
        constants=[tensor for tensor in lowered.constants if tensor.name in need],
        weights={name: array for name, array in lowered.weights.items() if name in need},
    )


def _without(nodes: Sequence[onnx.NodeProto], name: str) -> list[onnx.NodeProto]:
    """The nodes that do not need the one of this name."""
    lost: set[str] = set()
    kept = []
    for node in nodes:
        if node.name == name or lost.intersection(reads(node)):
            lost.update(node.output)
        else:
            kept.append(node)
    return kept
