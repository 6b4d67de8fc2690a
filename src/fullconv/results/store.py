"""The Zarr store of a map: what it is of, its scores, and which of its tiles are done.

``0`` holds the scores (classes, rows, cols), ``levels/1``, ``levels/2``, ... coarser ones, ``top1`` the winning class where only that is
kept, ``confirmed`` the cells that are their crops' own where a map is confirmed by some; ``y`` and ``x`` say where their cells lie. All of them begin with ``lead`` rows and columns without an answer. All that fullconv needs
to read it again is the attribute ``fullconv`` of the group; viewers read ``ome``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from errno import EDQUOT, ENOSPC
from itertools import product
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.errors import BadInput, FullconvError
from fullconv.results.encoding import encoded, fill_value
from fullconv.results.record import Record
from fullconv.results.storage import Full, Replaced, Storage, new_run
from fullconv.results.viewers import coordinates, for_viewers, levels_of, make_levels, name_of
from fullconv.tiling.tiles import Tile

Array = npt.NDArray[Any]
NO_CLASS = 65535
_CHUNK_BYTES = 4 << 20
_MOST_BYTES = 64 << 20  # of a chunk that is read and has planes of several classes
_MOST_CHUNK = 1 << 30  # of any
_KEYS = {"name": "default", "configuration": {"separator": "/"}}
_NONE: Mapping[str, Any] = MappingProxyType({})
_LEAST = 256  # cells a side below which no coarser level is made


@dataclass
class Store:
    """An open store. Its arrays have ``record.tiles.lead`` more rows and columns than the map, before the first."""

    storage: Storage
    record: Record
    scores: Any
    top1: Any = None
    group: Any = None
    confirmed: Any = None

    @staticmethod
    def create(storage: Storage, record: Record) -> Store:
        """A new store of a new run, empty; what was there is replaced."""
        run = new_run()
        record = replace(record, run=run, arrays=storage.arrays(run))
        with writing(storage.name):
            storage.create(run, _files(record))
        return Store.open(storage, record.run)

    @staticmethod
    def resume(storage: Storage, record: Record) -> Store:
        """The store of a run that is not finished, to go on with."""
        with writing(storage.name):
            storage.resume(record.run, _files(record))
        return Store.open(storage, record.run)

    @staticmethod
    def open(storage: Storage, run: str = "") -> Store:
        """What is there.

        Args:
            run: whose tiles are to be written; without one it is read alone.

        Raises:
            BadInput: nothing, or no result of fullconv.
            Replaced: another run's.
        """
        record = Store.record_of(storage)
        if run and record.run != run:
            raise Replaced(f"{storage.name}: another run wrote it anew or finished it; nothing of this run is written")
        with _opening(storage.name):
            import zarr

            group = zarr.open_group(storage.zarr(run), mode="r+" if run else "r", zarr_format=3)
            cells = record.stored_grid.rows, record.stored_grid.cols
            scores = _required(group, "0", record, (record.classes, *cells))
            beside = {name: _required(group, name, record, cells) for name in _beside(record)}
            return Store(storage, record, scores, beside.get("top1"), group, beside.get("confirmed"))

    @staticmethod
    def record_of(storage: Storage) -> Record:
        """What a store says of itself; its arrays may be damaged.

        Raises:
            BadInput: nothing is there, or no result of fullconv.
        """
        if not storage.exists():
            raise BadInput(f"{storage.name}: no such result")
        with _opening(storage.name):
            import zarr

            data = dict(zarr.open_group(storage.zarr(), mode="r", zarr_format=3).attrs).get("fullconv")
        if not isinstance(data, Mapping):
            raise BadInput(f"{storage.name}: is a Zarr group, but no result of fullconv")
        return Record.from_json(data, storage.name)

    def write(
        self, tile: Tile, scores: Array | None, top1: Array | None = None, mark: Mapping[str, Any] = _NONE,
        confirmed: Array | None = None,
    ) -> None:  # fmt: skip
        """Store a tile's cells, and mark it done once that has settled.

        Args:
            scores: (classes, rows, cols) float32, or encoded as the store's type already; None where nothing of it has an answer.
            top1: (rows, cols) winning classes, where only these are kept.
            confirmed: (rows, cols), which cells are their crops' own, where some are.
            mark: what is to be remembered of it. It is kept with the bytes of the tile's chunks, by which it is known whether they are
                still there.
        """
        written = self.group.store.written
        with writing(self.storage.name):
            keys = list(self._keys_of(tile))
            if scores is not None:
                (top, bottom), (left, right) = self._stored(tile)
                planes = self.scores.chunks[0]
                for first in range(
                    0, len(scores), planes
                ):  # whole chunks, and no more of them encoded at once than need be
                    part = encoded(scores[first : first + planes], self.record.stored)
                    self.scores[first : first + planes, top:bottom, left:right] = part
                if top1 is not None:
                    self.top1[top:bottom, left:right] = top1
                if confirmed is not None:
                    self.confirmed[top:bottom, left:right] = confirmed
                self.storage.settle(keys)
            text = json.dumps({**mark, "bytes": sum(written.pop(key, 0) for key in keys)})
            self.storage.mark(self.record.run, tile.name, text)

    def done(self) -> dict[str, str]:
        """Tiles that are done, by name, with what is remembered of each; not those whose chunks are not there any more."""
        marks = dict(self.storage.marks(self.record.run))
        if marks:
            size = self.storage.sizes(self.record.run)
            for tile in self.record.tiles:
                if tile.name in marks and _bytes_of(marks[tile.name]) != sum(map(size, self._keys_of(tile))):
                    del marks[tile.name]
        return marks

    def finish(
        self,
        failed: Sequence[tuple[str, str]],
        left_out: int,
        done: Mapping[str, str] | None = None,
        confirmed: int = 0,
    ) -> None:
        """Make the coarser levels, and say that all is done.

        Args:
            failed: tiles with pixels that do not decode, and why.
            left_out: cells without an answer.
            done: as ``done`` has just said it, where it was asked.
            confirmed: cells that are their crops' own.

        Raises:
            BadInput: something that was done is not there any more.
        """
        with writing(self.storage.name):
            self.storage.require(self.record.run)
            size, run = self.storage.sizes(self.record.run), self.record.run
            gone = [key for key in _files(self.record) if key != "zarr.json" and not size(key)]
            done = self.done() if done is None else done
            if gone or len(done) < len(self.record.tiles):
                raise BadInput(
                    f"{self.storage.name}: parts of it were removed while it was written"
                    f"{f' ({gone[0]})' if gone else ''}; the rest is kept, and the same command makes them again"
                )
            self.storage.settle(make_levels(self.group, self.record))
            statement = self.record.statement
            statement = None if statement is None else statement.finished(confirmed)
            record = replace(
                self.record, failed=tuple(failed), left_out=left_out, finished=True, run="", statement=statement
            )
            self.storage.commit(run, _files(record)["zarr.json"])
            self.record = record
            self.storage.settle(["zarr.json"])
            self.storage.clear(run)

    def _keys_of(self, tile: Tile) -> Iterator[str]:
        """Keys of a tile's chunks."""
        arrays, (rows, cols) = self.record.arrays, self._stored(tile)
        yield from _keys(f"{arrays}0", self.scores, (0, self.scores.shape[0]), rows, cols)
        for name, array in (("top1", self.top1), ("confirmed", self.confirmed)):
            if array is not None:
                yield from _keys(f"{arrays}{name}", array, rows, cols)

    def _stored(self, tile: Tile) -> tuple[tuple[int, int], tuple[int, int]]:
        """[first, last) rows and columns of the arrays that a tile fills."""
        (top, bottom), (left, right), (down, along) = tile.y.cells, tile.x.cells, self.record.tiles.lead
        return (down + top, down + bottom), (along + left, along + right)


def _files(record: Record) -> dict[str, bytes]:
    """An empty store of a record: every file that says what it is, by key."""
    import zarr
    from zarr.storage import MemoryStore

    held: dict[str, Any] = {}
    grid, chunk, arrays = record.stored_grid, record.tiles.chunk, record.arrays
    group = zarr.create_group(MemoryStore(held), zarr_format=3, attributes=_attributes(record))
    for level, (rows, cols) in enumerate(levels_of(grid, _LEAST)):
        sides = tuple(min(a, b) for a, b in zip(chunk, (rows, cols), strict=True))
        size = np.dtype(record.stored).itemsize
        planes = max(1, min(record.classes, _CHUNK_BYTES // (size * sides[0] * sides[1])))
        group.create_array(
            f"{arrays}{name_of(level)}", shape=(record.classes, rows, cols), chunks=(planes, *sides), dtype=record.stored,
            fill_value=fill_value(record.stored), dimension_names=("c", "y", "x"), compressors=_compressor(),
        )  # fmt: skip
    for name, (kind, fill) in _beside(record).items():
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


def _beside(record: Record) -> dict[str, tuple[str, Any]]:
    """Arrays of one number a cell that a record has beside its scores: type and fill value by name."""
    won = {"top1": ("uint16", NO_CLASS)} if record.keep == "top1" else {}
    return won | ({} if record.statement is None else {"confirmed": ("bool", False)})


def _required(group: Any, name: str, record: Record, shape: tuple[int, ...]) -> Any:
    """An array of the store, as a record says that it is: files come from anyone, and one other word gives other scores."""
    import zarr

    from fullconv.results.bounded import Bounded

    kind, fill = _beside(record).get(name, (record.stored, fill_value(record.stored)))
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


def _bytes_of(mark: str) -> int:
    """The bytes of a tile's chunks, as its mark says; -1 where it is no mark of ours."""
    try:
        about = json.loads(mark)
        counts = about.get("left_out", 0), about.get("confirmed", 0)
        sound = all(isinstance(count, int) for count in counts) and isinstance(about.get("failed", ""), str)
        return about["bytes"] if sound and type(about["bytes"]) is int else -1
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return -1


def _attributes(record: Record) -> dict[str, Any]:
    return {"ome": for_viewers(record, _LEAST), "fullconv": _plain(record.to_json())}


def _plain(value: Any) -> Any:
    """Tuples as lists, so that what is read back equals what was written."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, tuple | list) else value


def _compressor() -> Any:
    from zarr.codecs import ZstdCodec

    # The same bytes for the same values, whatever the threads; with a checksum, so that damage is no other score.
    return ZstdCodec(level=1, checksum=True)


def _keys(name: str, array: Any, *ranges: tuple[int, int]) -> Iterator[str]:
    """Keys of the chunks that lie in these ranges of an array."""
    along = [range(start // size, -(-stop // size)) for (start, stop), size in zip(ranges, array.chunks, strict=True)]
    for place in product(*along):
        yield f"{name}/{array.metadata.encode_chunk_key(place)}"


@contextmanager
def _opening(name: str) -> Iterator[None]:
    """What a library raises over files that are none of ours, or damaged."""
    try:
        yield
    except (FullconvError, MemoryError):
        raise
    except Exception as error:  # zarr, its codecs and JSON, each with errors of its own
        told = " ".join(str(error).split())[:200] or type(error).__name__
        raise BadInput(f"{name}: is not a result of fullconv, or damaged ({told})") from None


@contextmanager
def reading(name: str) -> Iterator[None]:
    """A chunk that does not decode is told as that."""
    try:
        yield
    except (FullconvError, MemoryError, IndexError):
        raise
    except Exception as error:  # zarr and its codecs
        told = " ".join(str(error).split())[:200] or type(error).__name__
        raise BadInput(
            f"{name}: a part of it does not decode ({told}): its files are damaged, or not all there; make it again with --restart"
        ) from None


@contextmanager
def writing(name: str) -> Iterator[None]:
    """A write that fails tells why, and that nothing is lost."""
    try:
        yield
    except OSError as error:
        if error.errno in (ENOSPC, EDQUOT):
            raise Full(
                f"{name}: the disk is full; free some space and give the same command again: it goes on where it stopped"
            ) from None
        raise BadInput(
            f"{name}: cannot be written ({error.strerror or error}); nothing that was done is lost"
        ) from None
