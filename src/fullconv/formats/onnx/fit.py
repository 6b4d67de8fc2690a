"""A written network cuts its image itself at sizes at which its branches would not meet, so that plain engines run every size.

fullconv cuts an image behind its last crop before it runs a cast network (``geometry.lengths.fitting``). What is cut repeats with the
least common multiple of all steps in the network, so a file does the same by a table a side:

    x -> Slice to (height - rows[height mod L], width - columns[width mod L]) -> the network

Reading leaves the nodes out again, where they are these and cut nothing at training size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import lcm

import numpy as np
import onnx_ir as ir

from fullconv.errors import Refused
from fullconv.formats.onnx.sampled import recorded
from fullconv.geometry.field import receptive_fields
from fullconv.geometry.grid import Sampling
from fullconv.geometry.lengths import fitting, misfit
from fullconv.graph.axes import SPACE, Axes
from fullconv.graph.nodes import Graph, Whole

_STEM = "fullconv/fit"
_SLICES = 10  # the operator set from which on Slice has its ends from an input
_MOST = 512  # steps that a table may have


def fitted(model: ir.Model, graph: Graph) -> ir.Model:
    """The model that cuts its image where it must; itself where every size goes through, or where cutting costs cells."""
    tables = _tables(model, graph)
    if tables is None or model.opset_imports.get("", 0) < _SLICES:
        return model
    made = model.clone()
    image = next(value for value in made.graph.inputs if value.name == graph.image)
    axes = graph.values[graph.image or ""]
    _write(made.graph, image, [axes.space_axis(root) or 0 for root in SPACE], tables)
    return made


def unfitted(model: ir.Model, inputs: Mapping[str, Axes]) -> None:
    """Leave such nodes out, where they are those that ``fitted`` writes and cut nothing of inputs of these axes."""
    cut = next((node for node in model.graph if node.name == _STEM and node.op_type == "Slice"), None)
    image = cut.inputs[0] if cut is not None and cut.inputs else None
    if cut is None or image is None or not image.is_graph_input():
        return
    mine = [node for node in model.graph if str(node.name).startswith(_STEM)]
    constants = {name: value for name, value in model.graph.initializers.items() if name.startswith(_STEM)}
    numbers = {n: v.const_value.numpy() for n, v in constants.items() if v.const_value is not None}
    try:
        axes = [int(i) for i in numbers[f"{_STEM}/axes"]]
        tables = [[int(n) for n in numbers[f"{_STEM}/{root}/cut"]] for root in SPACE]
    except (KeyError, TypeError, ValueError):
        return
    if not all(tables):
        return
    again = ir.Graph([ir.Value(name=image.name)], [], nodes=[], name="again")
    _write(again, again.inputs[0], axes, tables)
    own = {n: v.const_value.numpy() for n, v in again.initializers.items() if v.const_value is not None}
    same = [_told(node) for node in mine] == [_told(node) for node in again]
    if not same or own.keys() != numbers.keys() or any(not np.array_equal(own[n], numbers[n]) for n in own):
        return
    read = inputs[str(image.name)]
    if not read.is_map or axes != [read.space_axis(root) for root in SPACE]:
        return
    if any(table[length % len(table)] for length, table in zip(read.map_size, tables, strict=True)):
        return
    ir.convenience.replace_all_uses_with(cut.outputs[0], image, replace_graph_outputs=True)
    for node in reversed(mine):
        model.graph.remove(node, safe=True)
    for name in constants:
        del model.graph.initializers[name]


def _told(node: ir.Node) -> tuple[object, ...]:
    names = [tuple(None if v is None else v.name for v in side) for side in (node.inputs, node.outputs)]
    return node.op_type, node.domain, node.name, *names, {n: a.value for n, a in node.attributes.items()}


def _write(graph: ir.Graph, image: ir.Value, axes: list[int], tables: Sequence[Sequence[int]]) -> None:
    made: list[ir.Node] = []
    readers = [(use.node, use.idx) for use in image.uses()]

    def number(name: str, values: Sequence[int]) -> ir.Value:
        array = np.array(values, np.int64)
        value = ir.Value(name=f"{_STEM}/{name}", const_value=ir.tensor(array, name=f"{_STEM}/{name}"))
        value.shape, value.type = ir.Shape(array.shape), ir.TensorType(ir.DataType.INT64)
        graph.register_initializer(value)
        return value

    def add(kind: str, name: str, *inputs: ir.Value, **attributes: int) -> ir.Value:
        node = ir.node(kind, list(inputs), attributes, name=f"{_STEM}/{name}" if name else _STEM)
        node.outputs[0].name = f"{node.name}/out"
        made.append(node)
        return node.outputs[0]

    shape, ends = add("Shape", "shape", image), []
    for root, axis, table in zip(SPACE, axes, tables, strict=True):
        length = add("Gather", f"{root}/length", shape, number(f"{root}/axis", [axis]), axis=0)
        period = number(f"{root}/period", [len(table)])
        times = add("Div", f"{root}/times", length, period)
        rest = add("Sub", f"{root}/rest", length, add("Mul", f"{root}/whole", times, period))
        cut = add("Gather", f"{root}/less", number(f"{root}/cut", table), rest, axis=0)
        ends.append(add("Sub", f"{root}/end", length, cut))
    end = add("Concat", "ends", *ends, axis=0)
    out = add("Slice", "", image, number("starts", [0, 0]), end, number("axes", axes))
    out.type = image.type
    for node, i in readers:
        node.replace_input_with(i, out)
    if len(graph):
        graph.insert_before(graph[0], made)
    else:
        graph.extend(made)


def _tables(model: ir.Model, graph: Graph) -> list[list[int]] | None:
    """Pixels to cut, by the rest of each side divided by the network's period; None where nothing is cut, or cutting is no answer."""
    if graph.image is None or any(isinstance(n.touch, Whole) and n.touch.how == "linear" for n in graph):
        return None
    known, output = recorded(model), graph.outputs[-1]
    try:
        fields = receptive_fields(graph)
    except Refused:
        return None
    trained = graph.values[graph.image].map_size
    if output not in known:
        return None
    tables = []
    for side in (0, 1):
        steps = [field.stride[side] for field in fields.values()]
        period = lcm(*(int(step) for step in steps if step.denominator == 1))
        if period > _MOST:
            return None
        cuts = _cuts(graph, known[output], output, side, trained, period)
        if cuts is None:
            return None
        tables.append(cuts)
    return tables if any(map(any, tables)) else None


def _cuts(
    graph: Graph, sampling: Sampling, output: str, side: int, trained: tuple[int, int], period: int
) -> list[int] | None:
    """What ``fitting`` cuts of each length, by its rest; None where it fills one up, or does otherwise a period further."""
    table = [0] * period
    for length in range(trained[side], trained[side] + 2 * period):
        size = (length, trained[1]) if side == 0 else (trained[0], length)
        cut = 0
        if misfit(graph, size) is not None:
            cut = length - fitting(graph, size, output, sampling.cells(size))[side]
        if cut < 0 or (length >= trained[side] + period and table[length % period] != cut):
            return None
        table[length % period] = cut
    return table
