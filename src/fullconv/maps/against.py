"""Cells of two maps counted against each other, piece by piece, so that maps of any size take the memory of a piece."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.maps.apart import coarser_of, have_scores
from fullconv.maps.classmap import ClassMap
from fullconv.maps.kinds import Kinds
from fullconv.maps.nearest import Nearest
from fullconv.maps.shared import Shared

Array = npt.NDArray[Any]
Span = tuple[int, int]
_PIECE = 32 << 20  # bytes of scores that are read of one map at once
_AWAY = 1e-9  # pixels between centres that are one place
_ALONE, _SAME, _FIRST, _SECOND, _OTHER = range(5)
_COLOURS = (
    (150, 150, 150),
    (0, 114, 178),
    (0, 158, 115),
    (230, 159, 0),
    (213, 94, 0),
)  # apart for the colour-blind too
_WINNERS = ("an answer in one map only", "the same winner", "", "", "another winner")
_MEMBERS = (
    "an answer in one map only",
    "in both maps",
    "in the first map only",
    "in the second map only",
    "another of the classes",
)


@dataclass(frozen=True, slots=True)
class Gap:
    """The cell whose scores differ most: of which class, where its centre lies in pixels, and the score in either map."""

    label: str
    row: int
    col: int
    x: float
    y: float
    first: float
    second: float


@dataclass(frozen=True, slots=True)
class _Side:
    """One map's cells of a piece: winners by number of the shared list, -1 without an answer; members (classes chosen, rows, cols); scores of common classes."""

    winners: Array
    members: Array | None
    scores: Array | None


class Against:
    """Two maps counted against each other.

    Attributes:
        grid: the cells that are counted.
        compared, agree, alone, apart: of ``Comparison``.
        members: of each class of the shared list, cells in the first, in the second, in both.
    """

    def __init__(
        self, shared: Shared, first: ClassMap, second: ClassMap, chosen: tuple[int, ...] | None, threshold: float | None
    ) -> None:
        self._shared, self._maps, self._chosen, self._threshold = shared, (first, second), chosen, threshold
        self._base = coarser_of(self._maps)
        self.grid = self._maps[self._base].grid
        self._near = Nearest.of(self.grid, self._maps[1 - self._base].grid)
        self.compared = self.agree = self.apart = 0
        self._alone = [0, 0]
        self.members = np.zeros((3, len(shared.labels)), np.int64)
        self._pairs: Counter[tuple[int, int]] = Counter()
        self.kinds = Kinds(self.grid, list(zip(_WINNERS if chosen is None else _MEMBERS, _COLOURS, strict=True)))
        self._has_scores = have_scores(self._maps)
        self._sums = np.zeros((3, len(shared.labels)))  # of second less first, of its size, and cells
        self.largest: Gap | None = None

    @property
    def alone(self) -> tuple[int, int]:
        return self._alone[0], self._alone[1]

    @property
    def off(self) -> tuple[float, float]:
        return self._near[0].off, self._near[1].off

    @property
    def gaps(self) -> list[float | None]:
        """Mean difference of each class's scores."""
        return [float(total / cells) if cells else None for total, _, cells in self._sums.T]

    @property
    def mean_gap(self) -> float | None:
        _, size, cells = self._sums.sum(axis=1)
        return float(size / cells) if cells else None

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is to be known of how they were counted."""
        said = []
        if self._maps[0].grid.stride != self._maps[1].grid.stride or max(self.off) > _AWAY:
            which = ("first", "second")[self._base]
            off = max(self.off)
            apart = f"nearest centres are at most {off:.3g} px away" if off > _AWAY else "centres lie on them"
            said.append(f"cells are the {which} map's; the other's {apart}")
        kinds = [found.score_kind or "of no kind that is known" for found in self._maps]
        if kinds[0] != kinds[1]:
            said.append(f"scores are not compared: they are {kinds[0]} in the first map and {kinds[1]} in the second")
        elif not self._has_scores:
            said.append("scores are not compared: a map holds those of winners alone")
        return tuple(said)

    def pairs(self, most: int) -> tuple[tuple[str, str, int], ...]:
        """Winners of cells that part, most frequent first."""
        labels = self._shared.labels
        order = sorted(self._pairs.items(), key=lambda item: (-item[1], item[0]))[:most]
        return tuple((labels[a], labels[b], count) for (a, b), count in order)

    def count(self) -> None:
        """Read both maps, and count."""
        near_y, near_x = (near.index for near in self._near)
        for rows, cols in self._pieces():
            at = near_y[rows[0] : rows[1]], near_x[cols[0] : cols[1]]
            base = self._side(self._base, rows, cols, None)
            other = self._side(1 - self._base, _span(at[0]), _span(at[1]), at)
            first, second = (other, base) if self._base else (base, other)
            self._add(first, second, rows[0], cols[0])

    def _pieces(self) -> Iterator[tuple[Span, Span]]:
        """The counted map in pieces, none of which reads more than so much of either map."""
        finer = self._maps[1 - self._base].grid
        dense = max(1.0, float(self.grid.stride[0] * self.grid.stride[1] / (finer.stride[0] * finer.stride[1])))
        classes = max(len(found.labels) for found in self._maps)
        most = max(1, int(_PIECE / (4 * classes * dense)))
        for top, left, winners in self._maps[self._base].winning():
            high, wide = winners.shape
            across = min(wide, most)
            down = max(1, most // across)
            for y in range(top, top + high, down):
                for x in range(left, left + wide, across):
                    yield (y, min(y + down, top + high)), (x, min(x + across, left + wide))

    def _side(self, which: int, rows: Span, cols: Span, at: tuple[Array, Array] | None) -> _Side:
        """One map's cells of a piece.

        Args:
            at: of the other map, its rows and columns at the piece's cells; -1 where it has none.
        """
        found, shared = self._maps[which], self._shared
        winners, scores = self._read(found, rows, cols)
        if at is not None:
            winners, scores = _picked(winners, scores, at, (rows[0], cols[0]))
        place = np.arange(len(found.labels)) if which == 0 else shared.second
        own = {int(number): i for i, number in enumerate(place)}
        winners = np.where(winners < 0, -1, place[winners])
        members = None
        if self._chosen is not None:
            members = np.zeros((len(self._chosen), *winners.shape), np.bool_)
            for i, number in enumerate(self._chosen):
                if self._threshold is None:
                    members[i] = winners == number
                elif number in own and scores is not None:
                    members[i] = scores[own[number]] >= self._threshold  # false where there is no answer
        common = None if scores is None or not self._has_scores else scores[[own[i] for i in shared.common]]
        return _Side(winners, members, common)

    def _read(self, found: ClassMap, rows: Span, cols: Span) -> tuple[Array, Array | None]:
        """Winners (rows, cols) of a map, -1 without an answer, and scores (classes, rows, cols) where they are needed."""
        window = slice(*rows), slice(*cols)
        needed = self._threshold is not None or self._has_scores
        scores = np.asarray(found.scores[:, window[0], window[1]]) if needed else None
        return found.winners_in(*window)[0], scores

    def _add(self, first: _Side, second: _Side, top: int, left: int) -> None:
        there = first.winners >= 0, second.winners >= 0
        both = there[0] & there[1]
        self.compared += int(both.sum())
        for i in (0, 1):
            self._alone[i] += int((there[i] & ~there[1 - i]).sum())
        kinds = np.full(both.shape, -1, np.intp)
        kinds[there[0] ^ there[1]] = _ALONE
        if first.members is None or second.members is None:
            agrees = both & (first.winners == second.winners)
            kinds[both] = np.where(agrees, _SAME, _OTHER)[both]
            self._count_wins(first.winners[both], second.winners[both])
        else:
            agrees = both & (first.members == second.members).all(axis=0)
            kinds[both] = _kinds_of_members(first.members, second.members, agrees)[both]
            for i, number in enumerate(self._chosen or ()):
                a, b = first.members[i][both], second.members[i][both]
                self.members[:, number] += a.sum(), b.sum(), (a & b).sum()
            parts = both & ~agrees
            self._pairs.update(zip(first.winners[parts].tolist(), second.winners[parts].tolist(), strict=True))
        self.agree += int(agrees.sum())
        rows, cols = np.nonzero(kinds >= 0)
        self.kinds.add(rows + top, cols + left, kinds[rows, cols])
        if first.scores is not None and second.scores is not None:
            self._count_gaps(first.scores, second.scores, both, (top, left))

    def _count_wins(self, first: Array, second: Array) -> None:
        count = len(self._shared.labels)
        same = first == second
        for i, won in enumerate((first, second, first[same])):
            self.members[i] += np.bincount(won, minlength=count)
        pairs, cells = np.unique(first[~same] * count + second[~same], return_counts=True)
        for pair, number in zip(pairs.tolist(), cells.tolist(), strict=True):
            self._pairs[divmod(pair, count)] += number

    def _count_gaps(self, first: Array, second: Array, both: Array, corner: Span) -> None:
        with np.errstate(invalid="ignore"):  # of two infinities
            gap = np.where(first == second, 0, second.astype(np.float64) - first)
        known = np.isfinite(gap)
        self.apart += int((~known & both & ~(np.isnan(first) & np.isnan(second))).sum())
        common = list(self._shared.common)
        sizes = np.abs(np.where(known, gap, 0))
        self._sums[0, common] += np.where(known, gap, 0).sum(axis=(1, 2))
        self._sums[1, common] += sizes.sum(axis=(1, 2))
        self._sums[2, common] += known.sum(axis=(1, 2))
        i, row, col = np.unravel_index(int(sizes.argmax()), sizes.shape)
        most = self.largest
        if known[i, row, col] and (most is None or sizes[i, row, col] > abs(most.second - most.first)):
            top, left = corner
            x, y = self.grid.centre(top + int(row), left + int(col))
            scores = float(first[i, row, col]), float(second[i, row, col])
            self.largest = Gap(self._shared.labels[common[i]], top + int(row), left + int(col), x, y, *scores)


def _kinds_of_members(first: Array, second: Array, agrees: Array) -> Array:
    """The kind of each cell by whether it is of any class that was chosen; -1 where it is of none in both."""
    one, two = first.any(axis=0), second.any(axis=0)
    kinds = np.where(one & two, np.where(agrees, _SAME, _OTHER), np.where(one, _FIRST, _SECOND))
    return np.where(one | two, kinds, -1)


def _picked(winners: Array, scores: Array | None, at: tuple[Array, Array], first: Span) -> tuple[Array, Array | None]:
    """Cells of a part of a map that begins at ``first``, by rows and columns of the map; no answer where one of these is -1."""
    beyond = (at[0] < 0)[:, None] | (at[1] < 0)[None]
    if 0 in winners.shape:
        return np.full(beyond.shape, -1, np.intp), None if scores is None else np.full(
            (len(scores), *beyond.shape), np.nan, np.float32
        )
    index = np.ix_(*(np.maximum(each - start, 0) for each, start in zip(at, first, strict=True)))
    picked = None if scores is None else np.where(beyond, np.float32(np.nan), scores[(slice(None), *index)])
    return np.where(beyond, -1, winners[index]), picked


def _span(at: Array) -> Span:
    """The rows, or columns, from the first to the last that is there; none where none is."""
    there = at[at >= 0]
    return (int(there.min()), int(there.max()) + 1) if len(there) else (0, 0)
