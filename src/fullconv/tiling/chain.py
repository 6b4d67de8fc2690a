"""Which links a network is cut into, and how many rows each runs at a time, so that least work is done twice in the memory that there is.

Every cut costs: what goes over it is copied out of the engine's layout and back, and its rows are held. Every link costs the rows and columns that its
own windows need around a part. With w of the work in a link, which is done for h pixels more, and b bytes a column for every pixel that its rows grow by, parts of S pixels
cost w·h/S + μ·b·S, so S = √(w·h / (μ·b)) for whatever a byte is worth, μ. For each μ the best cuts are a shortest path.

With padding h is all that a link's windows reach; without (``runtimes.exact``) each gap does the rows alone that those behind it read, for which ways around blocks are cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt

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
        own: rows for which its work is done beside those that it makes, where it runs without padding; None where it cannot.
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
class Span:
    """Gaps [first, last) as one link.

    Attributes:
        halo, work, bytes, reads: as a gap's.
        makes: bytes a pixel that its rows take behind it; None behind the last link.
        again: rows, times the work that is done for them once more with every part.
        costs: share of the network's work that copies cost.
        exact: it runs without padding, where none is read.
    """

    first: int
    last: int
    halo: tuple[float, float]
    work: float
    bytes: float
    reads: float
    makes: float | None
    again: float
    costs: float
    exact: bool


@dataclass(frozen=True, slots=True)
class Leg:
    """A link as planned, with parts that come forward by ``rows`` and are ``cols`` wide, in pixels."""

    span: Span
    rows: float
    cols: float


@dataclass(frozen=True, slots=True)
class Way:
    """A chain as planned.

    Attributes:
        lost: work that is done twice, and what copies cost, over the work that must be done.
        column: bytes that a column of pixels takes.
    """

    legs: tuple[Leg, ...]
    lost: float
    column: float


def spans(gaps: Sequence[Gap]) -> list[Span]:
    """All links that there may be, those that end first before the others."""
    found, count = [], len(gaps)
    for last in range(1, count + 1):
        for first in range(max(0, last - _LONGEST), last):
            some = gaps[first:last]
            halo = sum(g.halo[0] for g in some), sum(g.halo[1] for g in some)
            work, each = sum(g.work for g in some), max(g.bytes for g in some)
            makes = None if last == count else _AHEAD * gaps[last].reads
            cut = 0.0 if last == count else some[-1].cut
            found.append(Span(first, last, halo, work, each, some[0].reads, makes, work * halo[0], cut, exact=False))
            again, behind = 0.0, 0.0
            for gap in reversed(some):
                if gap.own is None:
                    break
                again += gap.work * (gap.own + behind)
                behind += gap.halo[0]
            else:
                cut += sum(gap.around for gap in some)
                found.append(Span(first, last, halo, work, each, some[0].reads, makes, again, cut, exact=True))
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
    none: tuple[float, tuple[Leg, ...], float, float] = (inf, (), 0.0, 0.0)
    best = {0: (0.0, none[1], 0.0, 0.0)}
    for span in links:
        before = best.get(span.first, none)
        behind = ends if span.makes is None else span.makes
        down, along = span.halo
        rows = max(_LEAST, sqrt(span.again / (value * (span.reads + behind))), least if span.makes is None else 0)
        cols = room / (span.bytes * (rows + down))
        if cols < 2 * along + _LEAST / 2:
            continue
        lost = span.again / rows + span.work * along / (cols - along) + span.costs
        column = span.reads * (rows + down) + behind * rows
        cost = before[0] + lost + value * column
        if cost < best.get(span.last, none)[0]:
            best[span.last] = cost, (*before[1], Leg(span, rows, cols)), before[2] + lost, before[3] + column
    cost, legs, lost, column = best.get(links[-1].last, none)
    return None if cost == inf else Way(legs, lost, column)
