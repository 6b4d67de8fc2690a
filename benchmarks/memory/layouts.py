"""Images of any size in each layout that a reader treats in its own way, all grey, in files that take little room.

Pixels are of 1 µm where the layout can say so. All but ``npy`` and ``strip`` are packed, so that what decoding takes is measured too.
"""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr

from benchmarks.scene import sparse_npy

_TILE = 512
_CHUNK = 2048
_ROWS = 256  # of a strip, where there are many
_PLACED: dict[str, Any] = {
    "bigtiff": True,
    "resolution": (10_000, 10_000),
    "resolutionunit": "CENTIMETER",
    "dtype": np.uint8,
}


def _npy(path: Path, side: int) -> Path:
    return sparse_npy(path.with_suffix(".npy"), side, side)


def _strip(path: Path, side: int) -> Path:
    """One strip, not packed: a hole."""
    path = path.with_suffix(".tif")
    tifffile.imwrite(path, shape=(side, side), rowsperstrip=side, **_PLACED)
    return path


def _strips(path: Path, side: int) -> Path:
    """Strips of many rows, packed."""
    path = path.with_suffix(".tif")
    full, last = (_packed(rows * side) for rows in (_ROWS, side % _ROWS or _ROWS))
    count = -(-side // _ROWS)
    parts = (last if i == count - 1 else full for i in range(count))
    tifffile.imwrite(path, parts, shape=(side, side), rowsperstrip=_ROWS, compression="zlib", **_PLACED)
    return path


def _tile(path: Path, side: int) -> Path:
    path = path.with_suffix(".tif")
    packed, count = _packed(_TILE * _TILE), (-(-side // _TILE)) ** 2

    def parts() -> Iterator[bytes]:
        for _ in range(count):
            yield packed

    tifffile.imwrite(path, parts(), shape=(side, side), tile=(_TILE, _TILE), compression="zlib", **_PLACED)
    return path


def _zarr(path: Path, side: int) -> Path:
    """One level of OME-Zarr; every chunk is there, and is the first one's file by another name."""
    path = path.with_suffix(".zarr")
    shutil.rmtree(path, ignore_errors=True)
    group = zarr.open_group(path, mode="w")
    array = group.create_array("0", shape=(side, side), chunks=(_CHUNK, _CHUNK), dtype="uint8")
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    scale = [{"type": "scale", "scale": [1.0, 1.0]}]
    levels = [{"path": "0", "coordinateTransformations": scale}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": levels}]}
    array[:_CHUNK, :_CHUNK] = 128
    first = path / "0" / "c" / "0" / "0"
    count = -(-side // _CHUNK)
    for i in range(count):
        (path / "0" / "c" / str(i)).mkdir(exist_ok=True)
        for j in range(count):
            other = path / "0" / "c" / str(i) / str(j)
            if other != first:
                other.hardlink_to(first)
    return path


def _packed(count: int) -> bytes:
    made = zlib.compressobj(1)
    piece = bytes(1 << 20)
    parts = [made.compress(piece[: min(len(piece), count - at)]) for at in range(0, count, len(piece))]
    return b"".join([*parts, made.flush()])


LAYOUTS: dict[str, Callable[[Path, int], Path]] = {
    "npy": _npy, "strip": _strip, "strips": _strips, "tiled": _tile, "zarr": _zarr,
}  # fmt: skip
