"""Which links a network is cut into, and how many rows each runs at a time, so that least work is done twice in the memory that there is.

Every cut costs: what goes over it is copied out of the engine's layout and back, and its rows are held. Every link costs the rows and columns that its
own windows need around a part. With w of the work in a link, which is done for h pixels more, and b bytes a column for every pixel that its rows grow by, parts of S pixels
cost w·h/S + μ·b·S, so S = √(w·h / (μ·b)) for whatever a byte is worth, μ. For each μ the best cuts are a shortest path.

With padding h is all that a link's windows reach; without (``runtimes.exact``) each gap does the rows alone that those behind it read, for which ways around blocks are cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, inf, sqrt

_LEAST = 128.0  # pixels that a part's rows come forward: shorter ones are many small runs
_AHEAD = 0.25  # of a part's rows that are made before they are read, as a rule
_LONGEST = 24  # gaps that a link is tried over


@dataclass(frozen=True, slots=True)
class Gap:
    """From one neck of a network to the next, all in pixels of the image.

    Attributes:
        halo: (rows, columns) that its windows need around what they make.
        work: its share of the network's.
        bytes: of the engine's memory a pixel.
        reads: bytes a pixel of what it reads, the copy for the engine included.
        cut: share of the network's work that copying what it makes costs.
        own: rows (or columns) for which its work is done beside those that it makes, where it runs without padding; None where it cannot.
        around: share of the network's work that cutting rows off the ways around its blocks costs then.
    """

    halo: tuple[float, float]
    work: float
    bytes: float
    reads: float
    cut: float
    own: float | None = None
    around: float = 0.0


@dataclass(frozen=True, slots=True)
class Leg:
    """A link as planned: gaps [first, last), with parts that come forward by ``rows`` and are ``cols`` wide, in pixels; ``exact`` without padding where no side of the image is."""

    first: int
    last: int
    rows: float
    cols: float
    exact: bool


@dataclass(frozen=True, slots=True)
class Way:
    """A chain as planned.

    Attributes:
        lost: work that is done twice, over the work that must be done.
        column: bytes that a column of pixels takes.
    """

    legs: tuple[Leg, ...]
    lost: float
    column: float


@dataclass(frozen=True, slots=True)
class Span:
    """Gaps [first, last) as one link: the halo of both sides, their work, bytes a pixel of the engine, of what is read and of what is made, what the cuts behind and around cost, and the work times the rows and columns for which it is done more than once a part; whether it runs without padding."""

    first: int
    last: int
    halo: tuple[float, float]
    bytes: float
    reads: float
    makes: float | None
    cut: float
    again: tuple[float, float]
    exact: bool


def spans(gaps: Sequence[Gap]) -> list[Span]:
    """All links that there may be, those that end first before the others."""
    found = []
    for last in range(1, len(gaps) + 1):
        for first in range(max(0, last - _LONGEST), last):
            some, ends = gaps[first:last], last == len(gaps)
            halo = sum(g.halo[0] for g in some), sum(g.halo[1] for g in some)
            makes = None if ends else _AHEAD * gaps[last].reads
            down, along, around, exact = _again(some)
            cut = around + (0.0 if ends else some[-1].cut)
            found.append(
                Span(first, last, halo, max(g.bytes for g in some), some[0].reads, makes, cut, (down, along), exact)
            )
    return found


def cheapest(links: Sequence[Span], value: float, room: float, ends: float, least: float) -> Way | None:
    """The chain whose work and memory together cost least.

    Args:
        links: from the image to the map, as ``spans`` gives them.
        value: μ, the work that a byte a column is worth.
        room: bytes for a run of the engine.
        ends: bytes a pixel that the map's own cells take.
        least: pixels that the last link comes forward by.
    """
    nothing: tuple[float, tuple[Leg, ...], float, float] = (inf, (), 0.0, 0.0)
    best = {0: (0.0, nothing[1], 0.0, 0.0)}
    for span in links:
        before = best.get(span.first, nothing)
        growing = span.reads + (ends if span.makes is None else span.makes)
        down, along = span.halo
        rows = max(_LEAST, sqrt(span.again[0] / (value * growing)), least if span.makes is None else 0)
        cols = room / (span.bytes * (rows + down))
        if cols < 2 * along + _LEAST / 2:
            continue
        lost = span.again[0] / rows + span.again[1] / (cols - along) + span.cut
        column = span.reads * (rows + down) + (growing - span.reads) * rows
        cost = before[0] + lost + value * column
        if cost < best.get(span.last, nothing)[0]:
            leg = Leg(span.first, span.last, rows, cols, span.exact)
            best[span.last] = cost, (*before[1], leg), before[2] + lost, before[3] + column
    found = best.get(links[-1].last, nothing)
    return None if found[0] == inf else Way(found[1], found[2], found[3])


def _again(gaps: Sequence[Gap]) -> tuple[float, float, float, bool]:
    """Work times the rows, and times the columns, for which it is done more than once a part; what ways around cost; and whether it is without padding."""
    again, behind = [0.0, 0.0], [0.0, 0.0]
    for gap in reversed(gaps):
        if gap.own is None:
            work = sum(g.work for g in gaps)
            return work * sum(g.halo[0] for g in gaps), work * sum(g.halo[1] for g in gaps), 0.0, False
        for side in (0, 1):
            again[side] += gap.work * (gap.own + behind[side])
            behind[side] += gap.halo[side]
    return again[0], again[1], sum(gap.around for gap in gaps), True


# Closer ------------------------------------------------------------------------------------------

_STRIPS = (16, 18, 20, 22, 24, 26, 28, 30, 32)  # cells that the last link comes forward by
_TIMES = (3.0, 2.0, 1.0, 1 / 2, 1 / 3)  # what a link comes forward by, in what its reader does
_SHARES = (0.05, 0.07, 0.1, 0.14, 0.2, 0.3, 0.45)
_OVER = 10.0


@dataclass(frozen=True)
class Closer:
    """A chain in a band of one width: how far each link comes forward, looked for step by step.

    Links come forward by whole multiples of each other, so that no rows wait which are read later; so what is held moves in jumps.

    Attributes:
        links: of the chain, from the image on.
        width: of the band in pixels.
        free: bytes.
        ends: bytes a pixel that the map's own cells take.
        step: pixels from cell to cell.
    """

    links: tuple[Span, ...]
    width: float
    free: float
    ends: float
    step: int

    def found(self) -> tuple[float, Way]:
        """The chain as it costs least, with its cost: of coming forward by other steps, one at a time, none is better."""
        count = len(self.links)
        state = [_STRIPS[0], *[1.0] * (count - 1), 0.14]
        choices = [_STRIPS, *[_TIMES] * (count - 1), _SHARES]
        best, better = self.cost(state)[0], True
        while better:
            better = False
            for i, some in enumerate(choices):
                for value in some:
                    if value == state[i]:
                        continue
                    tried = [*state[:i], value, *state[i + 1 :]]
                    cost = self.cost(tried)[0]
                    if cost < best:
                        best, state, better = cost, tried, True
        return best, self.cost(state)[1]

    def cost(self, state: Sequence[float]) -> tuple[float, Way]:
        """Work lost, copied and cut, with a fine for memory that there is not; and the chain.

        Args:
            state: cells of a strip; for each link but the last, how much further than its reader it comes; and the share of the memory for a run
                of the engine.
        """
        count = len(self.links)
        rows = [state[0] * self.step]
        for times in state[1:count][::-1]:
            rows.insert(0, rows[0] * times)
        room = state[count] * self.free
        legs, lost, costs, run = [], 0.0, 0.0, 0.0
        for span, each in zip(self.links, rows, strict=True):
            down, along = span.halo
            area = span.bytes * (each + down)
            cols = min(self.width, max(2 * along + _LEAST / 2, room / area))
            run = max(run, area * cols)
            parts = ceil((self.width - along) / max(1.0, cols - along))
            lost += span.again[0] / each + span.again[1] * (parts - 1) / self.width
            costs += span.cut
            legs.append(Leg(span.first, span.last, each, cols, span.exact))
        image = self.links[0].reads * (rows[0] + self.links[0].halo[0])
        takes = run + self.width * (self._held(rows) + image + self.ends * rows[-1])
        fine = _OVER * max(0.0, takes / self.free - 1) + (1.0 if min(rows) < _LEAST / 2 else 0.0)
        return lost + costs + fine, Way(tuple(legs), lost, takes / self.width)

    def _held(self, rows: Sequence[float]) -> float:
        """Bytes a column that rows between links take: as many as the longer of the parts that make and read them, and those that are read again."""
        return sum(
            span.reads * (max(before, own) + span.halo[0])
            for span, before, own in zip(self.links[1:], rows, rows[1:], strict=False)
        )
