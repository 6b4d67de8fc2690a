"""Chunks of a Zarr image decode to what its metadata says: one that would become more is known before it is decoded.

zarr's codecs make room for whatever a chunk decodes to, gigabytes from a few kilobytes. Here each of them first asks how much that is: by
what the format states, where it states it; by decoding piece by piece and keeping none, where it does not.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

import zarr
from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec
from zarr.registry import register_codec

from fullconv.errors import BadInput
from fullconv.rasters.source import Unreadable

_SLACK, _TIMES = 1 << 20, 2  # what a chunk may decode to beside what it should be: checksums, filters that widen
_SURELY = 16 << 20  # bytes that are decoded without a look
_PIECE = 1 << 20
_DEFLATE = 1032  # the most that deflate makes of a byte
_BLOCK = 128 << 10  # the most that a block of zstd makes
_ZSTD, _SKIPPED = 0xFD2FB528, 0x184D2A50


def require_bounded(kind: str, data: bytes, expected: int) -> None:
    """Unreadable where data of a codec decodes to much more than so many bytes.

    Args:
        kind: the codec's name.
    """
    most = max(_SURELY, _TIMES * expected + _SLACK)
    measure = _MEASURES.get(kind)
    if measure is None:
        raise BadInput(
            f"chunks are packed by {kind}, of which nobody knows how large they become; write it with zstd, blosc or gzip"
        )
    if measure(data, most) > most:
        raise Unreadable(f"a chunk of {len(data):,} bytes decodes to more than {most:,}, and should to {expected:,}")


def _of_streams(new: Callable[[], Any], ratio: int) -> Callable[[bytes, int], int]:
    def measure(data: bytes, most: int) -> int:
        if len(data) * ratio <= most:
            return 0
        size, rest = 0, data
        while rest and size <= most:  # streams may follow one another
            stream, part = new(), rest
            while not stream.eof and size <= most:
                made = stream.decompress(part, _PIECE)
                part = getattr(stream, "unconsumed_tail", b"")
                size += len(made)
                if not made and not part and getattr(stream, "needs_input", True):
                    return size  # truncated: the codec says so
            rest = stream.unused_data
        return size

    return measure


def _of_zstd(data: bytes, most: int) -> int:
    """The most that its frames can become: what a frame states, or its blocks can hold."""
    at = size = 0
    while at + 6 <= len(data) and size <= most:
        (magic,) = struct.unpack_from("<I", data, at)
        if magic & 0xFFFFFFF0 == _SKIPPED:
            at += 8 + int.from_bytes(data[at + 4 : at + 8], "little")
            continue
        if magic != _ZSTD:
            break
        about = data[at + 4]
        single = about >> 5 & 1
        at += 5 + (not single) + (0, 1, 2, 4)[about & 3]
        wide = (single, 2, 4, 8)[about >> 6]
        stated = int.from_bytes(data[at : at + wide], "little") + 256 * (wide == 2) if wide else None
        at, blocks, last = at + wide, 0, False
        while not last and at + 3 <= len(data) and blocks <= most:
            head = int.from_bytes(data[at : at + 3], "little")
            last, kind, length = bool(head & 1), head >> 1 & 3, head >> 3
            blocks += _BLOCK if kind == 2 else length
            at += 3 + (1 if kind == 1 else length)
        at += 4 * (about >> 2 & 1)
        size += max(stated, 0) if stated is not None else blocks
    return size


def _of_header(at: int) -> Callable[[bytes, int], int]:
    return lambda data, most: int.from_bytes(data[at : at + 4], "little")


_MEASURES: dict[str, Callable[[bytes, int], int]] = {
    "gzip": _of_streams(lambda: zlib.decompressobj(31), _DEFLATE),
    "zlib": _of_streams(zlib.decompressobj, _DEFLATE),
    "bz2": _of_streams(bz2.BZ2Decompressor, 1 << 20),
    "lzma": _of_streams(lambda: lzma.LZMADecompressor(memlimit=256 << 20), 1 << 20),
    "zstd": _of_zstd,
    "blosc": _of_header(4),
    "lz4": _of_header(0),
}


class _Bounded:
    """In front of a codec of zarr's: the chunk is measured first."""

    _kind = ""

    async def _decode_single(self, chunk_bytes: Any, chunk_spec: Any) -> Any:
        self._measure(chunk_bytes, chunk_spec)
        return await super()._decode_single(chunk_bytes, chunk_spec)  # type: ignore[misc]

    def _decode_sync(self, chunk_bytes: Any, chunk_spec: Any) -> Any:  # newer versions call this one
        self._measure(chunk_bytes, chunk_spec)
        return super()._decode_sync(chunk_bytes, chunk_spec)  # type: ignore[misc]

    def _measure(self, data: Any, spec: Any) -> None:
        require_bounded(self._kind, data.to_bytes(), prod(spec.shape) * _item(spec.dtype))


class Gzip(_Bounded, GzipCodec):
    """gzip."""

    _kind = "gzip"


class Zstd(_Bounded, ZstdCodec):
    """zstd."""

    _kind = "zstd"


class Blosc(_Bounded, BloscCodec):
    """Blosc."""

    _kind = "blosc"


_OWN = {"gzip": Gzip, "zstd": Zstd, "blosc": Blosc}


@contextmanager
def bounded() -> Iterator[None]:
    """While it lasts, arrays of Zarr v3 are opened with codecs that measure."""
    for name, codec in _OWN.items():
        register_codec(name, codec)
    with zarr.config.set(
        {f"codecs.{name}": f"{codec.__module__}.{codec.__qualname__}" for name, codec in _OWN.items()}
    ):
        yield


def bind(array: Any) -> None:
    """Let the codecs of an open array measure, those that are numcodecs' own.

    Raises:
        BadInput: one of them cannot be measured.
    """
    about = array.metadata
    compressor = getattr(about, "compressor", None)
    if compressor is not None:
        kind, decode, size = compressor.codec_id, compressor.decode, prod(array.chunks) * array.dtype.itemsize
        require_bounded(kind, b"", size)

        def measured(data: Any, out: Any = None) -> Any:
            require_bounded(kind, bytes(data), size)
            return decode(data, out)

        compressor.decode = measured
    for codec in _all(getattr(about, "codecs", None) or ()):
        name = str(codec.to_dict().get("name", ""))
        if name.startswith("numcodecs.") and name.removeprefix("numcodecs.") in (
            *_MEASURES,
            "snappy",
            "lzf",
            "zfpy",
            "pcodec",
        ):
            raise BadInput(f"chunks are packed by {name}; write it with zstd, blosc or gzip as Zarr v3 has them")


def _all(codecs: Any) -> Iterator[Any]:
    for codec in codecs:
        yield codec
        yield from _all(getattr(codec, "codecs", None) or ())


def _item(kind: Any) -> int:
    size = getattr(kind, "item_size", None) or getattr(kind, "itemsize", None)
    return int(size or 16)
