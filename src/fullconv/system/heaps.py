"""HDF5 files whose text never ends: a heap of which an object takes no room is read by the library for ever.

A global heap ("GCOL") holds objects one behind the other, the last of them the free room, which counts its own header. The library goes on
by an object's size and does not look whether there is one.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

_MARK = b"GCOL\x01\0\0\0"  # with the version, and bytes that are always zero
_HEADER = 16  # bytes of a heap's header, and of an object's


def is_endless(path: Path) -> bool:
    """Whether a heap of an HDF5 file has an object that takes no room."""
    if not path.stat().st_size:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        start = data.find(_MARK)
        while start >= 0:
            if start + _HEADER <= len(data) and _stays(data, start):
                return True
            start = data.find(_MARK, start + 1)
    return False


def _stays(data: mmap.mmap, start: int) -> bool:
    (size,) = struct.unpack_from("<Q", data, start + 8)
    end, at = min(start + size, len(data)), start + _HEADER
    while at + _HEADER <= end:
        number, _, _, length = struct.unpack_from("<HHIQ", data, at)
        room = length if number == 0 else _HEADER + (length + 7) // 8 * 8
        if room % 2**64 == 0:
            return True
        at += room
    return False
