"""A result that is shown: its raw scores by tile and level, what is done of it, and what is said of it.

Tiles are counted over the arrays' cells: those of a store begin ``lead`` rows and columns before the map's. A cell of level k stands for
2^k × 2^k of level 0: for their mean, of those that have an answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.errors import BadInput
from fullconv.maps.classmap import ClassMap
from fullconv.results.encoding import decoded, encoded
from fullconv.results.failures import reading
from fullconv.results.layout import LEAST, NO_CLASS
from fullconv.results.lazy import winners_of
from fullconv.results.levels import coarser, levels_of
from fullconv.results.places import storage_of
from fullconv.results.storage import Replaced
from fullconv.results.store import Store
from fullconv.system.guard import is_folder, is_url, reads

Array = npt.NDArray[Any]
Span = tuple[int, int]
_STACK = 4 << 20  # bytes of a tile of all classes
_SIDES = (256, 128, 64)
_DEEPEST = 3  # levels that are made here of what a run in progress has done, cell by cell
_WON = 1 << 28  # cells of a tile of winners
_RANGED = 1 << 22  # scores that are looked at to say from where to where they go
_LOOKED = 8, 64  # of a run in progress: tiles that are looked at, and cells a side of each
_SLAB = 1 << 23  # scores that winners are found of at once
_SAME = (
    "request",
    "labels",
    "keep",
    "stored",
    "grid",
    "tiles",
    "output",
    "by",
)  # what one result keeps while it is made


class Exhibit:
    """One result.

    Attributes:
        source: its path or address, or what a map in memory is called.
        found: the map.
        lead: rows and columns of the arrays before the map's.
        levels: (rows, cols) of every level of the arrays, the finest first.
        side: cells of a tile.
        stacked: whether a tile holds all classes, or one.
        done: cells [top, bottom, left, right) of the map that are done, in the order in which that was seen, of a run in progress.
        epoch: counted up when another result took the place of this one.
    """

    def __init__(self, source: str, held: ClassMap | None = None) -> None:
        self.source, self._given = source, held
        self._lock = Lock()
        self.epoch = -1
        self._signed = self._sign()
        if held is None and (is_url(source) or is_folder(Path(source))):
            reads(source)
            self._take(Store.open(storage_of(source)))
        else:
            self._take(None)

    def _take(self, store: Store | None) -> None:
        """Show a store as it is now, or a file."""
        self.store = store
        self._ends: tuple[int, tuple[float, float]] | None = None
        if store is not None:
            self.found = ClassMap.of_store(store)
        else:
            self.found = ClassMap.load(self.source) if self._given is None else self._given
        record = self.found.record
        self.epoch += 1
        self.lead: Span = (0, 0) if record is None else record.tiles.lead
        self.levels = levels_of(self.found.grid if record is None else record.stored_grid, LEAST)
        self.stored = "float32" if record is None else record.stored
        self.winners_only = record is not None and record.keep == "top1"
        planes, size = len(self.found.labels), np.dtype(self.stored).itemsize
        fits = [side for side in _SIDES if planes * size * side * side <= _STACK]
        self.stacked = bool(fits) and not self.winners_only
        self.side = fits[0] if self.stacked else _SIDES[0]
        self._coarser: list[Array] = []
        self.done: list[tuple[int, int, int, int]] = []
        self._names: set[str] = set()

    @property
    def finished(self) -> bool:
        return self.found.record is None or self.found.record.finished

    def look(self) -> None:
        """See what a run in progress has done since the last look, or that another result lies here now."""
        with self._lock:
            if self.store is None or (self.finished and self._sign() == self._signed):
                return
            signed = self._sign()
            was, store = self.store.record, Store.open(self.store.storage)
            record = store.record
            self._signed = signed  # of one that is there: else what is read next would be taken for the one before
            if record.run not in (was.run, "") or any(getattr(record, name) != getattr(was, name) for name in _SAME):
                self._take(store)
            elif was.finished:
                self._take(store)  # written anew: nothing says that its chunks are the same
            names = set(store.storage.marks(record.run)) if record.run else {tile.name for tile in record.tiles}
            for tile in record.tiles if names - self._names else ():
                if tile.name in names and tile.name not in self._names:
                    self.done.append((*tile.y.cells, *tile.x.cells))
            self._names |= names
            self.store, self.found = store, ClassMap.of_store(store)

    def require(self, epoch: int | None) -> None:
        """Replaced where another result lies here by now than the one that is asked for."""
        if self.store is not None and self._sign() != self._signed:
            self.look()
        if epoch is not None and epoch != self.epoch:
            raise Replaced(f"{self.source}: was written anew; what is seen is of the one before")

    def _sign(self) -> tuple[int, ...]:
        """What changes where the store in a folder becomes another, or is finished."""
        if self._given is not None or is_url(self.source):  # its chunks carry their run's name
            return ()
        try:
            about = (Path(self.source) / "zarr.json").stat()
        except OSError:
            return (-1,)
        return about.st_mtime_ns, about.st_size, about.st_ino

    def scores(self, level: int, row: int, col: int, classes: Span) -> Array:
        """(classes, rows, cols) of a tile, as they are stored.

        Raises:
            IndexError: there is no such tile or class.
        """
        if not 0 <= classes[0] < classes[1] <= self._planes:
            raise IndexError(f"no classes {classes[0]} to {classes[1]}")
        return self.part(level, *self._spans(level, row, col), classes)

    def winners(self, level: int, row: int, col: int) -> tuple[Array, Array]:
        """(rows, cols) winning classes of a tile, 65535 without an answer, and their scores as float32.

        Of a store of winners a coarser cell has its first cell's winner.
        """
        winners, best = self.won(level, *self._spans(level, row, col))
        return np.where(winners < 0, NO_CLASS, winners).astype("<u2"), best.astype("<f4")

    def won(self, level: int, rows: Span, cols: Span) -> tuple[Array, Array]:
        """The same of any part of a level, -1 without an answer."""
        return self._every(2**level, rows, cols) if self.winners_only else self._won(level, rows, cols)

    def range(self) -> tuple[float, float]:
        """From where to where scores go: 0 to 1 of probabilities, else by the coarsest level, or what is done, of some classes where they are many."""
        if self.found.score_kind == "probabilities":
            return 0.0, 1.0
        count = -1 if self.finished else len(self.done)
        if self._ends is None or self._ends[0] != count:
            ends = [part for part in map(_ends, self._sampled()) if part is not None]
            found = (min(low for low, _ in ends), max(high for _, high in ends)) if ends else (0.0, 1.0)
            self._ends = count, found
        return self._ends[1]

    def _sampled(self) -> Iterator[Array]:
        """Some scores."""
        if self.finished:
            level, (rows, cols) = len(self.levels) - 1, self.levels[-1]
            windows = [((0, rows), (0, cols))]
        else:
            most, side = _LOOKED
            level, done = 0, self.done[:: max(1, len(self.done) // most)][:most]
            up, left = self.lead
            windows = [
                ((top + up, min(top + side, bottom) + up), (first + left, min(first + side, last) + left))
                for top, bottom, first, last in done
            ]
        for down, along in windows:
            cells = (down[1] - down[0]) * (along[1] - along[0])
            step = max(1, -(-self._planes * cells * len(windows) // _RANGED))
            for plane in range(0, self._planes, step):
                yield decoded(self.part(level, down, along, (plane, plane + 1)))

    def _won(self, level: int, rows: Span, cols: Span) -> tuple[Array, Array]:
        """Winners and their scores of a part, some classes at a time; of equal scores the first class's."""
        step = max(1, _SLAB // ((rows[1] - rows[0]) * (cols[1] - cols[0])))
        won, best = winners_of(decoded(self.part(level, rows, cols, (0, min(step, self._planes)))))
        for first in range(step, self._planes, step):
            more, score = winners_of(decoded(self.part(level, rows, cols, (first, min(first + step, self._planes)))))
            better = (more >= 0) & ((won < 0) | (score > best))
            won, best = np.where(better, more + first, won), np.where(better, score, best)
        return won, best

    @property
    def _planes(self) -> int:
        return 1 if self.winners_only else len(self.found.labels)

    def _spans(self, level: int, row: int, col: int) -> tuple[Span, Span]:
        if not 0 <= level < len(self.levels):
            raise IndexError(f"no level {level}")
        first = row * self.side, col * self.side
        ends = self.levels[level]
        if not all(0 <= a < end for a, end in zip(first, ends, strict=True)):
            raise IndexError(f"no tile {row}, {col} of level {level}")
        (top, left), (height, width) = first, ends
        return (top, min(top + self.side, height)), (left, min(left + self.side, width))

    def part(self, level: int, rows: Span, cols: Span, classes: Span) -> Array:
        """(classes, rows, cols) of any part of a level, as it is stored."""
        if self.store is None:
            return self._held(level)[slice(*classes), slice(*rows), slice(*cols)]
        if self.finished or level == 0 or level > _DEEPEST:  # what a run has made of it so far
            with reading(self.source):
                array = self.store.level(level)
                return np.asarray(array[slice(*classes), slice(*rows), slice(*cols)])
        height, width = self.levels[level - 1]
        fine = (2 * rows[0], min(2 * rows[1], height)), (2 * cols[0], min(2 * cols[1], width))
        return encoded(coarser(self.found.score_kind)(decoded(self.part(level - 1, *fine, classes))), self.stored)

    def _held(self, level: int) -> Array:
        """A level of a map in memory."""
        with self._lock:
            if not self._coarser:
                self._coarser.append(np.asarray(self.found.scores))
            while len(self._coarser) <= level:
                self._coarser.append(coarser(self.found.score_kind)(self._coarser[-1]))
            return self._coarser[level]

    def _every(self, step: int, rows: Span, cols: Span) -> tuple[Array, Array]:
        """Winners and scores of every so-manieth cell; rows are read one by one where they lie apart."""
        height, width = self.levels[0]
        if (rows[1] - rows[0]) * (cols[1] - cols[0]) * step**2 > _WON:
            raise BadInput("a store of winners alone has no coarser ones: zoom in")
        across = slice(max(0, cols[0] * step - self.lead[1]), max(0, min(cols[1] * step, width) - self.lead[1]))
        made = np.full((rows[1] - rows[0], cols[1] - cols[0]), -1, np.int64), np.full((rows[1] - rows[0], cols[1] - cols[0]), np.nan, np.float32)  # fmt: skip
        stripe = max(1, (1 << 22) // max(1, (cols[1] - cols[0]) * step))
        for first in range(rows[0] * step, min(rows[1] * step, height), stripe):
            last = min(first + stripe, rows[1] * step, height)
            own = [at for at in range(-(-first // step) * step, last, step) if at >= self.lead[0]]
            if not own or across.stop <= across.start:
                continue
            won, best = self.found.winners_in(slice(own[0] - self.lead[0], own[-1] + 1 - self.lead[0]), across)
            # The first cell of a coarser one may lie before the map.
            shift = (-(across.start + self.lead[1])) % step
            into = (across.start + self.lead[1] + shift) // step - cols[0]
            part = won[::step, shift::step]
            place = (
                slice(own[0] // step - rows[0], own[0] // step - rows[0] + len(part)),
                slice(into, into + part.shape[1]),
            )
            made[0][place], made[1][place] = part, best[::step, shift::step]
        return made


def _ends(scores: Array) -> tuple[float, float] | None:
    """The lowest and the highest, of those that are numbers."""
    known = scores[np.isfinite(scores)]
    return (float(known.min()), float(known.max())) if known.size else None
