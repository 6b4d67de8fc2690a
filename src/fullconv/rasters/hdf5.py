"""Arrays in HDF5 files: one of them is the image, the only one or the one that is named. Nothing outside the file is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from fullconv.errors import BadInput
from fullconv.rasters.arrays import axes_of, size_of, window_of
from fullconv.rasters.bounded import require_bounded
from fullconv.rasters.source import About, Level, Span, Unreadable, Window, white_of
from fullconv.system.heaps import is_endless

_MOST = 1 << 16  # objects of a file
_LARGEST = 1 << 30  # bytes of a chunk, which the library makes room for whatever a file holds
_FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32", 4: "szip", 5: "nbit", 6: "scaleoffset", 32000: "lzf"}
_SHOWN = 20


class Hdf5:
    """An array of (H, W), (H, W, C) or (C, H, W)."""

    def __init__(self, path: Path, subdataset: str | None = None) -> None:
        self._file = open_file(path)
        try:
            self._array = _chosen(path, list(arrays(path, self._file)), subdataset)
            _require_modest(path, self._array)
            self._axes = axes_of(self._array.shape, None, str(path))
            height, width, bands = size_of(self._array.shape, self._axes)
            tile = size_of(self._array.chunks or _rows(self._array.shape, self._axes), self._axes)
            self._dtype = np.dtype(self._array.dtype).newbyteorder("=")
            level = Level(height, width, (min(tile[0], height), min(tile[1], width)))
            self.about = About(str(path), bands, self._dtype.name, (level,), white=white_of(self._dtype))
        except BaseException:
            self._file.close()
            raise

    def read(self, level: int, rows: Span, cols: Span, bands: Sequence[int]) -> Window:
        if self._array.chunks:
            at = {"y": rows, "x": cols, "c": (min(bands), max(bands) + 1)}
            _require_bounded(self._array, [at.get(axis, (0, 1)) for axis in self._axes])
        return Window(window_of(self._array, self._axes, rows, cols, bands).astype(self._dtype, copy=False))

    def close(self) -> None:
        self._file.close()


def open_file(path: Path) -> h5py.File:
    """The file, to be read; BadInput of one that the library would read for ever."""
    if is_endless(path):
        raise BadInput(f"{path}: holds text of no end (a damaged heap of HDF5); write it anew")
    return h5py.File(path, "r")


def require_modest(path: Path) -> None:
    """BadInput or Unreadable where a file of HDF5 (NetCDF 4) that another library reads holds chunks that become more than they should."""
    if not h5py.is_hdf5(path):
        return
    with open_file(path) as file:
        file.visititems(lambda _, each: _require_scales(path, file, each))  # netCDF's library opens them all
        for _, array in arrays(path, file):
            _require_modest(path, array)
            if array.chunks:
                _require_bounded(array, [(0, side) for side in array.shape])


def _require_scales(path: Path, file: Any, array: Any) -> None:
    """BadInput where an array's dimensions are none, or have no name: netCDF's library ends the process over them."""
    if not isinstance(array, h5py.Dataset):
        return
    try:
        listed = array.attrs.get("DIMENSION_LIST", ())
        if len(listed) not in (0, array.ndim):  # a text has a length as well
            raise ValueError
        references = [each for of_axis in listed for each in of_axis]
        if not all(isinstance(each, h5py.Reference) for each in references):  # names would be looked up all the same
            raise TypeError
        scales = [file[each] for each in references]
        sound = all(
            each.attrs["CLASS"] == b"DIMENSION_SCALE" and each.name is not None and file[each.name] == each
            for each in scales
        )
    except Exception:  # h5py's, as the file makes them
        sound = False
    if not sound:
        raise BadInput(
            f"{path}: {array.name!r} lies along dimensions that are none; the file is damaged, write it anew"
        )


def _require_modest(path: Path, array: Any) -> None:
    """BadInput where a chunk is larger than any that is read, or is packed by a filter that nobody knows."""
    size = _chunk_bytes(array)
    if size > _LARGEST:
        raise BadInput(
            f"{path}: {array.name!r} is stored in chunks {array.chunks} of {size / 1e6:,.0f} MB; write it with chunks of some megabytes"
        )
    about = array.id.get_create_plist()
    unknown = [number for i in range(about.get_nfilters()) if (number := about.get_filter(i)[0]) not in _FILTERS]
    if unknown:
        raise BadInput(f"{path}: {array.name!r} is packed by the filter {unknown[0]}; write it with gzip")


def _chunk_bytes(array: Any) -> int:
    return int(prod(array.chunks or (1,)) * array.dtype.itemsize)


def _require_bounded(array: Any, spans: Sequence[Span]) -> None:
    """Unreadable where a chunk of these ranges becomes more than it should."""
    kind = array.compression
    if kind not in ("gzip", "lzf"):
        return
    size = _chunk_bytes(array)
    firsts = [range(a // side * side, b, side) for (a, b), side in zip(spans, array.chunks, strict=True)]
    for first in product(*firsts):
        about = array.id.get_chunk_info_by_coord(first)
        if about.byte_offset is None or not about.size:
            continue
        if kind == "gzip":
            require_bounded("zlib", array.id.read_direct_chunk(first)[1], size)
        elif about.size > size:  # of LZF a byte becomes 88 at most, so that this bounds what it becomes
            raise Unreadable(f"a chunk of {about.size:,} bytes is packed, and should be of {size:,} unpacked")


def arrays(path: Path, file: Any) -> Iterator[tuple[str, Any]]:
    """Arrays of numbers by name.

    Raises:
        BadInput: the file leads to another one.
    """
    seen, waiting = set(), [("", file)]
    while waiting:
        name, group = waiting.pop()
        for key in group:
            whole = f"{name}/{key}" if name else key
            link = group.get(key, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise BadInput(
                    f"{path}: {whole!r} is a link to another file ({link.filename!r}), which is not followed"
                )
            if not isinstance(link, h5py.HardLink):
                continue
            item = group[key]
            where = h5py.h5o.get_info(item.id).addr
            if where in seen:
                continue
            seen.add(where)
            if len(seen) > _MOST:
                raise BadInput(f"{path}: holds more than {_MOST:,} objects")
            if isinstance(item, h5py.Group):
                waiting.append((whole, item))
            elif isinstance(item, h5py.Dataset):
                if item.external or item.is_virtual:
                    raise BadInput(f"{path}: the numbers of {whole!r} lie in other files, which are not read")
                if item.shape is not None and len(item.shape) >= 2 and item.dtype.kind in "fiu":
                    yield whole, item


def _chosen(path: Path, found: list[tuple[str, Any]], name: str | None) -> Any:
    by_name = dict(found)
    if name is None and len(found) == 1:
        return found[0][1]
    if name is not None and name.strip("/") in by_name:
        return by_name[name.strip("/")]
    shown = ", ".join(f"{key} {each.shape}" for key, each in found[:_SHOWN]) or "none"
    missing = "" if name is None else f"has no array {name!r}; "
    raise BadInput(f"{path}: {missing}choose an image with --subdataset (subdataset=); it holds {shown}")


def _rows(shape: tuple[int, ...], axes: str) -> tuple[int, ...]:
    """An array that lies in the file as it is, as blocks of a row."""
    return tuple(1 if axis == "y" else side for axis, side in zip(axes, shape, strict=True))
