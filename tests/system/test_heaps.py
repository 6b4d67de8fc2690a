"""HDF5 files that the library would read for ever are known before it opens them."""

from __future__ import annotations

import struct
from pathlib import Path

import h5py
import pytest

import fullconv
from fullconv.errors import BadInput
from fullconv.system.heaps import is_endless


def written(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = "{}" * 1000
        file.attrs["short"] = "text"
    return path


def endless(path: Path) -> Path:
    """The free room behind a heap's last object is zero bytes."""
    data = bytearray(written(path).read_bytes())
    at = start = data.index(b"GCOL") + 16
    while struct.unpack_from("<H", data, at)[0]:
        at += 16 + (struct.unpack_from("<Q", data, at + 8)[0] + 7) // 8 * 8
    assert at > start
    data[at + 8 : at + 16] = bytes(8)
    path.write_bytes(data)
    return path


def test_a_heap_without_end_is_refused(tmp_path: Path) -> None:
    path = endless(tmp_path / "net.h5")
    assert is_endless(path)
    with pytest.raises(BadInput, match=r"net\.h5: damaged, not an HDF5 file of Keras"):
        fullconv.load(path)


def test_files_as_they_are_have_ends(tmp_path: Path) -> None:
    path = written(tmp_path / "net.h5")
    assert not is_endless(path)
    whole = path.read_bytes()
    for short in (b"", b"GCOL\x01\0\0\0", whole[: whole.index(b"GCOL") + 12], whole[: whole.index(b"GCOL") + 30]):
        path.write_bytes(short)
        assert not is_endless(path)
