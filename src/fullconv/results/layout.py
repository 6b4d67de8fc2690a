"""What arrays the store of a map has, and whether those of a store are these: files come from anyone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fullconv.results.encoding import fill_value
from fullconv.results.levels import levels_of, name_of
from fullconv.results.record import Record
from fullconv.results.viewers import coordinates, for_viewers

NO_CLASS = 65535
CHUNK_BYTES = 4 << 20
_MOST_BYTES = 64 << 20  # of a chunk that is read and has planes of several classes
_MOST_CHUNK = 1 << 30  # of any
_KEYS = {"name": "default", "configuration": {"separator": "/"}}
LEAST = 256  # cells a side below which no coarser level is made


def root_of(record: Record) -> bytes:
    """The group's own file, which says what a store is of."""
    import zarr
    from zarr.storage import MemoryStore

    held: dict[str, Any] = {}
    zarr.create_group(MemoryStore(held), zarr_format=3, attributes=_attributes(record))
    return bytes(held["zarr.json"].to_bytes())


def files_of(record: Record) -> dict[str, bytes]:
    """An empty store of a record: every file that says what it is, by key."""
    import zarr
    from zarr.storage import MemoryStore

    held: dict[str, Any] = {}
    grid, chunk, arrays = record.stored_grid, record.tiles.chunk, record.arrays
    group = zarr.create_group(MemoryStore(held), zarr_format=3, attributes=_attributes(record))
    for level, (rows, cols) in enumerate(levels_of(grid, LEAST)):
        sides = tuple(min(a, b) for a, b in zip(chunk, (rows, cols), strict=True))
        size = np.dtype(record.stored).itemsize
        planes = max(1, min(record.classes, CHUNK_BYTES // (size * sides[0] * sides[1])))
        group.create_array(
            f"{arrays}{name_of(level)}", shape=(record.classes, rows, cols), chunks=(planes, *sides), dtype=record.stored,
            fill_value=fill_value(record.stored), dimension_names=("c", "y", "x"), compressors=_compressor(),
        )  # fmt: skip
    for name, (kind, fill) in beside(record).items():
        group.create_array(
            f"{arrays}{name}", shape=(grid.rows, grid.cols), chunks=chunk, dtype=kind, fill_value=fill,
            dimension_names=("y", "x"), compressors=_compressor(),
        )  # fmt: skip
    for axis, (values, about) in coordinates(record).items():
        group.create_array(
            f"{arrays}{axis}", data=values, chunks=(len(values),), dimension_names=(axis,), compressors=_compressor(),
            attributes=about,
        )  # fmt: skip
    return {key: held[key].to_bytes() for key in sorted(held)}


def beside(record: Record) -> dict[str, tuple[str, Any]]:
    """Arrays of one number a cell that a record has beside its scores: type and fill value by name."""
    won = {"top1": ("uint16", NO_CLASS)} if record.keep == "top1" else {}
    return won | ({} if record.statement is None else {"confirmed": ("bool", False)})


def required(group: Any, name: str, record: Record, shape: tuple[int, ...]) -> Any:
    """An array of the store, as a record says that it is: files come from anyone, and one other word gives other scores."""
    import zarr

    from fullconv.results.bounded import Bounded

    kind, fill = beside(record).get(name, (record.stored, fill_value(record.stored)))
    name = f"{record.arrays}{name}"
    found = group[name]
    if not isinstance(found, zarr.Array) or found.shape != shape or found.dtype != np.dtype(kind):
        raise ValueError(f"{name} is no array of {shape} {kind}")
    codecs: list[Any] = [codec.to_dict() for codec in found.metadata.codecs]  # type: ignore[union-attr]
    names = [codec["name"] for codec in codecs]
    if names != ["bytes", "zstd"] or dict(codecs[0].get("configuration", {})).get("endian", "little") != "little":
        raise ValueError(f"{name} is coded by {', '.join(map(str, names))}")
    sides = tuple(min(a, b) for a, b in zip(record.tiles.chunk, shape[-2:], strict=True))
    if found.chunks[-2:] != sides or not np.array_equal(found.fill_value, np.array(fill, kind), equal_nan=True):
        raise ValueError(f"{name} has chunks of {found.chunks} cells, filled with {found.fill_value}")
    size = int(np.prod(found.chunks, dtype=object)) * found.dtype.itemsize
    if size > max(_MOST_BYTES, found.dtype.itemsize * sides[0] * sides[1]) or size > _MOST_CHUNK:
        raise ValueError(f"{name} has chunks of {size} bytes, more than one that fullconv writes")
    if found.metadata.chunk_key_encoding.to_dict() != _KEYS:  # type: ignore[union-attr]
        raise ValueError(f"{name} names its chunks in another way")
    store: Any = found.store
    if isinstance(store, Bounded):
        store.most = max(store.most, size)
    return found


def _attributes(record: Record) -> dict[str, Any]:
    return {"ome": for_viewers(record, LEAST), "fullconv": _plain(record.to_json())}


def _plain(value: Any) -> Any:
    """Tuples as lists, so that what is read back equals what was written."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, tuple | list) else value


def _compressor() -> Any:
    from zarr.codecs import ZstdCodec

    # The same bytes for the same values, whatever the threads; with a checksum, so that damage is no other score.
    return ZstdCodec(level=1, checksum=True)
