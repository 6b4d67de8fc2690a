"""Which links a network is cut into, and how many rows each runs at a time, so that least work is done twice in the memory that there is.

Every cut costs: what goes over it is copied out of the engine's layout and back, and its rows are held. Every link costs the rows and columns that its
own windows need around a part. With w of the work in a link, a halo of h pixels, and b bytes a column for every pixel that its rows grow by, parts of S pixels
cost w·h/S + μ·b·S, so S = √(w·h / (μ·b)) for whatever a byte is worth, μ. For each μ the best cuts are a shortest path.
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
    """

    halo: tuple[float, float]
    work: float
    bytes: float
    reads: float
    cut: float


@dataclass(frozen=True, slots=True)
class Leg:
    """A link as planned: gaps [first, last), with parts that come forward by ``rows`` and are ``cols`` wide, in pixels."""

    first: int
    last: int
    rows: float
    cols: float


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


def cheapest(gaps: Sequence[Gap], value: float, room: float, ends: float, least: float) -> Way | None:
    """The chain whose work and memory together cost least.

    Args:
        gaps: from the image to the map.
        value: μ, the work that a byte a column is worth.
        room: bytes for a run of the engine.
        ends: bytes a pixel that the map's own cells take.
        least: pixels that the last link comes forward by.
    """
    count = len(gaps)
    best: list[tuple[float, tuple[Leg, ...], float, float]] = [(0.0, (), 0.0, 0.0)]
    for last in range(1, count + 1):
        found: tuple[float, tuple[Leg, ...], float, float] = (inf, (), 0.0, 0.0)
        for first in range(max(0, last - _LONGEST), last):
            some = gaps[first:last]
            down, along = sum(g.halo[0] for g in some), sum(g.halo[1] for g in some)
            work, each = sum(g.work for g in some), max(g.bytes for g in some)
            behind = ends if last == count else gaps[last].reads
            growing = some[0].reads + (behind if last == count else _AHEAD * behind)
            rows = max(_LEAST, sqrt(work * down / (value * growing)), least if last == count else 0)
            cols = room / (each * (rows + down))
            if cols < 2 * along + _LEAST / 2:
                continue
            lost = work * (down / rows + along / (cols - along)) + (some[-1].cut if last < count else 0)
            column = some[0].reads * (rows + down) + (growing - some[0].reads) * rows
            before = best[first]
            cost = before[0] + lost + value * column
            if cost < found[0]:
                found = cost, (*before[1], Leg(first, last, rows, cols)), before[2] + lost, before[3] + column
        best.append(found)
    cost, legs, lost, column = best[-1]
    return None if cost == inf else Way(legs, lost, column)
