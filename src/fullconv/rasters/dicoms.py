"""Slides in DICOM are whole before libdicom reads them: it follows a table of frames wherever that points, out of the file's memory too."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

from fullconv.errors import BadInput

_LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"UC", b"UN", b"UR", b"UT", b"SV", b"UV")
_PIXELS, _ITEM, _ITEM_END, _SEQUENCE_END = 0x7FE00010, 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_OPEN = 0xFFFFFFFF  # a length that is not stated
_DEEP, _ELEMENTS, _FRAMES, _FILES = 16, 1 << 20, 1 << 24, 1 << 12


def require_whole(path: Path) -> None:
    """BadInput where a file, or one beside it that may be of the same slide, has frames where its table does not say they are."""
    beside = sorted(path.parent.iterdir())[:_FILES]
    for each in (path, *(other for other in beside if other != path and other.is_file())):
        with each.open("rb") as file:
            if file.read(132)[128:] != b"DICM":
                continue
            try:
                _Walk(file).whole()
            except (ValueError, struct.error) as error:
                raise BadInput(f"{each}: cannot be opened as a slide in DICOM, or is truncated ({error})") from None


class _Walk:
    """Over the elements of one file (PS3.5, 7.1), explicit and little endian, as slides are written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._size, self._count = file, os.fstat(file.fileno()).st_size, 0

    def whole(self) -> None:
        while self._file.tell() < self._size:
            self._element(0)

    def _element(self, deep: int) -> int:
        self._count += 1
        if deep > _DEEP or self._count > _ELEMENTS:
            raise ValueError("too many elements within each other")
        tag, length = self._tag(), 0
        if tag in (_ITEM_END, _SEQUENCE_END):
            self._numbers("<I")
            return tag
        kind = self._exactly(2)
        if not kind.isalpha() or not kind.isupper():
            raise ValueError(f"an element of the kind {kind!r}")
        length = self._numbers("<2xI") if kind in _LONG else self._numbers("<H")
        if tag == _PIXELS and length == _OPEN:
            self._frames()
        elif kind == b"SQ" or length == _OPEN:
            self._items(length, deep)
        else:
            self._skip(length)
        return tag

    def _items(self, length: int, deep: int) -> None:
        end = self._end(length)
        while self._file.tell() < end:
            tag, size = self._tag(), self._numbers("<I")
            if tag == _SEQUENCE_END and length == _OPEN:
                return
            if tag != _ITEM:
                raise ValueError("a sequence holds what is no item")
            last = self._end(size)
            while self._file.tell() < last:
                if self._element(deep + 1) == _ITEM_END:
                    break
            if size != _OPEN and self._file.tell() != last:
                raise ValueError("an item is not as long as it says")

    def _frames(self) -> None:
        """Packed frames: a table of where they begin, and pieces."""
        if self._tag() != _ITEM:
            raise ValueError("packed frames without a table")
        length = self._numbers("<I")
        if length % 4 or length > 4 * _FRAMES:
            raise ValueError("a table of frames that is none")
        table = set(struct.unpack(f"<{length // 4}I", self._exactly(length)))
        first, begin = self._file.tell(), set()
        while (tag := self._tag()) == _ITEM:
            begin.add(self._file.tell() - 4 - first)
            self._skip(self._numbers("<I"))
        if tag != _SEQUENCE_END or not table <= begin:
            raise ValueError("its frames do not lie where its table says")
        self._numbers("<I")

    def _tag(self) -> int:
        group, element = struct.unpack("<HH", self._exactly(4))
        return int(group << 16 | element)

    def _numbers(self, form: str) -> int:
        return int(struct.unpack(form, self._exactly(struct.calcsize(form)))[0])

    def _end(self, length: int) -> int:
        end = self._size if length == _OPEN else self._file.tell() + length
        if end > self._size:
            raise ValueError("it ends before its elements do")
        return end

    def _skip(self, length: int) -> None:
        self._file.seek(self._end(length if length != _OPEN else self._size))

    def _exactly(self, count: int) -> bytes:
        data = self._file.read(count)
        if len(data) != count:
            raise ValueError("it ends before its elements do")
        return data
