"""Opening ONNX files that may come from anyone."""

from __future__ import annotations

import logging
from pathlib import Path

import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from fullconv.errors import BadInput
from fullconv.system.guard import reads

OLDEST = 7
DOMAINS = ("", "ai.onnx")


def open_model(path: Path) -> ir.Model:
    """The model, functions inlined, initializers no longer among the inputs.

    Raises:
        BadInput: truncated or damaged, an operator set or domain that is not known, external data that is missing or
            lies outside the model's folder.
    """
    logging.getLogger("onnx_ir").setLevel(logging.ERROR)  # what it warns of, the errors below tell
    try:
        model = ir.load(path)
    except Exception as error:  # protobuf's, onnx_ir's and Python's own, as the file makes them
        raise BadInput(f"{path}: truncated or damaged, not a readable ONNX file ({first_line(error)})") from None
    if not model.graph.num_nodes():
        raise BadInput(f"{path}: holds no operators, so it is no ONNX model")
    _check_opsets(path, model)
    _check_external(path, model)
    try:
        model = common.InlinePass()(model).model
        model = common.RemoveInitializersFromInputsPass()(model).model
    except Exception as error:  # the passes raise what the file makes them raise
        raise BadInput(f"{path}: not a valid ONNX model ({first_line(error)})") from None
    model.ir_version = max(model.ir_version, 4)  # the first in which initializers need not be inputs
    for node in model.graph:
        if node.domain not in DOMAINS:
            raise BadInput(
                f"{path}: operator {node.op_type!r} of domain {node.domain!r} (node {node.name!r}) is not ONNX's own"
            )
    _name_nodes(model)
    return model


def _check_opsets(path: Path, model: ir.Model) -> None:
    version, newest = model.opset_imports.get("", model.opset_imports.get("ai.onnx")), onnx.defs.onnx_opset_version()
    if version is None:
        raise BadInput(f"{path}: names no ONNX operator set")
    if not OLDEST <= version <= newest:
        raise BadInput(
            f"{path}: is written in operator set {version}; {OLDEST} to {newest} are read. Convert it with onnx.version_converter"
        )


def _check_external(path: Path, model: ir.Model) -> None:
    folder = path.parent.resolve()
    for name, value in model.graph.initializers.items():
        tensor = value.const_value
        if isinstance(tensor, ir.ExternalTensor):
            place = (folder / str(tensor.location)).resolve()
            if not place.is_relative_to(folder):
                raise BadInput(
                    f"{path}: the data of {name!r} points outside the model's folder ({tensor.location}); refused"
                )
            reads(place)
            if not place.exists():
                raise BadInput(
                    f"{path}: the data of {name!r} lies in {place.name}, which is missing; put it beside the model"
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
