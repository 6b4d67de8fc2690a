"""Rows kept from strip to strip: an image of any height through a chain of networks, each of which runs on a few rows at a time.

A network is cut at its necks (``graph.necks``) into links. A link reads the rows that the one before makes as a network reads an image: it
runs on parts of one shape, cut by the same arithmetic as tiles (``tiling.window``), so that every row it makes is the whole image's own. The rows
that its next part needs too are kept, and so nothing above is computed again but within a link; and there little, since parts whose windows read no padding
above or below are run without (``runtimes.exact``). Which parts there are depends on nothing but the map:
a run that begins at any strip computes the same parts from the same rows, only those that it needs, so its cells are the same to the bit.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from itertools import accumulate, pairwise
from math import ceil, floor
from typing import Any

from fullconv.errors import BrokenPromise
from fullconv.tiling.window import Reach

_AHEAD = 0.3  # of a piece that may be made before it is read


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a link along one axis.

    Attributes:
        cells: [first, last) of what the link makes.
        part: [start, stop) of what it reads.
        origin: the cell of what it makes at which the part's own begin.
        exact: it is run without padding, on the rows alone that its cells read.
    """

    cells: tuple[int, int]
    part: tuple[int, int]
    origin: int
    exact: bool = False

    @property
    def take(self) -> slice:
        """The piece's cells among those that the part gives."""
        return slice(self.cells[0] - self.origin, self.cells[1] - self.origin)


@dataclass(frozen=True, slots=True)
class Bare:
    """What parts without padding read: the cells [first, last) for cell 0 of what is made, of an image without end, and ``step`` more for the next."""

    first: int
    last: int
    step: int


def pieces(reach: Reach, edges: Sequence[int], bare: Bare | None = None) -> tuple[Piece, ...]:
    """Parts for the cells between edges, which begin with 0 and end with the last cell that is wanted.

    Those behind which no window reads padding are exact and of one length, the others beside them as long as they need; where none is exact, all are of one length.

    Args:
        bare: what exact parts read; None where all have padding.
    """
    every = tuple(pairwise(edges))
    first, last = ceil(reach.before / reach.step), floor(reach.slack / reach.step)  # cells that read none
    inner = {(a, b) for a, b in every if bare is not None and first <= a and b <= last}
    most = max((b - a for a, b in inner), default=0)
    inner = {(a, b) for a, b in inner if first <= b - most}
    needs = {each: _need(reach, *each, ends=each == every[-1]) for each in every if each not in inner}
    length = 0 if inner else max(stop - start for start, stop in needs.values())
    found = []
    for a, b in every:
        if bare is not None and (a, b) in inner:
            part = (b - most) * bare.step + bare.first, (b - 1) * bare.step + bare.last
            found.append(Piece((a, b), part, b - most, exact=True))
            continue
        need, stop = needs[a, b]
        start = min(need, reach.length - length)
        part = start, max(stop, start + length)
        if not 0 <= start <= need < stop <= part[1] <= reach.length:
            raise BrokenPromise(f"cells {a} to {b} need {need} to {stop}, and their part is {part}")
        found.append(Piece((a, b), part, int(start / reach.step)))
    return tuple(found)


def _need(reach: Reach, first: int, last: int, *, ends: bool) -> tuple[int, int]:
    """The part [start, stop) that some cells need: of those that see padding alone, what the last one before them does."""
    while reach.start(first) >= reach.length:
        first -= 1
    return reach.start(first), reach.stop(None if ends else last)


def evenly(count: int, most: int) -> tuple[int, ...]:
    """Edges of so many cells in pieces of at most ``most``, all about as large."""
    parts = max(1, -(-count // max(1, most)))
    return tuple(count * i // parts for i in range(parts + 1))


def aligned(stops: Sequence[int], about: int) -> tuple[int, ...]:
    """Edges from 0 on of pieces of one size, of about so many cells, at places where a reader's parts stop: then little more is held than it reads.

    Args:
        stops: of the reader's parts, each once, in order; all but the first and the last by the same number of cells from the one before.
    """
    if len(stops) < 4:
        return evenly(stops[-1], about)
    phase, gap = stops[-2], stops[-2] - stops[-3]
    each = Fraction(gap, max(1, round(gap / max(1, about)))) if gap >= about else Fraction(gap * round(about / gap))
    grid = {phase + floor(i * each) for i in range(-int(phase / each), ceil((stops[-1] - phase) / each))}
    edges = sorted({0, *grid, stops[-1]})
    most = float(max(each - gap, Fraction(0))) + _AHEAD * float(each)
    far = {stop for stop in stops if edges[bisect_left(edges, stop)] - stop > most}
    return tuple(sorted({*edges, *far}))


@dataclass(frozen=True)
class Link:
    """A network of the chain.

    Attributes:
        reads, makes: values, by the network's own names.
        rows: its parts from the image's first row to the last.
        cols: its parts from a band's first column to the last; the same for every band.
    """

    reads: str
    makes: str
    rows: tuple[Piece, ...]
    cols: tuple[Piece, ...]

    @property
    def part(self) -> tuple[int, int]:
        """(height, width) of the largest part, in cells of what is read."""
        (left, right), heights = self.cols[0].part, [height for height, _ in self.kinds]
        return max(heights), right - left

    @cached_property
    def kinds(self) -> Mapping[tuple[int, bool], int]:
        """How many parts down a band are of which height, with padding or exact."""
        return Counter((piece.part[1] - piece.part[0], piece.exact) for piece in self.rows)

    @cached_property
    def tops(self) -> tuple[int, ...]:
        """For each part, the first row that it or one behind it reads."""
        return tuple(accumulate((piece.part[0] for piece in reversed(self.rows)), min))[::-1]

    @property
    def width(self) -> int:
        """Columns of what it makes of a band."""
        return self.cols[-1].cells[1]

    def to_json(self) -> dict[str, Any]:
        def told(given: Sequence[Piece]) -> list[list[int]]:
            return [[*piece.cells, *piece.part, piece.origin, *[1] * piece.exact] for piece in given]

        return {"reads": self.reads, "makes": self.makes, "rows": told(self.rows), "cols": told(self.cols)}

    @staticmethod
    def from_json(data: dict[str, Any]) -> Link:
        def made(given: Any) -> tuple[Piece, ...]:
            return tuple(Piece((int(a), int(b)), (int(c), int(d)), int(e), bool(f)) for a, b, c, d, e, *f in given)

        return Link(str(data["reads"]), str(data["makes"]), made(data["rows"]), made(data["cols"]))


@dataclass
class Flow:
    """Where each link of a chain is: the number of its next part, and how far the rows that it reads are made.

    The first link reads the image; the last one runs when its strip is wanted.
    """

    links: tuple[Link, ...]
    next: list[int] = field(default_factory=list)
    made: list[int] = field(default_factory=list)

    @staticmethod
    def at(links: tuple[Link, ...], strip: int) -> Flow:
        """Before a strip of the last link, with nothing made: each link begins with the part that has the first row that the one behind it needs."""
        numbers = [strip]
        for link, behind in zip(links[-2::-1], links[:0:-1], strict=True):
            first = behind.tops[numbers[-1]]
            numbers.append(bisect_right([piece.cells[0] for piece in link.rows], first) - 1)
        flow = Flow(links, numbers[::-1], [0] * len(links))
        flow.made = [0, *(flow.base(i) for i in range(1, len(links)))]
        return flow

    def base(self, link: int) -> int:
        """The first row that a link still reads."""
        rows, number = self.links[link].rows, self.next[link]
        return self.links[link].tops[number] if number < len(rows) else rows[-1].part[1]

    def has(self, link: int) -> bool:
        """Whether all rows of a link's next part are made."""
        rows, number = self.links[link].rows, self.next[link]
        return number < len(rows) and rows[number].part[1] <= self.made[link]

    def ready(self) -> int | None:
        """The link that runs now, of those between the first and the last."""
        return next((i for i in range(len(self.links) - 2, 0, -1) if self.has(i)), None)

    def ran(self, link: int) -> Piece:
        """Note that a link's next part is run; that part."""
        piece = self.links[link].rows[self.next[link]]
        self.next[link] += 1
        if link + 1 < len(self.links):
            self.made[link + 1] = max(self.made[link + 1], piece.cells[1])
        return piece


@dataclass(frozen=True)
class Kept:
    """A chain whose links keep rows.

    Attributes:
        links: two at least, from the image to the map.
        lost: share of the work that is done more than once.
    """

    links: tuple[Link, ...]
    lost: float

    @cached_property
    def _walk(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Parts of the first link that are run before each strip is made, and the most rows that each link's input ever holds."""
        flow = Flow.at(self.links, 0)
        most = [0] * len(self.links)
        after = []
        for _ in self.links[-1].rows:
            while not flow.has(len(self.links) - 1):
                link: int | None = 0
                while link is not None:
                    flow.ran(link)
                    most[link + 1] = max(most[link + 1], flow.made[link + 1] - flow.base(link + 1))
                    link = flow.ready()
            after.append(flow.next[0])
            flow.ran(len(self.links) - 1)
        return tuple(after), tuple(most)

    @property
    def after(self) -> tuple[int, ...]:
        """For each strip, the number of the first link's parts behind the last one that it needs."""
        return self._walk[0]

    @property
    def held(self) -> tuple[int, ...]:
        """Rows of its input that each link has room for; none for the first, which reads the image."""
        return self._walk[1]

    def read_for(self, strip: int) -> tuple[int, int]:
        """The rows of the image [start, stop) that are read for a strip behind the one before it."""
        first, last = self.after[strip - 1] if strip else 0, self.after[strip]
        rows = self.links[0].rows
        return rows[min(first, last - 1)].part[0], rows[last - 1].part[1]

    def parts_for(self, strip: int, *, anew: bool) -> range:
        """The parts of the first link that make a strip, the strip before it just made or ``anew``: those above it too that it needs."""
        first = Flow.at(self.links, strip).next[0] if anew else self.after[strip - 1]
        return range(first, self.after[strip])

    def to_json(self) -> dict[str, Any]:
        return {"links": [link.to_json() for link in self.links], "lost": self.lost}

    @staticmethod
    def from_json(data: dict[str, Any]) -> Kept:
        return Kept(tuple(Link.from_json(link) for link in data["links"]), float(data["lost"]))
