"""The Zarr store of a map: what it is of, its scores, and which of its tiles are done.

``0`` holds the scores (classes, rows, cols), ``levels/1``, ``levels/2``, ... coarser ones, ``top1`` the winning class where only that is
kept, ``confirmed`` the cells that are their crops' own where a map is confirmed by some; ``y`` and ``x`` say where their cells lie. All of them begin with ``lead`` rows and columns without an answer. All that fullconv needs
to read it again is the attribute ``fullconv`` of the group; viewers read ``ome``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any

import numpy.typing as npt

from fullconv.errors import BadInput
from fullconv.results.failures import opening, writing
from fullconv.results.layout import LEAST, beside, files_of, required, root_of
from fullconv.results.levels import levels_of, name_of
from fullconv.results.record import Record
from fullconv.results.storage import Replaced, Storage, new_run
from fullconv.results.tiled import Tiled, Timed
from fullconv.tiling.tiles import Tile

Array = npt.NDArray[Any]
_NONE: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Put:
    """A tile that is written, and not yet done.

    Attributes:
        mark: what is to be remembered of it.
        sizes, coarser: bytes of its own chunks, and of those of coarser levels that were made with it, by key.
    """

    tile: Tile
    mark: Mapping[str, Any]
    sizes: Mapping[str, int]
    coarser: Mapping[str, int]

    @property
    def text(self) -> str:
        """As its mark says it."""
        return json.dumps({**self.mark, "bytes": sum(self.sizes.values())})

    @property
    def note(self) -> str:
        """What is to be remembered as text, empty where nothing is."""
        return json.dumps(self.mark) if self.mark else ""


@dataclass
class Store:
    """An open store. Its arrays have ``record.tiles.lead`` more rows and columns than the map, before the first."""

    storage: Storage
    record: Record
    scores: Any
    top1: Any = None
    group: Any = None
    confirmed: Any = None
    timed: Timed = field(
        default=lambda stage: nullcontext(), repr=False
    )  # told which part of writing is done within it

    @staticmethod
    def create(storage: Storage, record: Record) -> Store:
        """A new store of a new run, empty; what was there is replaced."""
        run = new_run()
        record = replace(record, run=run, arrays=storage.arrays(run))
        with writing(storage.name):
            storage.create(run, files_of(record))
        return Store.open(storage, record.run)

    @staticmethod
    def resume(storage: Storage, record: Record) -> Store:
        """The store of a run that is not finished, to go on with."""
        with writing(storage.name):
            storage.resume(record.run, files_of(record))
        return Store.open(storage, record.run)

    @staticmethod
    def restate(storage: Storage, record: Record) -> None:
        """Say other things of a finished map, whose scores stay: its attributes alone are written."""
        with writing(storage.name):
            storage.restate(root_of(record))

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
        with opening(storage.name):
            import zarr

            group = zarr.open_group(storage.zarr(), mode="r", zarr_format=3)
            cells = record.stored_grid.rows, record.stored_grid.cols
            scores = required(group, "0", record, (record.classes, *cells))
            others = {name: required(group, name, record, cells) for name in beside(record)}
            store = Store(storage, record, scores, others.get("top1"), group, others.get("confirmed"))
            if run:
                _ = store._tiled  # opened while its arrays are known to be there
            return store

    @staticmethod
    def record_of(storage: Storage) -> Record:
        """What a store says of itself; its arrays may be damaged.

        Raises:
            BadInput: nothing is there, or no result of fullconv.
        """
        if not storage.exists():
            raise BadInput(f"{storage.name}: no such result")
        with opening(storage.name):
            import zarr

            data = dict(zarr.open_group(storage.zarr(), mode="r", zarr_format=3).attrs).get("fullconv")
        if not isinstance(data, Mapping):
            raise BadInput(f"{storage.name}: is a Zarr group, but no result of fullconv")
        return Record.from_json(data, storage.name)

    def level(self, level: int) -> Any:
        """The scores (classes, rows, cols) of a level, 0 the finest: means of 2^level × 2^level cells, of the arrays' as ``scores`` has them.

        Raises:
            BadInput: it is not there, or not as the record says that it is.
        """
        if level == 0:
            return self.scores
        with opening(self.storage.name):
            sides = levels_of(self.record.stored_grid, LEAST)[level]
            return required(self.group, name_of(level), self.record, (self.record.classes, *sides))

    def put(
        self, tile: Tile, scores: Array | None, top1: Array | None = None, mark: Mapping[str, Any] = _NONE,
        confirmed: Array | None = None,
    ) -> Put:  # fmt: skip
        """Write a tile's cells, and what follows from them of the coarser levels. It is not done before it is committed.

        Args:
            scores: (classes, rows, cols) float32, or encoded as the store's type already; None where nothing of it has an answer.
            top1: (rows, cols) winning classes, where only these are kept.
            confirmed: (rows, cols), which cells are their crops' own, where some are.
            mark: what is to be remembered of it. It is kept with the bytes of the tile's chunks, by which it is known whether they are
                still there.
        """
        with writing(self.storage.name):
            if scores is None:
                return Put(tile, mark, {}, self._tiled.put_nothing(tile, self.timed))
            values = {"top1": top1, "confirmed": confirmed}
            return Put(tile, mark, *self._tiled.put(tile, scores, values, self.timed))

    def commit(self, puts: Sequence[Put]) -> None:
        """Mark tiles done, once what was written of them has settled."""
        with writing(self.storage.name):
            self.storage.settle([key for put in puts for key in (*put.sizes, *put.coarser)])
            self.storage.mark(self.record.run, {put.tile.name: put.text for put in puts})

    def write(
        self, tile: Tile, scores: Array | None, top1: Array | None = None, mark: Mapping[str, Any] = _NONE,
        confirmed: Array | None = None,
    ) -> None:  # fmt: skip
        """Put a tile, and commit it."""
        self.commit([self.put(tile, scores, top1, mark, confirmed)])

    def note(self, coarser: Mapping[str, int]) -> None:
        """Chunks of coarser levels that another process made and settled, with their bytes."""
        self._tiled.levels.note(coarser)

    @cached_property
    def _tiled(self) -> Tiled:
        return Tiled(self.record, self.group, partial(self.storage.put, self.record.run), self.storage.name)

    def done(self) -> dict[str, str]:
        """Tiles that are done, by name, with what is remembered of each; not those whose chunks are not there any more."""
        marks = dict(self.storage.marks(self.record.run))
        if marks:
            size = self.storage.sizes(self.record.run)
            for tile in self.record.tiles:
                if tile.name in marks and _bytes_of(marks[tile.name]) != sum(map(size, self._tiled.keys(tile))):
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
            gone = [key for key in files_of(self.record) if key != "zarr.json" and not size(key)]
            done = self.done() if done is None else done
            if gone or len(done) < len(self.record.tiles):
                raise BadInput(
                    f"{self.storage.name}: parts of it were removed while it was written"
                    f"{f' ({gone[0]})' if gone else ''}; the rest is kept, and the same command makes them again"
                )
            with self.timed("levels"):
                made = self._tiled.levels.finish(size, self._tiled.pool)
            self.storage.settle(made)
            statement = self.record.statement
            statement = None if statement is None else statement.finished(confirmed)
            record = replace(
                self.record, failed=tuple(failed), left_out=left_out, finished=True, run="", statement=statement
            )
            self.storage.commit(run, root_of(record))
            self.record = record
            self.storage.settle(["zarr.json"])
            self.storage.clear(run)


def _bytes_of(mark: str) -> int:
    """The bytes of a tile's chunks, as its mark says; -1 where it is no mark of ours."""
    try:
        about = json.loads(mark)
        counts = about.get("left_out", 0), about.get("confirmed", 0)
        sound = all(isinstance(count, int) for count in counts) and isinstance(about.get("failed", ""), str)
        return about["bytes"] if sound and type(about["bytes"]) is int else -1
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return -1
