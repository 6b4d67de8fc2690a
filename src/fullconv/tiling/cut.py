"""Cutting one axis of a map into tiles that run on parts of one length.

Places are counted in units of the period: L pixels, which are ``granule`` cells of each shift's map. With a part of ``length``
pixels, tiles at the two ends of the image and inside it hold

    first  <= (slack - P + length) / L         units, no halo before them
    last   >= U - (P - length + before) / L    units, no halo behind them
    inner  <= (length - halo) / L              units

each rounded down to whole chunks of the result, which are counted from ``lead`` cells before the map's first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import ceil, floor

from fullconv.errors import BrokenPromise
from fullconv.graph.axes import require
from fullconv.tiling.window import Reach

# Chunks a tile's side that are tried: finer ones come closer to the least work.
_PARTS = (1, 2, 3, 4, 6, 8, 12, 16, 20, 24)
_DEARER = 0.0005  # what every chunk along the axis may cost in length
_LEAST_CHUNK = (
    16  # cells a chunk's side at least, where tiles have as many: thousands of tiny files are slow to copy and to show
)
_CHUNK = 256  # cells a chunk's side at most
_TRIED = 96  # numbers of tiles that are tried
_LOOKED_AT = 32  # tiles that stand for all


@dataclass(frozen=True, slots=True)
class Side:
    """A tile along one axis.

    Attributes:
        cells: [first, last) of the map.
        parts: the pixels [start, stop) of the image that the network runs on, one a shift of the image; past the image's end
            they are filled up with zeros.
    """

    cells: tuple[int, int]
    parts: tuple[tuple[int, int], ...]

    @property
    def read(self) -> tuple[int, int]:
        """[start, stop) of all parts together."""
        return min(start for start, _ in self.parts), max(stop for _, stop in self.parts)


@dataclass(frozen=True, slots=True)
class Line:
    """An axis to be cut: the reach of each shift of the image, the cells of the map, and the image's length in pixels.

    ``lead`` cells without an answer are stored before the first, whole units of them.
    """

    reaches: tuple[Reach, ...]
    cells: int
    length: int
    lead: int = 0

    def __post_init__(self) -> None:
        require(self.lead >= 0 and self.lead % self.unit == 0, f"a lead of {self.lead} cells, of units of {self.unit}")

    @property
    def unit(self) -> int:
        """Cells of the map a unit."""
        return self.reaches[0].granule * len(self.reaches)

    @property
    def units(self) -> int:
        return ceil(self.cells / self.unit)

    def part(self, shift: int, first: int, last: int) -> tuple[int, int]:
        """Pixels of a shifted image for the cells [first, last)."""
        k, reach = len(self.reaches), self.reaches[shift]
        return reach.start(first // k), reach.stop(None if last >= self.cells else last // k)


@dataclass(frozen=True)
class Cut:
    """One way to cut an axis: tiles of ``first`` units, then of ``inner``, and one to the end; chunks of so many cells."""

    line: Line
    count: int
    first: int
    inner: int
    chunk: int

    def _at(self, i: int) -> tuple[int, int]:
        """[first, last) cells of a tile."""
        first, last = (self._edge(j) * self.line.unit for j in (i, i + 1))
        return first, min(last, self.line.cells)

    def _edge(self, i: int) -> int:
        """Where tile ``i`` begins, in units."""
        if i in (0, self.count):
            return self.line.units if i else 0
        return self.first + (i - 1) * self.inner

    @property
    def cells(self) -> tuple[tuple[int, int], ...]:
        """[first, last) of every tile."""
        return tuple(self._at(i) for i in range(self.count))

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        """Pixels of every part, one number a shift: what the tiles at the ends need, and one that touches no end."""
        return tuple(max(self._needs(shift, reach)) for shift, reach in enumerate(self.line.reaches))

    def _needs(self, shift: int, reach: Reach) -> Iterator[int]:
        for i in {0, self.count - 1}:
            start, stop = self.line.part(shift, *self._at(i))
            yield stop - start
        if self.count > 2:
            yield min(
                reach.length, self.inner * reach.period + halo(reach) * reach.period + reach.length % reach.period
            )

    @cached_property
    def length(self) -> int:
        return max(self.lengths)

    @cached_property
    def most_cells(self) -> int:
        return max(last - first for first, last in (self._at(i) for i in {0, self.count // 2, self.count - 1}))

    def sides(self) -> tuple[Side, ...]:
        return tuple(Side(cells, tuple(self._parts(cells))) for cells in self.cells)

    def _parts(self, cells: tuple[int, int]) -> list[tuple[int, int]]:
        """Parts of one length a shift; where a tile needs less, it starts earlier."""
        found = []
        for shift, (reach, length) in enumerate(zip(self.line.reaches, self.lengths, strict=True)):
            need, stop = self.line.part(shift, *cells)
            start = min(need, reach.length - length)
            if not 0 <= start <= need < stop <= start + length:
                raise BrokenPromise(
                    f"cells {cells} need the pixels {need} to {stop}, and their part is {start} to {start + length}"
                )
            moved = start + int(shift * reach.step / len(self.line.reaches))
            found.append((moved, moved + length))
        return found

    def decoded(self, size: int) -> int:
        """Pixels of this axis that a source with tiles of this size decodes for all tiles together, told from some of them."""
        step = max(1, self.count // _LOOKED_AT)
        total, looked = 0, range(0, self.count, step)
        for i in looked:
            parts = self._parts(self._at(i))
            start, stop = min(a for a, _ in parts), min(max(b for _, b in parts), self.line.length)
            total += (-(-stop // size) - start // size) * size
        return total * self.count // len(looked)


def cuts(line: Line) -> list[Cut]:
    """Ways to cut an axis, from one tile to the most, each with shorter parts than the one before."""
    least = ceil(max(reach.least / reach.granule for reach in line.reaches))
    most = max(1, line.units // least)
    counts = {max(1, round(most ** (i / (_TRIED - 1)))) for i in range(_TRIED)} | set(range(1, min(most, 32) + 1))
    found: list[Cut] = []
    for count in sorted(counts):
        made = [cut for cut in (_cut(line, count, size, least) for size in _chunks(line, count)) if cut is not None]
        if not made:
            continue
        best = min(made, key=lambda cut: cut.length * (1 + _DEARER * line.cells / cut.chunk))
        if not found or best.length < found[-1].length:
            found.append(best)
    return found


def halo(reach: Reach) -> int:
    """Periods that an inner tile's part is longer than its cells, the rest that the image's length leaves aside."""
    return ceil(reach.before / reach.period) + reach.length // reach.period - floor(reach.slack / reach.period)


def _chunks(line: Line, count: int) -> list[int]:
    """Sizes of chunks to try, in units."""
    each = ceil(line.units / count)
    largest = max(1, _CHUNK // line.unit)
    least = min(each, largest, ceil(_LEAST_CHUNK / line.unit))
    return sorted({min(largest, max(least, ceil(each / parts))) for parts in _PARTS})


def _cut(line: Line, count: int, chunk: int, least: int) -> Cut | None:
    """At most ``count`` tiles of whole chunks, with parts as short as they get; None where none has ``least`` units."""
    if count == 1:
        return Cut(line, 1, line.units, line.units, chunk * line.unit)
    reach = line.reaches[0]
    low, high = 0, ceil(reach.length / reach.period)  # periods that a part is shorter than the image
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (
            (middle, high)
            if _tiles(line, reach.length - middle * reach.period, chunk, least, count)
            else (low, middle - 1)
        )
    return _tiles(line, reach.length - low * reach.period, chunk, least, count)


def _tiles(line: Line, length: int, chunk: int, least: int, count: int) -> Cut | None:
    """The tiles that parts of this length allow, None where they are more than ``count``."""
    reach = line.reaches[0]
    if length >= reach.length:
        return Cut(line, 1, line.units, line.units, chunk * line.unit)
    lead = line.lead // line.unit
    first = (floor((reach.slack - reach.length + length) / reach.period) + lead) // chunk * chunk - lead
    inner = (length // reach.period - halo(reach)) // chunk * chunk
    behind = (reach.length - length + reach.before) / reach.period
    last = ceil((behind + lead) / chunk) * chunk - lead  # where the last tile may begin
    if min(first, inner) < max(1, least) or first >= line.units:
        return None
    between = max(0, ceil((last - first) / inner))
    if between + 2 > count or line.units - first - between * inner < least:
        return None
    return Cut(line, between + 2, first, inner, chunk * line.unit)
