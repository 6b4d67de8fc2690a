"""The sections of a tile that hold the cells which are asked for, of least work in all.

A part begins and ends where parts of the image may (``tiling.window``), within the tile's own. Which sections a tile has, follows from what a result's
record says and from the cells asked for, and from nothing else: a run that goes on makes the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import ceil

from fullconv.errors import BrokenPromise
from fullconv.tiling.cut import Line, Side
from fullconv.tiling.sections import BLOCKS, Ruler, Sections
from fullconv.tiling.tiles import Tile

_GAIN = 0.9  # of the work that sections may cost instead
_FULL = 0.6  # of a box's blocks, from which on it is not cut: what two parts' halos cost is more
_BESIDE = 0.02  # of a tile's work that a section costs beside its pixels: a run has some of its own

Range = tuple[int, int]
Box = tuple[Range, Range]  # rows and columns of blocks


@dataclass(frozen=True, slots=True)
class Cutter:
    """Sections of tiles along the lines of an image."""

    sections: Sections
    lines: tuple[Line, Line]
    rims: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        for ruler, line in zip((self.sections.y, self.sections.x), self.lines, strict=True):
            for _, lengths in ruler.parts:
                pairs = list(zip(lengths, line.reaches, strict=True))
                if ruler.block % line.unit or any((length - reach.length) % reach.period for length, reach in pairs):
                    raise ValueError(
                        f"parts of {lengths} pixels for blocks of {ruler.block} cells are another network's"
                    )

    def counts(self, tile: Tile) -> tuple[int, int]:
        """(rows, cols) of a tile's blocks."""
        y, x = (
            ceil((side.cells[1] - side.cells[0]) / ruler.block)
            for side, ruler in zip((tile.y, tile.x), (self.sections.y, self.sections.x), strict=True)
        )
        return y, x

    def around(self, tile: Tile, asked: Sequence[int]) -> Tile:
        """The least part of a tile with all cells that are asked for, whatever lies between them; the rims too.

        Args:
            asked: which blocks hold some: of each row the bits of its columns, lowest first. Of some row there is one.
        """
        rows, cols = self.counts(tile)
        box = _tight(tuple(asked), ((0, rows), (0, cols)))
        assert box is not None, "a cell is asked for"
        return self._part(tile, tile, box, self.rims)

    def within(self, tile: Tile, around: Tile, asked: Sequence[int]) -> tuple[Tile, ...]:
        """The sections of least work, those of one shape after one another: ``around`` alone where no others are less.

        Args:
            around: the part of the tile whose pixels there are.
            asked: as for ``around``, of the tile's blocks.
        """
        rows, cols = self.counts(tile)
        work, boxes = _Least(tuple(asked), self.sections).of(((0, rows), (0, cols)))
        if work > _GAIN * work_of(around) or not boxes:
            return (around,)
        made = [self._part(tile, around, box, (0, 0)) for box in boxes]
        return tuple(sorted(made, key=lambda part: (-work_of(part), part.y.cells, part.x.cells)))

    def _part(self, tile: Tile, within: Tile, box: Box, rims: tuple[int, int]) -> Tile:
        y, x = (
            _side(*each)
            for each in zip(
                (self.sections.y, self.sections.x), self.lines, (tile.y, tile.x), (within.y, within.x), box, rims,
                strict=True,
            )
        )  # fmt: skip
        return replace(tile, y=y, x=x)


def _side(ruler: Ruler, line: Line, tile: Side, within: Side, blocks: Range, rim: int) -> Side:
    """Blocks of a tile along one axis, on the shortest part that holds what they need, within a longer one."""
    first, last = (min(tile.cells[0] + each * ruler.block, tile.cells[1]) for each in blocks)
    least = max(reach.least for reach in line.reaches) * len(line.reaches)
    first = min(first, max(tile.cells[0], last - -(-least // line.unit) * line.unit))
    shifts = len(line.reaches)
    for count, lengths in ruler.parts:
        if count < min(blocks[1] - blocks[0], BLOCKS):
            continue
        parts = []
        for shift, (reach, length, (begin, end)) in enumerate(zip(line.reaches, lengths, within.parts, strict=True)):
            moved = int(shift * reach.step / shifts)
            start, stop = line.part(shift, first, last)
            stop = min(end - moved, stop + ceil(rim / reach.period) * reach.period)
            length = min(length, end - begin)
            start = min(start, end - moved - length)
            if start < begin - moved:
                raise BrokenPromise(f"cells {first} to {last} need pixels before those of tile {tile.cells}")
            if stop <= start + length:
                parts.append((start + moved, start + moved + length))
        if len(parts) == shifts:
            return Side((first, last), tuple(parts))
    raise BrokenPromise(f"cells {first} to {last} need more than the pixels of tile {tile.cells}")


def work_of(tile: Tile) -> int:
    """Pixels that a part is run on, all shifts together."""
    return sum(b - a for a, b in tile.y.parts) * sum(b - a for a, b in tile.x.parts)


def _tight(asked: tuple[int, ...], box: Box) -> Box | None:
    """The least box with all asked blocks of a box; None where there are none."""
    (top, bottom), (left, right) = box
    window = (1 << right) - (1 << left)
    rows = [row for row in range(top, bottom) if asked[row] & window]
    if not rows:
        return None
    bits = 0
    for row in rows:
        bits |= asked[row] & window
    return (rows[0], rows[-1] + 1), ((bits & -bits).bit_length() - 1, bits.bit_length())


class _Least:
    """The sections of least work for some blocks: a box is run as it is, or cut in two in the best way."""

    def __init__(self, asked: tuple[int, ...], sections: Sections) -> None:
        self._asked = asked
        self._y, self._x = (cache(ruler.pixels) for ruler in (sections.y, sections.x))
        self._beside = _BESIDE * sections.y.pixels(BLOCKS) * sections.x.pixels(BLOCKS)
        self._known: dict[Box, tuple[float, tuple[Box, ...]]] = {}

    def of(self, box: Box) -> tuple[float, tuple[Box, ...]]:
        """Work, and the boxes; none of nothing."""
        tight = _tight(self._asked, box)
        if tight is None:
            return 0.0, ()
        if tight not in self._known:
            self._known[tight] = self._searched(tight)
        return self._known[tight]

    def _searched(self, box: Box) -> tuple[float, tuple[Box, ...]]:
        (top, bottom), (left, right) = box
        best: tuple[float, tuple[Box, ...]] = self._y(bottom - top) * self._x(right - left) + self._beside, (box,)
        window = (1 << right) - (1 << left)
        asked = sum((self._asked[row] & window).bit_count() for row in range(top, bottom))
        if asked > _FULL * (bottom - top) * (right - left):
            return best
        cuts: list[tuple[Box, Box]] = [
            (((top, at), (left, right)), ((at, bottom), (left, right))) for at in range(top + 1, bottom)
        ]
        cuts += [(((top, bottom), (left, at)), ((top, bottom), (at, right))) for at in range(left + 1, right)]
        for one, other in cuts:
            own = self.of(one)
            if own[0] >= best[0]:
                continue
            more = self.of(other)
            if own[0] + more[0] < best[0]:
                best = own[0] + more[0], own[1] + more[1]
        return best
