"""The numbers that an ONNX file holds or points to, checked before anything is made of them.

Every tensor must hold as much as its dimensions say, and external data must be a regular file in the model's folder that
reaches as far as is said. What nodes hold outside the file is read here; what initializers hold is mapped when it is needed.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from math import prod
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from fullconv.errors import BadInput
from fullconv.system.guard import reads, require_file

_BITS = {TensorProto.UINT4: 4, TensorProto.INT4: 4, getattr(TensorProto, "FLOAT4E2M1", -1): 4}
_BITS |= {getattr(TensorProto, "UINT2", -1): 2, getattr(TensorProto, "INT2", -1): 2}

_SIX_BITS = {getattr(TensorProto, name, -1) for name in ("FLOAT6E2M3", "FLOAT6E3M2")}  # which no engine here knows


def check_tensors(message: onnx.ModelProto, path: Path, folder: Path | None) -> None:
    """Raise BadInput naming the first tensor that is not what it says; external data of nodes is taken into the message.

    ``folder`` is where external data may lie; None refuses all of it.
    """
    for tensor in message.graph.initializer:
        _check(tensor, path, folder)
    parts = [message.graph.node, *(function.node for function in message.functions)]
    for tensor in (tensor for nodes in parts for node in nodes for tensor in _of_node(node)):
        _check(tensor, path, folder)
        if tensor.data_location == TensorProto.EXTERNAL:
            _take_in(tensor, path, folder)
    for sparse in message.graph.sparse_initializer:
        raise BadInput(f"{path}: {sparse.values.name!r} is a sparse initializer; write it out as a plain one")


def _of_node(node: onnx.NodeProto) -> Iterator[TensorProto]:
    for attribute in node.attribute:
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        for graph in (attribute.g, *attribute.graphs):
            yield from graph.initializer
            for inner in graph.node:
                yield from _of_node(inner)


def _check(tensor: TensorProto, path: Path, folder: Path | None) -> None:
    if any(size < 0 for size in tensor.dims):
        raise BadInput(f"{path}: {tensor.name!r} has the dimensions {list(tensor.dims)}")
    if tensor.HasField("segment"):
        raise BadInput(
            f"{path}: {tensor.name!r} is one segment of a tensor, which no engine puts together; write it out whole"
        )
    if tensor.data_type == TensorProto.STRING or tensor.data_type in _SIX_BITS:
        return
    try:
        bits = _BITS.get(tensor.data_type) or 8 * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    except Exception:  # a number that stands for no type
        raise BadInput(
            f"{path}: {tensor.name!r} holds numbers of type {tensor.data_type}, which ONNX does not know"
        ) from None
    want = (prod(tensor.dims) * bits + 7) // 8
    if tensor.data_location == TensorProto.EXTERNAL:
        _check_external(tensor, path, folder, want)
        return
    if tensor.HasField("raw_data"):
        have = len(tensor.raw_data)
    else:  # each number in a field of its own; 16 bits and less share one of 32
        fields = (tensor.float_data, tensor.int32_data, tensor.int64_data, tensor.double_data, tensor.uint64_data)
        pairs = 2 if tensor.data_type in (TensorProto.COMPLEX64, TensorProto.COMPLEX128) else 1
        count = sum(len(each) for each in fields)
        have = (
            want if count == (prod(tensor.dims) * pairs if bits >= 8 else (prod(tensor.dims) * bits + 7) // 8) else -1
        )
    if have != want:
        raise BadInput(
            f"{path}: {tensor.name!r} of {'×'.join(map(str, tensor.dims))} does not hold the numbers that it should"
        )


def _file_of(tensor: TensorProto, path: Path, folder: Path | None) -> tuple[Path, int, int | None]:
    """The file of a tensor's numbers, where they begin and how many bytes they are."""
    said = {entry.key: entry.value for entry in tensor.external_data}
    location = said.get("location", "")
    if folder is None:
        raise BadInput(
            f"{path}: the data of {tensor.name!r} lies outside it; load it from its file, or with its data inside"
        )
    folder = folder.resolve()
    try:
        file = (folder / location).resolve()
        offset, length = int(said.get("offset") or 0), said.get("length")
        size = None if not length else int(length)
    except (ValueError, OSError):
        raise BadInput(
            f"{path}: the data of {tensor.name!r} lies at {location!r}, which is no place in a file"
        ) from None
    if not location or not file.is_relative_to(folder) or file == folder:
        raise BadInput(f"{path}: the data of {tensor.name!r} points outside the model's folder ({location!r}); refused")
    return file, offset, size


def _check_external(tensor: TensorProto, path: Path, folder: Path | None, want: int) -> None:
    file, offset, size = _file_of(tensor, path, folder)
    reads(file)
    try:
        state = file.stat()
    except OSError:
        raise BadInput(
            f"{path}: the data of {tensor.name!r} lies in {file.name}, which is missing; put it beside the model"
        ) from None
    if not stat.S_ISREG(state.st_mode):
        raise BadInput(f"{path}: the data of {tensor.name!r} lies in {file.name}, which is no regular file")
    require_file(file, "weights")
    if offset < 0 or (size is not None and size != want) or offset + want > state.st_size:
        raise BadInput(
            f"{path}: the data of {tensor.name!r} should be {want} bytes from {offset} on in {file.name}, which has {state.st_size}"
            + ("" if size in (None, want) else f" and of which {size} are named")
        )


def _take_in(tensor: TensorProto, path: Path, folder: Path | None) -> None:
    bits = _BITS.get(tensor.data_type) or 8 * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    file, offset, _ = _file_of(tensor, path, folder)
    with file.open("rb") as data:
        data.seek(offset)
        tensor.raw_data = data.read((prod(tensor.dims) * bits + 7) // 8)
    tensor.data_location = TensorProto.DEFAULT
    del tensor.external_data[:]
