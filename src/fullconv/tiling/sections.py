"""Shapes of the sections of a tile on which a network runs where few of its cells are asked for.

A tile's cells lie in blocks, eight a side. A section is a rectangle of blocks, run on a part of the image that is as long as a quarter, a half or all of
a tile's blocks need: so there are nine shapes at most, the same for all tiles of a map. ``least.py`` finds the sections of a tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from fullconv.tiling.cut import Line, Side, halo

BLOCKS = 8  # a tile's side
_CLASSES = (2, 4)  # blocks of the shorter parts


@dataclass(frozen=True, slots=True)
class Ruler:
    """One axis of all tiles.

    Attributes:
        block: cells.
        parts: blocks, and the pixels that they are run on, one number a shift of the image; the longest last, a tile's own.
    """

    block: int
    parts: tuple[tuple[int, tuple[int, ...]], ...]

    def __post_init__(self) -> None:
        counts = [count for count, _ in self.parts]
        lengths = [each for _, lengths in self.parts for each in lengths]
        if self.block < 1 or not counts or counts != sorted(set(counts)) or counts[-1] != BLOCKS:
            raise ValueError(f"parts of {counts} blocks of {self.block} cells")
        if min(lengths, default=0) < 1 or len({len(lengths) for _, lengths in self.parts}) != 1:
            raise ValueError(f"parts of {lengths} pixels")

    @staticmethod
    def along(line: Line, sides: Sequence[Side], rim: int) -> Ruler:
        """Of tiles along a line; ``rim`` pixels behind its cells are to lie in a part too."""
        most = max(last - first for first, last in (side.cells for side in sides))
        least = max(ceil(reach.least / reach.granule) for reach in line.reaches)
        units = max(least, ceil(most / line.unit / BLOCKS))
        whole = tuple(stop - start for start, stop in sides[0].parts)
        parts = []
        for blocks in _CLASSES:
            lengths = tuple(
                (blocks * units + halo(reach) + ceil(rim / reach.period)) * reach.period + reach.length % reach.period
                for reach in line.reaches
            )
            if all(length < own for length, own in zip(lengths, whole, strict=True)):
                parts.append((blocks, lengths))
        return Ruler(units * line.unit, (*parts, (BLOCKS, whole)))

    def pixels(self, blocks: int) -> int:
        """What so many are run on, all shifts together."""
        return sum(next(lengths for count, lengths in self.parts if count >= min(blocks, BLOCKS)))

    def to_json(self) -> list[Any]:
        return [self.block, [[count, list(lengths)] for count, lengths in self.parts]]

    @staticmethod
    def from_json(data: Any) -> Ruler:
        block, parts = data
        return Ruler(int(block), tuple((int(count), tuple(int(n) for n in lengths)) for count, lengths in parts))


@dataclass(frozen=True, slots=True)
class Sections:
    """How tiles may be run in sections: what a record keeps of it."""

    y: Ruler
    x: Ruler

    @staticmethod
    def of(lines: Sequence[Line], sides: Sequence[Sequence[Side]], rims: tuple[int, int] = (0, 0)) -> Sections | None:
        """For tiles that were cut along these lines; None where no part is shorter than a tile's."""
        y, x = (Ruler.along(*each) for each in zip(lines, sides, rims, strict=True))
        return Sections(y, x) if len(y.parts) + len(x.parts) > 2 else None

    def to_json(self) -> dict[str, Any]:
        return {"y": self.y.to_json(), "x": self.x.to_json()}

    @staticmethod
    def from_json(data: Any) -> Sections:
        return Sections(Ruler.from_json(data["y"]), Ruler.from_json(data["x"]))
