"""Cutting a map into tiles: which cells, from which pixels, in what order.

Tiles lie on the chunks of the result, so that each owns whole chunks, and all run on parts of the image of one and the same
shape: the engine plans, compiles and allocates once, and a tile's numbers do not depend on where it lies. Tiles at the image's
borders have no halo there and hold more cells instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache
from itertools import product
from math import ceil, inf
from typing import Any

from fullconv.errors import BadInput
from fullconv.tiling.cut import Cut, Line, Side, cuts
from fullconv.tiling.rows import Kept
from fullconv.tiling.sections import Sections

LONGEST = 60.0  # seconds of a tile
_DEARER = 1.1  # times the work that this may cost
_READING = 0.05  # work of decoding a pixel beside that of running the network on it


@dataclass(frozen=True, slots=True)
class Tile:
    """One task: its place, its cells and the pixels that they need.

    Attributes:
        kept: where rows are kept from tile to tile, what of it is run now.
    """

    row: int
    col: int
    y: Side
    x: Side
    kept: Strip | None = None

    @property
    def is_made(self) -> bool:
        """Whether its cells are there behind this step."""
        return self.kept is None or self.kept.ends

    @property
    def name(self) -> str:
        """As told to people and written on marks."""
        return f"{self.row}-{self.col}"

    def box(self) -> tuple[int, int, int, int]:
        """(x0, y0, x1, y1), half-open: the pixels read, padding past the image's end included."""
        (y0, y1), (x0, x1) = self.y.read, self.x.read
        return x0, y0, x1, y1


@dataclass(frozen=True, slots=True)
class Strip:
    """A step on the way to a tile whose network keeps rows.

    Attributes:
        part: the number of the first link's part that is run; None: all rows are made already.
        anew: nothing is kept yet.
        ends: the tile's cells are made now.
    """

    part: int | None
    anew: bool
    ends: bool


@dataclass(frozen=True)
class Tiles:
    """All tiles of a map, re-iterable, in the order in which a source is read: row by row; or, where rows are kept, down each band.

    Attributes:
        y, x: the sides.
        shape: (height, width) in pixels of what the network runs on, the same for every tile.
        chunk: (rows, cols) of cells a chunk of the result.
        lead: (rows, cols) without an answer that are stored before the first cell, so that the result begins near the image's origin.
        cells: (rows, cols) of the map.
        image: (height, width) of the image in pixels.
        run_bytes: predicted memory of a run of the engine on one tile.
        stage_bytes: predicted memory of what is read, waits and is written.
        base_bytes: memory of the process before the first tile.
        kept: how the network keeps rows from tile to tile; None where each tile stands alone.
        sections: how it runs on a part of a tile, where few of its cells are asked for; None where it runs on all of a tile always.
    """

    y: tuple[Side, ...]
    x: tuple[Side, ...]
    shape: tuple[int, int]
    chunk: tuple[int, int]
    cells: tuple[int, int]
    image: tuple[int, int]
    run_bytes: int = 0
    stage_bytes: int = 0
    base_bytes: int = 0
    lead: tuple[int, int] = (0, 0)
    kept: Kept | None = None
    sections: Sections | None = None

    def __iter__(self) -> Iterator[Tile]:
        if self.kept is None:
            for (i, y), (j, x) in product(enumerate(self.y), enumerate(self.x)):
                yield Tile(i, j, y, x)
        else:
            for (j, x), (i, y) in product(enumerate(self.x), enumerate(self.y)):
                yield Tile(i, j, y, x)

    def steps(self, tiles: Iterable[Tile | None]) -> Iterator[Tile | None]:
        """What is done for some of the tiles, in order: themselves, or where rows are kept the strips that lead to each.

        Args:
            tiles: with None where the next is not there yet.
        """
        if self.kept is None:
            yield from tiles
            return
        before: tuple[int, int] | None = None
        for tile in tiles:
            if tile is None:
                yield None
                continue
            yield from self._strips(self.kept, tile, anew=before != (tile.row - 1, tile.col))
            before = tile.row, tile.col

    @staticmethod
    def _strips(kept: Kept, tile: Tile, *, anew: bool) -> Iterator[Tile]:
        parts: list[int | None] = list(kept.parts_for(tile.row, anew=anew)) or [None]
        for i, part in enumerate(parts):
            rows = (0, 0) if part is None else kept.links[0].rows[part].part
            strip = Strip(part, anew and i == 0, i == len(parts) - 1)
            yield replace(tile, y=Side(tile.y.cells, (rows,)), kept=strip)

    def __len__(self) -> int:
        return len(self.y) * len(self.x)

    @property
    def peak_bytes(self) -> int:
        """Predicted peak memory of the process."""
        return self.base_bytes + self.run_bytes + self.stage_bytes

    @cached_property
    def computed(self) -> int:
        """Pixels that the network runs on, all tiles and shifts together."""
        return sum(sum(b - a for a, b in side.parts) for side in self.y) * sum(
            sum(b - a for a, b in side.parts) for side in self.x
        )

    @property
    def waste(self) -> float:
        """Share of the work that goes to pixels which another tile has too."""
        if self.kept is not None:
            return self.kept.lost
        shifts = len(self.y[0].parts) * len(self.x[0].parts)
        once = shifts * self.image[0] * self.image[1]
        return max(0.0, 1 - once / self.computed)

    def to_json(self) -> dict[str, Any]:
        """What a result keeps: enough to make the same tiles again."""
        return {
            "tile": list(self.shape),
            "chunk": list(self.chunk),
            "cells": list(self.cells),
            "image": list(self.image),
            "lead": list(self.lead),
            "y": [[list(s.cells), [list(p) for p in s.parts]] for s in self.y],
            "x": [[list(s.cells), [list(p) for p in s.parts]] for s in self.x],
            **({} if self.kept is None else {"kept": self.kept.to_json()}),
            **({} if self.sections is None else {"sections": self.sections.to_json()}),
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> Tiles:
        def sides(given: Any) -> tuple[Side, ...]:
            return tuple(Side((c[0], c[1]), tuple((p[0], p[1]) for p in parts)) for c, parts in given)

        def pair(name: str) -> tuple[int, int]:
            first, second = data[name]
            return int(first), int(second)

        lead = pair("lead") if "lead" in data else (0, 0)  # results of earlier versions do not say
        kept = Kept.from_json(data["kept"]) if "kept" in data else None
        sections = Sections.from_json(data["sections"]) if "sections" in data else None
        return Tiles(
            sides(data["y"]), sides(data["x"]), pair("tile"), pair("chunk"), pair("cells"), pair("image"), lead=lead, kept=kept,
            sections=sections,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Room:
    """Memory beside the process's: a device's.

    Attributes:
        name: whose.
        option: by which it is set.
        budget: bytes.
        bytes: what a tile takes of it, as of a ``Cost``.
        beyond: what of a tile of so many (height, width) pixels is too large there, however much memory there is, and what helps;
            None where nothing is.
    """

    name: str
    option: str
    budget: int
    bytes: Callable[[int, int, int, int], int]
    beyond: Callable[[int, int], str | None] = lambda height, width: None

    def holds(self, tile: tuple[int, int, int, int]) -> bool:
        """Whether a tile fits, (height, width) in pixels and (rows, cols) in cells."""
        return self.beyond(*tile[:2]) is None and self.bytes(*tile) <= self.budget

    def require(self, tile: tuple[int, int, int, int], what: str) -> None:
        """BadInput where a tile does not fit, as for ``holds``; it says what it takes."""
        beyond = self.beyond(*tile[:2])
        if beyond is not None:
            raise BadInput(f"{what}, {tile[1]}×{tile[0]} px, is too large for {self.name}: {beyond}")
        takes = self.bytes(*tile)
        if takes > self.budget:
            raise BadInput(
                f"{_mega(self.budget)} of {self.name} are too few: {what}, {tile[1]}×{tile[0]} px, takes {_mega(takes)} there; "
                f"give {self.option} {ceil(takes / 1e6)}MB or more, or --device cpu"
            )


def _mega(count: int) -> str:
    return f"{count / 1e6:,.0f} MB" if count >= 10e6 else f"{count / 1e6:.2g} MB"


@dataclass(frozen=True, slots=True)
class Cost:
    """What a tile takes, as functions of its (height, width) in pixels and its (rows, cols) in cells.

    Attributes:
        run: bytes of a run of the engine.
        stage: bytes of what is read, waits and is written.
        base: bytes of the process before the first tile.
        seconds: about what the engine takes, none where nobody knows.
        room: other memory that tiles have to fit in too.
    """

    run: Callable[[int, int], int]
    stage: Callable[[int, int, int, int], int]
    base: int = 0
    seconds: Callable[[int, int, int, int], float] = lambda height, width, rows, cols: 0.0
    room: Room | None = None


def plan_tiles(
    y: Line, x: Line, cost: Cost, budget: int, source: tuple[int, int] = (1, 1), asked: int | None = None
) -> Tiles:
    """The tiles of least work whose predicted peak memory is within the budget.

    Work is the pixels that the network runs on, and a little for every pixel that is decoded: a source of tiles decodes
    whole ones. A tile takes a minute at most, so that people see how far it is and an end in the midst of it loses little; more where
    that would cost a tenth of the work.

    Args:
        y, x: the axes.
        budget: bytes.
        source: (height, width) of the source's own tiles in pixels; (1, 1) where no pixel is decoded twice.
        asked: of how many cells, anywhere in the map, the answers are wanted; all by default. Only tiles that hold one are work.

    Raises:
        BadInput: the budget is below the least tile; it says what that takes.
    """
    tall, wide = cuts(y), cuts(x)
    run = lru_cache(maxsize=None)(cost.run)
    decoded = {id(cut): cut.decoded(side) for cuts_, side in ((tall, source[0]), (wide, source[1])) for cut in cuts_}

    def peak(down: Cut, right: Cut) -> int:
        stage = cost.stage(down.length, right.length, down.most_cells, right.most_cells)
        return cost.base + stage + run(down.length, right.length)

    def seconds(down: Cut, right: Cut) -> float:
        return cost.seconds(down.length, right.length, down.most_cells, right.most_cells)

    @cache
    def fits_in(i: int, j: int) -> bool:
        down, right, room = tall[i], wide[j], cost.room
        there = room is None or room.holds((down.length, right.length, down.most_cells, right.most_cells))
        return there and peak(down, right) <= budget

    def search(longest: float) -> tuple[float, Cut, Cut] | None:
        best: tuple[float, Cut, Cut] | None = None
        # The widest tile that fits: that of a lower one is as wide at least, since memory and time grow.
        low = len(wide)
        for i, down in enumerate(tall):
            while low and fits_in(i, low - 1) and seconds(down, wide[low - 1]) <= longest:
                low -= 1
            for right in wide[low : low + 2] if asked is None else wide[low:]:
                computed = down.count * down.length * right.count * right.length
                reading = decoded[id(down)] * decoded[id(right)]
                work = (computed + _READING * reading) * _share(down.count * right.count, asked)
                if best is None or work < best[0]:
                    best = work, down, right
        return best

    best = search(inf)
    limit = LONGEST
    while best is not None and seconds(*best[1:]) > limit:
        seen = search(limit)
        if seen is not None and seen[0] <= best[0] * _DEARER:
            best = seen
            break
        limit *= 2
    if best is None:
        if cost.room is not None:
            down, right = tall[-1], wide[-1]
            cost.room.require((down.length, right.length, down.most_cells, right.most_cells), "the least tile")
        least = peak(tall[-1], wide[-1])
        raise BadInput(
            f"a memory budget of {budget / 1e6:,.0f} MB is too small: the least tile, {wide[-1].length}×{tall[-1].length} px, takes "
            f"{least / 1e6:,.0f} MB, {cost.base / 1e6:,.0f} MB of it before the first pixel; give --memory {ceil(least / 1e6)}MB or more"
        )
    _, down, right = best
    return Tiles(
        down.sides(), right.sides(), (down.length, right.length), (down.chunk, right.chunk), (y.cells, x.cells), (y.length, x.length),
        run(down.length, right.length), cost.stage(down.length, right.length, down.most_cells, right.most_cells), cost.base,
        (y.lead, x.lead),
    )  # fmt: skip


def _share(tiles: int, cells: int | None) -> float:
    """The share of tiles that hold one of so many cells, which may lie anywhere."""
    return 1.0 if cells is None else 1 - (1 - 1 / tiles) ** cells
