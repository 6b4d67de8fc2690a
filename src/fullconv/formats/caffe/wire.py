"""Binary Caffe files without a copy of their weights.

A caffemodel is a NetParameter whose bulk lies in BlobProto.data, packed floats. Packed floats are stored
as a length and raw little-endian bytes, just like ``bytes``: the scanner walks the few messages around
them, takes each run of floats as a view of the file's buffer, and hands the rest (the *skeleton*, some
kilobytes) to protobuf. Writing goes the same way back.

Fields: NetParameter.layer = 100 (V2), .layers = 2 (V1); LayerParameter.blobs = 7; V1LayerParameter.blobs = 6,
.layer = 1 (V0); V0LayerParameter.blobs = 50; BlobProto.data = 5, .double_data = 8.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from fullconv.errors import BadInput
from fullconv.formats.caffe.proto import caffe_pb2 as pb
from fullconv.formats.spelt import as_text
from fullconv.system.guard import MARK

Array = npt.NDArray[Any]

_DATA: dict[int, np.dtype[Any]] = {5: np.dtype("<f4"), 8: np.dtype("<f8")}
_BLOBS: dict[str, dict[int, str]] = {
    "net": {100: "layer", 2: "layers"},
    "layer": {7: "blob"},
    "layers": {6: "blob", 1: "v0"},
    "v0": {50: "blob"},
    "blob": {},
}
_MARKED = 1000
_MAX_MESSAGES = 1_000_000  # far above any net; a file of empty messages must not fill the memory


class _Damaged(ValueError):
    """The bytes are no protobuf message."""


@dataclass(frozen=True, slots=True)
class SavedBlob:
    """One learned array as the file has it: its values (flat), its shape, and whether that is the old 4-D form."""

    values: Array
    shape: tuple[int, ...]
    legacy: bool = False


@dataclass(frozen=True, slots=True)
class SavedLayer:
    """A layer of a weights file.

    Attributes:
        bottoms, tops: as the file has them; HDF5 files have none.
        message: V2 binary only; keeps what fullconv does not interpret.
    """

    name: str
    blobs: tuple[SavedBlob, ...]
    bottoms: tuple[str, ...] = ()
    tops: tuple[str, ...] = ()
    message: Any = None


def read_caffemodel(path: Path) -> list[SavedLayer]:
    """Layers of a binary Caffe file, in its order, their values as views of one buffer."""
    buffer = np.fromfile(path, np.uint8)
    head = bytes(buffer[:64])
    if head.startswith(b"\x89HDF"):
        raise BadInput(f"{path}: this is an HDF5 file; name it .h5 so that it is read as one")
    found: list[Array | None] = []
    try:
        skeleton = _scan(buffer.data, 0, len(buffer), "net", found)
        net = pb.NetParameter()
        net.ParseFromString(skeleton)
    except (_Damaged, DecodeError) as error:
        text = all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head)
        if text and head:
            raise BadInput(
                f"{path}: this is a text file, not binary weights; give the .caffemodel as weights"
            ) from None
        raise BadInput(
            f"{path}: truncated or damaged, not a readable caffemodel ({error}); copy or download the file again"
        ) from None
    as_text(net)
    if not net.layer and not net.layers:
        raise BadInput(f"{path}: holds no layers, so it is no caffemodel (a mean file or a solver state, perhaps)")
    layers = iter(found)
    return [*_saved(path, net.layers, layers)] if net.layers else [*_saved(path, net.layer, layers)]


def _saved(path: Path, messages: Sequence[Any], found: Iterator[Array | None]) -> Iterator[SavedLayer]:
    for message in messages:
        inner = message.layer if isinstance(message, pb.V1LayerParameter) and message.HasField("layer") else message
        blobs = tuple(saved_blob(blob, next(found), f"{path}: layer {inner.name!r}") for blob in inner.blobs)
        keep = None
        if isinstance(message, pb.LayerParameter):
            keep = pb.LayerParameter()
            keep.CopyFrom(message)
            del keep.blobs[:]
        yield SavedLayer(inner.name, blobs, tuple(message.bottom), tuple(message.top), keep)


def saved_blob(blob: Any, values: Array | None, where: str) -> SavedBlob:
    """A BlobProto as a SavedBlob; ``values`` where they were taken out of it."""
    if values is None:
        values = np.array(
            blob.double_data if len(blob.double_data) else blob.data,
            np.float64 if len(blob.double_data) else np.float32,
        )
    legacy = not blob.HasField("shape")
    shape = (blob.num, blob.channels, blob.height, blob.width) if legacy else tuple(blob.shape.dim)
    if legacy and not any(blob.HasField(name) for name in ("num", "channels", "height", "width")):
        shape, legacy = (values.size,), False
    count = 1
    for dim in shape:
        if dim < 0:
            raise BadInput(f"{where}: a blob has the shape {shape}; the file is damaged")
        count *= dim
    if count != values.size:
        raise BadInput(
            f"{where}: a blob of shape {shape} holds {values.size} values, not {count}; the file is truncated or damaged"
        )
    return SavedBlob(values, shape, legacy)


def _varint(buffer: memoryview, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end:
        byte = buffer[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise _Damaged(f"a number of more than 64 bits at byte {at}")
    raise _Damaged(f"it ends inside a number at byte {at}")


def _fields(buffer: memoryview, at: int, end: int) -> Iterator[tuple[int, int, int, int, int]]:
    """(field number, wire type, start of tag, start of payload, end) of each field."""
    while at < end:
        start = at
        tag, at = _varint(buffer, at, end)
        number, wire = tag >> 3, tag & 7
        if wire == 2:
            length, at = _varint(buffer, at, end)
        elif wire == 0:
            length = _varint(buffer, at, end)[1] - at
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise _Damaged(f"wire type {wire} at byte {start}")
        if number == 0 or at + length > end:
            raise _Damaged(f"a field of {length} bytes at byte {start} runs past byte {end}")
        yield number, wire, start, at, at + length
        at += length


def _scan(buffer: memoryview, at: int, end: int, kind: str, found: list[Array | None]) -> bytes:
    """The message without its blobs' values, which are appended to ``found`` (None: left in the message)."""
    out: list[bytes] = []
    descend = _BLOBS[kind]
    if kind == "blob":
        return _scan_blob(buffer, at, end, found)
    for number, wire, start, payload, stop in _fields(buffer, at, end):
        if number in descend and wire == 2:
            body = _scan(buffer, payload, stop, descend[number], found)
            out.append(_tag(number, 2) + _number(len(body)) + body)
        else:
            out.append(bytes(buffer[start:stop]))
        if len(out) > _MAX_MESSAGES:
            raise _Damaged(f"more than {_MAX_MESSAGES} fields in one message")
    return b"".join(out)


def _scan_blob(buffer: memoryview, at: int, end: int, found: list[Array | None]) -> bytes:
    fields = list(_fields(buffer, at, end))
    data = [field for field in fields if field[0] in _DATA]
    if len(data) != 1 or data[0][1] != 2:  # no values, or an old writer's floats one by one: protobuf reads those
        found.append(None)
        return bytes(buffer[at:end])
    number, _, start, payload, stop = data[0]
    kind = _DATA[number]
    if (stop - payload) % kind.itemsize:
        raise _Damaged(f"{stop - payload} bytes of values at byte {payload} are no whole {kind} numbers")
    rest = bytes(buffer[at:start]) + bytes(buffer[stop:end])
    # Moved back within the buffer to where numbers of this size may lie, over the tag that was read: engines then take them as they are.
    slip = payload % kind.itemsize
    if slip:
        buffer[payload - slip : stop - slip] = buffer[payload:stop]
    found.append(np.frombuffer(buffer[payload - slip : stop - slip], kind))
    return rest


# Writing ------------------------------------------------------------------------------------------


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _tag(number: int, wire: int) -> bytes:
    return _number(number << 3 | wire)


def write_caffemodel(file: BinaryIO, net: Any, layers: Sequence[tuple[Any, Sequence[Array]]]) -> None:
    """Write a V2 NetParameter: ``net`` without layers, then each layer message with its arrays.

    Values go from their arrays to the file directly; double arrays stay double.
    """
    file.write(net.SerializeToString())
    mark = MARK.encode()  # a field that no schema has: readers of protobuf pass it over
    file.write(_tag(_MARKED, 2) + _number(len(mark)) + mark)
    for message, arrays in layers:
        body = message.SerializeToString()
        heads = [_blob_head(array) for array in arrays]
        sizes = [len(head) + array.nbytes for head, array in zip(heads, arrays, strict=True)]
        total = len(body) + sum(len(_tag(7, 2)) + len(_number(size)) + size for size in sizes)
        file.write(_tag(100, 2) + _number(total) + body)
        for head, size, array in zip(heads, sizes, arrays, strict=True):
            file.write(_tag(7, 2) + _number(size) + head)
            file.write(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)


def _blob_head(array: Array) -> bytes:
    """A BlobProto up to its values: the shape, then the tag and length of the packed run."""
    shape = pb.BlobProto(shape=pb.BlobShape(dim=array.shape)).SerializeToString()
    number = 8 if array.dtype == np.float64 else 5
    return bytes(shape) + _tag(number, 2) + _number(array.nbytes)
