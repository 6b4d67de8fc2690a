"""The Zarr store of a map: what it is of, its scores, and which of its tiles are done.

``0`` holds the scores (classes, rows, cols), ``1``, ``2``, ... coarser ones, ``top1`` the winning class where only that is kept.
All that fullconv needs to read it again is the attribute ``fullconv`` of the group; viewers read ``ome``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from errno import EDQUOT, ENOSPC
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.errors import BadInput
from fullconv.results.encoding import encoded, fill_value
from fullconv.results.record import Record
from fullconv.results.storage import Full, Storage
from fullconv.results.viewers import for_viewers, levels_of, make_levels
from fullconv.tiling.tiles import Tile

Array = npt.NDArray[Any]
NO_CLASS = 65535
_CHUNK_BYTES = 4 << 20
_LEAST = 256  # cells a side below which no coarser level is made


@dataclass
class Store:
    """An open store."""

    storage: Storage
    record: Record
    scores: Any
    top1: Any = None

    @staticmethod
    def create(storage: Storage, record: Record) -> Store:
        """A new store, empty; what was there is replaced."""

        def build(store: Any) -> None:
            import zarr

            grid, chunk = record.grid, record.tiles.chunk
            group = zarr.create_group(store, zarr_format=3)
            for level, (rows, cols) in enumerate(levels_of(grid, _LEAST)):
                sides = tuple(min(a, b) for a, b in zip(chunk, (rows, cols), strict=True))
                size = np.dtype(record.stored).itemsize
                planes = max(1, min(record.classes, _CHUNK_BYTES // (size * sides[0] * sides[1])))
                group.create_array(
                    str(level), shape=(record.classes, rows, cols), chunks=(planes, *sides), dtype=record.stored,
                    fill_value=fill_value(record.stored), dimension_names=("c", "y", "x"), compressors=_compressor(),
                )  # fmt: skip
            if record.keep == "top1":
                group.create_array(
                    "top1", shape=(grid.rows, grid.cols), chunks=chunk, dtype="uint16", fill_value=NO_CLASS,
                    dimension_names=("y", "x"), compressors=_compressor(),
                )  # fmt: skip
            group.update_attributes(_attributes(record))

        with writing(storage.name):
            storage.create(build)
        return Store.open(storage)

    @staticmethod
    def open(storage: Storage, read_only: bool = False) -> Store:
        """What is there.

        Raises:
            BadInput: nothing, or no result of fullconv.
        """
        import zarr
        import zarr.errors

        if not storage.exists():
            raise BadInput(f"{storage.name}: no such result")
        try:
            group = zarr.open_group(storage.zarr(read_only), mode="r" if read_only else "r+", zarr_format=3)
            data = dict(group.attrs).get("fullconv")
            if not isinstance(data, Mapping):
                raise BadInput(f"{storage.name}: is a Zarr group, but no result of fullconv")
            record = Record.from_json(data, storage.name)
            top1 = group["top1"] if record.keep == "top1" else None
            return Store(storage, record, group["0"], top1)
        except (OSError, ValueError, KeyError, TypeError, zarr.errors.BaseZarrError) as error:
            if isinstance(error, BadInput):
                raise
            raise BadInput(f"{storage.name}: is not a result of fullconv, or damaged ({error})") from None

    def write(self, tile: Tile, scores: Array | None, top1: Array | None = None, mark: str = "") -> None:
        """Store a tile's cells, and mark it done once that has settled.

        Args:
            scores: (classes, rows, cols) float32; None where nothing of it has an answer.
            top1: (rows, cols) winning classes, where only these are kept.
            mark: what is to be remembered of it.
        """
        with writing(self.storage.name):
            if scores is not None:
                (top, bottom), (left, right) = tile.y.cells, tile.x.cells
                planes = self.scores.chunks[0]
                for first in range(
                    0, len(scores), planes
                ):  # whole chunks, and no more of them encoded at once than need be
                    part = encoded(scores[first : first + planes], self.record.stored)
                    self.scores[first : first + planes, top:bottom, left:right] = part
                keys = list(_keys("0", self.scores, (0, self.scores.shape[0]), tile.y.cells, tile.x.cells))
                if top1 is not None:
                    self.top1[top:bottom, left:right] = top1
                    keys += _keys("top1", self.top1, tile.y.cells, tile.x.cells)
                self.storage.settle(keys)
            self.storage.mark(tile.name, mark)

    def done(self) -> Mapping[str, str]:
        """Tiles that are done, by name, with what is remembered of each."""
        return self.storage.marks()

    def finish(self, failed: Sequence[tuple[str, str]], left_out: int) -> None:
        """Make the coarser levels, and say that all is done."""
        with writing(self.storage.name):
            import zarr

            group = zarr.open_group(self.storage.zarr(), mode="r+", zarr_format=3)
            self.storage.settle(make_levels(group, self.record))
            self.record = replace(self.record, failed=tuple(failed), left_out=left_out, finished=True)
            group.update_attributes(_attributes(self.record))
            self.storage.settle(["zarr.json"])
            self.storage.clear()


def _attributes(record: Record) -> dict[str, Any]:
    return {"ome": for_viewers(record, _LEAST), "fullconv": _plain(record.to_json())}


def _plain(value: Any) -> Any:
    """Tuples as lists, so that what is read back equals what was written."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, tuple | list) else value


def _compressor() -> Any:
    from zarr.codecs import ZstdCodec

    return ZstdCodec(level=1)  # the same bytes for the same values, whatever the threads


def _keys(name: str, array: Any, *ranges: tuple[int, int]) -> Iterator[str]:
    """Keys of the chunks that lie in these ranges of an array."""
    along = [range(start // size, -(-stop // size)) for (start, stop), size in zip(ranges, array.chunks, strict=True)]
    for place in product(*along):
        yield f"{name}/{array.metadata.encode_chunk_key(place)}"


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
