"""Opening ONNX files that may come from anyone."""

from __future__ import annotations

import copy
import logging
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from fullconv.errors import BadInput
from fullconv.formats.onnx.hazards import require_operands
from fullconv.formats.onnx.tensors import check_tensors
from fullconv.formats.onnx.tidy import tidy
from fullconv.formats.spelt import as_text

OLDEST = 7
IN_MEMORY = Path("the ONNX model in memory")  # stands for a path in messages
_OWN = ("", "ai.onnx")  # two names of ONNX's own domain
_FRACTIONS = 8  # the last operator set in which a Constant is of fractions alone
_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)
_MOST_NODES = 200_000  # of a network with its functions written out; the largest classifiers have some thousands


def open_model(source: Path | onnx.ModelProto) -> tuple[ir.Model, tuple[str, ...]]:
    """The model, functions inlined, nodes in order, those alone that lead to an output, initializers no longer among the inputs; what was left out, in words.

    Raises:
        BadInput: truncated or damaged, an operator set that is not known, external data that is missing or lies outside
            the model's folder.
    """
    logging.getLogger("onnx_ir").setLevel(logging.ERROR)  # what it warns of, the errors below tell
    path = IN_MEMORY if isinstance(source, onnx.ModelProto) else source
    message = copy.deepcopy(source) if isinstance(source, onnx.ModelProto) else _parsed(source)
    as_text(message)
    if not message.graph.node:
        raise BadInput(f"{path}: holds no operators, so it is no ONNX model")
    _one_domain(message)
    _tensor_types(message)
    _check_opsets(path, message)
    _check_functions(path, message)
    _spread(message)
    _whole_numbers(message)
    check_tensors(message, path, None if path is IN_MEMORY else path.parent)
    try:
        model = ir.serde.deserialize_model(message)
        ir.external_data.set_base_dir(model.graph, path.parent)
        if model.functions:
            model = common.InlinePass()(model).model
        model = common.RemoveInitializersFromInputsPass()(model).model
        if not _in_order(model):  # keras2onnx writes nodes in any order
            model = common.TopologicalSortPass()(model).model
    except Exception as error:  # the passes raise what the file makes them raise
        raise BadInput(f"{path}: not a valid ONNX model ({first_line(error)})") from None
    require_operands(model, path)
    _require_ends(model, path)
    model.ir_version = max(model.ir_version, 4)  # the first in which initializers need not be inputs
    model.graph.name = model.graph.name or "network"  # a file must have one; DJL writes none
    _name_nodes(model)
    notes = tidy(model)
    common.RemoveUnusedNodesPass()(model)  # what leads to no output would stand in plans, and not in what is written
    return model, notes


def _parsed(path: Path) -> onnx.ModelProto:
    try:
        return onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's and Python's own, as the file makes them
        raise BadInput(f"{path}: truncated or damaged, not a readable ONNX file ({first_line(error)})") from None


def _one_domain(message: onnx.ModelProto) -> None:
    """ONNX's own domain under its one usual name."""
    for opset in message.opset_import:
        opset.domain = "" if opset.domain in _OWN else opset.domain
    for function in message.functions:
        for opset in function.opset_import:
            opset.domain = "" if opset.domain in _OWN else opset.domain
    for node in _nodes([message.graph.node, *(function.node for function in message.functions)]):
        node.domain = "" if node.domain in _OWN else node.domain


def _tensor_types(message: onnx.ModelProto) -> None:
    """Sizes of -1, as Paddle writes them, are sizes left open; types of maps and sequences say nothing of tensors."""
    graph = message.graph
    for value in (*graph.input, *graph.output, *graph.value_info):
        if not value.type.HasField("tensor_type"):
            value.ClearField("type")
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_value < 0:
                dim.ClearField("dim_value")


def _nodes(lists: Iterable[Iterable[onnx.NodeProto]]) -> Iterable[onnx.NodeProto]:
    """Every node, those of subgraphs among them."""
    todo = [node for nodes in lists for node in nodes]
    while todo:
        node = todo.pop()
        yield node
        for attribute in node.attribute:
            todo += [inner for graph in (attribute.g, *attribute.graphs) for inner in graph.node]


def _whole_numbers(message: onnx.ModelProto) -> None:
    """Constants of whole numbers as initialisers: up to operator set 8 the node is of fractions alone, though exporters wrote both and engines take them."""
    if any(not opset.domain and opset.version > _FRACTIONS for opset in message.opset_import):
        return
    others = []
    for node in message.graph.node:
        held = next((each.t for each in node.attribute if each.name == "value"), None)
        if node.op_type == "Constant" and not node.domain and held is not None and held.data_type not in _FLOATS:
            message.graph.initializer.append(held)
            message.graph.initializer[-1].name = node.output[0]
        else:
            others.append(node)
    if len(others) < len(message.graph.node):
        del message.graph.node[:]
        message.graph.node.extend(others)


def _spread(message: onnx.ModelProto) -> None:
    """Operator set 7 as 8, which is the same but that sums and maxima of several take maps and single cells together, as a cast makes them."""
    for opset in (*message.opset_import, *(opset for function in message.functions for opset in function.opset_import)):
        if not opset.domain and opset.version == OLDEST:
            opset.version = OLDEST + 1


def _check_opsets(path: Path, message: onnx.ModelProto) -> None:
    version = next((opset.version for opset in message.opset_import if not opset.domain), None)
    newest = onnx.defs.onnx_opset_version()
    if version is None:
        raise BadInput(f"{path}: names no ONNX operator set")
    if not OLDEST <= version <= newest:
        raise BadInput(
            f"{path}: is written in operator set {version}; {OLDEST} to {newest} are read. Convert it with onnx.version_converter"
        )


def _check_functions(path: Path, message: onnx.ModelProto) -> None:
    """Bound what functions of functions come to, before they are written out."""
    bodies = {(f.domain, f.name): Counter((n.domain, n.op_type) for n in _nodes([f.node])) for f in message.functions}
    sizes: dict[tuple[str, str], int] = {}

    def size(calls: Counter[tuple[str, str]], within: tuple[tuple[str, str], ...]) -> int:
        total = 0
        for called, count in calls.items():
            if called in within:
                raise BadInput(f"{path}: function {called[1]!r} calls itself, which no ONNX model may")
            if called in bodies and called not in sizes:
                sizes[called] = size(bodies[called], (*within, called))
            total += count * sizes.get(called, 1)
        return total

    try:
        total = size(Counter((n.domain, n.op_type) for n in _nodes([message.graph.node])), ())
    except RecursionError:
        raise BadInput(f"{path}: its functions are nested too deeply") from None
    if total > _MOST_NODES:
        raise BadInput(f"{path}: its functions written out are {total} operators, more than {_MOST_NODES} are read")


def _in_order(model: ir.Model) -> bool:
    made: set[int] = set()
    for node in model.graph:
        inner = (value for value in node.inputs if value is not None and value.producer() is not None)
        if any(id(value.producer()) not in made for value in inner):
            return False
        made.add(id(node))
    return True


def _require_ends(model: ir.Model, path: Path) -> None:
    """Refuse an input that is named twice, and an output that is made by nothing."""
    graph = model.graph
    twice = [name for name, count in Counter(value.name for value in graph.inputs).items() if count > 1]
    if twice:
        raise BadInput(f"{path}: names the input {twice[0]!r} more than once; write the file anew")
    for value in graph.outputs:
        if value.producer() is None and not value.is_graph_input() and not value.is_initializer():
            raise BadInput(
                f"{path}: names an output {value.name or ''!r} that no operator makes; write the file anew without it"
            )


def _name_nodes(model: ir.Model) -> None:
    """Give every node a name of its own; those that have one keep it."""
    taken: set[str] = set()
    for i, node in enumerate(model.graph):
        name = node.name or f"{node.op_type}_{i}"
        while name in taken:
            name = f"{name}_{i}"
        node.name = name
        taken.add(name)


def first_line(error: BaseException) -> str:
    """The first line of what a library says, for a message of ours."""
    text = str(error).strip().splitlines()
    return text[0][:200] if text else type(error).__name__
