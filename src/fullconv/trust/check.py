"""A cast that checks itself: the network that came out is run, at two sizes and more, against the one that went in.

Whatever rule was wrong, a wrong cast shows in one of these:
1. at training size, the cast's answer is the original's;
2. at two larger sizes, different for rows and columns and the second one a multiple of nothing, every value has the shape that the
   geometry tells (``map_sizes``, ``fitting``);
3. there, cells that the plan says equal their crops (all of an exact network's, the free cells of another's) do;
4. where padding alone parts map and crops, a cell whose field lies in the image does not change when the image grows past it.

Differences are judged against rounding that is measured on the untouched network: its own answers when the last bits of its input
change. What is not clearly rounding is computed again in double precision, which decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import lcm, prod
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.errors import BrokenPromise, CannotRun, FullconvError, NoWeights, Refused
from fullconv.geometry.field import receptive_fields
from fullconv.geometry.lengths import map_sizes
from fullconv.graph.nodes import Graph, Window
from fullconv.surgery.plan import Plan
from fullconv.trust.compare import LAST_BIT, MARGIN, as_cells, gaps, scale_of
from fullconv.trust.parting import first_difference, in_groups, is_number
from fullconv.trust.trial import Checkable, Size, Trial, least_scale

Array = npt.NDArray[Any]
EXACT_BITS = 1e-9  # of the largest answer: what double precision leaves of sums in another order
_MULTIPLIED = 4 * LAST_BIT  # of the largest answer: what weights that were multiplied in fp32 leave in double precision
_NEAR = 1e-3  # of the largest answer: what an engine's float32 may be from double precision
_CLEARLY = 4  # times the measured rounding: rounding without a question
_GROWN = 6  # times the training size's pixels: larger images are not run to see a field whole
_ROUNDING = ("Round", "Floor", "Ceil", "QuantizeLinear", "DynamicQuantizeLinear", "Cast", "Sign", "Greater", "Less", "Equal", "Mod", "Where",
             "ArgMax", "ArgMin", "TopK", "Hardmax")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Checked:
    """What was seen of a cast.

    Attributes:
        sizes: (height, width) of the images that the cast ran on.
        cells: cells of the larger maps that were held against their crops.
        worst: largest difference, of the largest answer.
        grows: whether a cell was seen to keep its value while the image grew around it.
        skipped: why nothing was run, or None.
        moved: cells of an adapted network that were held against what its head says of them.
    """

    sizes: tuple[Size, ...] = ()
    cells: int = 0
    worst: float = 0.0
    grows: bool = False
    skipped: str | None = None
    moved: int = 0

    def __str__(self) -> str:
        if self.skipped is not None:
            return f"not checked: {self.skipped}"
        *first, last = (f"{h}×{w}" for h, w in self.sizes)
        at = f"{', '.join(first)} and {last}" if first else last
        seen = "the crop's own answer is kept"
        if self.cells:
            seen = f"{self.cells} cells equal their crops" if self.cells > 1 else "a cell equals its crop"
        if self.moved:
            seen = f"{self.moved} cells are moved as the head says"
        kept = ", a cell keeps its value as the image grows" if self.grows else ""
        return f"checked at {at}: {seen}{kept}, worst {self.worst:.0e}"

    def to_json(self) -> dict[str, Any]:
        """The fields, sizes as [height, width]."""
        return {
            "sizes": [list(size) for size in self.sizes], "cells": self.cells, "worst": self.worst, "grows": self.grows,
            "skipped": self.skipped, "moved": self.moved,
        }  # fmt: skip


def check(before: Checkable, after: Checkable, plan: Plan, name: str, outputs: Mapping[str, str]) -> Checked:
    """Hold a cast network against the one that it was made of.

    Args:
        before: the untouched network, at its training size.
        after: its cast, or a finer form of that.
        plan: what the cast was made by, and says of its exactness.
        name: of the network, for messages.
        outputs: each output of ``before`` to be compared, and its name in ``after``.

    Raises:
        BrokenPromise: the cast is not what the plan says, with the first layer at which the two part.
    """
    try:
        return _Check(Trial(before, after, dict(outputs)), plan, name).run()
    except (CannotRun, NoWeights) as error:
        return Checked(skipped=str(error).splitlines()[0])


@dataclass
class _Check:
    trial: Trial
    plan: Plan
    name: str
    cells: int = 0
    worst: float = 0.0
    grows: bool = False
    sizes: list[Size] = field(default_factory=list)

    @property
    def after(self) -> Checkable:
        return self.trial.after

    @property
    def graph(self) -> Graph:
        return self.trial.before.graph

    @property
    def trained(self) -> Size:
        return self.trial.trained

    def run(self) -> Checked:
        self._see(self.trained)
        self._at_training_size()
        if self.trial.is_alone and self.trial.sampling is not None:
            for size in self._larger():
                self._at(size)
            self._growing()
        return Checked(tuple(dict.fromkeys(self.sizes)), self.cells, self.worst, self.grows)

    # 1. At training size ------------------------------------------------------------------------------

    def _at_training_size(self) -> None:
        self.sizes.append(self.trained)
        image = self.trial.image(self.trained)
        mine, theirs = self.trial.crop((0, 0)), self.trial.run(self.after, image, list(self.trial.outputs.values()))
        for old, new in self.trial.outputs.items():
            have, want = (
                as_cells(self.after.graph.values[new], theirs[new]),
                as_cells(self.graph.values[old], mine[old]),
            )
            down, right = self._finer_by(new)
            have = have[:, :, ::down, ::right]
            if have.shape[:2] != want.shape[:2] or have.shape[2] < want.shape[2] or have.shape[3] < want.shape[3]:
                raise self._broken(f"{new} is {have.shape} at training size where the network answers {want.shape}")
            if (down, right) != (1, 1) and self.plan.inexact and want.shape[2:] != (1, 1):
                continue  # a finer map of many cells pads where the coarse one has its border
            self._compare(old, new, have[:, :, : want.shape[2], : want.shape[3]], want, self.trained, (0, 0))

    def _finer_by(self, new: str) -> tuple[int, int]:
        """Cells of the map for each of the untouched network's, (y, x)."""
        try:
            own = self.trial.before.sampling(self.trial.grids[new]).stride
            made = self.after.sampling(self.trial.grids[new]).stride
        except (Refused, KeyError):
            return 1, 1
        down, right = (int(a / b) for a, b in zip(own, made, strict=True))
        return max(1, down), max(1, right)

    # 2 and 3. At larger sizes -------------------------------------------------------------------------

    def _larger(self) -> Iterator[Size]:
        """One whole steps larger, and one that is a multiple of nothing; rows and columns grow differently."""
        assert self.trial.sampling is not None
        (sy, sx), (ch, cw) = self.trial.step, self.trained
        yield ch + sy, cw + 2 * sx
        yield _odd(ch + 2 * sy + 1), _odd(cw + sx + max(1, sx - 1))

    def _at(self, size: Size) -> None:
        self.sizes.append(size)
        old, new = list(self.trial.outputs.items())[-1]
        fits = self.after.fitting(size, new)
        image = self.trial.fitted(size, fits)
        self._see(fits)
        answers = self.trial.run(self.after, image, list(self.trial.outputs.values()))
        for old, new in self.trial.outputs.items():
            try:
                sampling = self.after.sampling(self.trial.grids[new])
            except (Refused, KeyError):
                continue
            found = as_cells(self.after.graph.values[new], answers[new])
            grid = sampling.over(size)
            if not self.after.graph.values[new].is_map or any(v.denominator != 1 for v in (*grid.stride, *grid.crop)):
                continue
            if found.shape[2] < grid.rows or found.shape[3] < grid.cols:
                raise self._broken(
                    f"{new} has {found.shape[2]}×{found.shape[3]} cells at {size[0]}×{size[1]} where {grid.rows}×{grid.cols} crops fit"
                )
            rows, cols = self.plan.free_cells(grid)
            chosen = [(r, c) for r in _ends(rows) for c in _ends(cols)]
            crop = (int(grid.crop[0]), int(grid.crop[1]))
            if crop != self.trained and not self.plan.is_empty:
                continue  # it takes its training size only, which is more than one crop
            for row, col in _farthest(chosen):
                start = int(row * grid.stride[0]), int(col * grid.stride[1])
                want = as_cells(self.graph.values[old], self.trial.crop(start, crop)[old])
                if want.shape[2:] != (1, 1):
                    continue
                self._compare(old, new, found[:, :, row : row + 1, col : col + 1], want, size, start)
                self.cells += new == list(self.trial.outputs.values())[-1]

    def _see(self, size: Size) -> None:
        """Told shapes are the real ones: inferred, and where that differs or cannot be had, run."""
        inferred = self.after.shapes(size) if self.trial.is_alone else None
        if inferred is not None and self._misshapen(size, inferred) is None:
            return
        graph = self.after.graph
        image = self.trial.given(self.after, self.trial.image(size))
        for group in in_groups(graph, [v for node in graph for v in node.outputs], size):
            seen = {name: array.shape for name, array in self.after.values(image, group).items()}
            wrong = self._misshapen(size, seen)
            if wrong is not None:
                raise self._broken(f"for an image of {size[0]}×{size[1]} {wrong}")

    def _misshapen(self, size: Size, shapes: Mapping[str, tuple[int, ...]]) -> str | None:
        graph = self.after.graph
        sizes = map_sizes(graph, size)
        for name, shape in shapes.items():
            axes = graph.values.get(name)
            if axes is None or not shape:
                continue
            want = axes.with_size(*sizes[name]) if name in sizes and axes.is_map else axes
            if tuple(shape[1:]) != want.shape[1:]:
                return f"{name} is {tuple(shape)}, and should be {want.shape}"
        return None

    # 4. As the image grows ----------------------------------------------------------------------------

    def _growing(self) -> None:
        """A cell whose field lies in the image, but for what the image pads at its top and left, is the same in a larger one."""
        kinds = {cause.kind for cause in self.plan.inexact}
        if not kinds or kinds & {"statistics", "global pooling"}:
            return
        graph = self.after.graph
        old, new = list(self.trial.outputs.items())[-1]
        if not graph.values[new].is_map:
            return
        extents = receptive_fields(graph)[new]
        reach = 2 if "local pooling" in kinds else 1  # a window near the border is the nearest full one
        steps = _period(graph)
        cut = _cut_behind(graph)
        ends = [
            int(-(-(e.start + reach * e.size + more) // 1)) for e, more in zip((extents.y, extents.x), cut, strict=True)
        ]
        small = [t + -(-max(0, end - t) // s) * s for t, end, s in zip(self.trained, ends, steps, strict=True)]
        large = small[0] + steps[0], small[1] + 2 * steps[1]
        if prod(large) > _GROWN * prod(self.trained) + 64 * 64:
            return
        first, second = ((small[0], small[1]), large)
        every = list(self.trial.outputs.values())  # by the session that has run already
        a, b = (
            as_cells(graph.values[new], self.trial.run(self.after, self.trial.image(s), every)[new])
            for s in (first, second)
        )
        self._compare(old, new, b[:, :, :1, :1], a[:, :, :1, :1], second, (0, 0), against=first)
        self.grows = True

    # What is rounding ---------------------------------------------------------------------------------

    def _compare(
        self, old: str, new: str, have: Array, want: Array, size: Size, start: Size, against: Size | None = None
    ) -> None:
        """Raise BrokenPromise where ``have``, of the cast on an image of ``size``, is not ``want``, (N, K, rows, cols) each."""
        if have.shape != want.shape:
            raise self._broken(f"{new} is {have.shape} where {want.shape} is expected")
        apart = float(gaps(have, want).max(initial=0.0))
        scale = max(scale_of(want), least_scale(self.graph, old))
        if apart == 0:
            return
        rounding = max(self.trial.rounding[old], LAST_BIT * scale)
        if is_number(want) and apart <= _CLEARLY * rounding:
            self.worst = max(self.worst, apart / scale)
            return
        if not np.isfinite(apart) and self._decided(old, new, size, start, against, None):
            return  # sums beyond fp32, by the order in which they are added up: a map tells which answers are no numbers
        rounds = any(node.op in _ROUNDING for node in self.graph)
        exact = self._decided(old, new, size, start, against, None if rounds else (have, want))
        decides = exact is not None and (rounds or apart < 1e-3 * scale)
        if decides and not exact and apart <= MARGIN * rounding:
            # Nearly so: the cast multiplied weights (a Gemm's alpha), and rounded each.
            exact = self._decided(old, new, size, start, against, None, _MULTIPLIED)
        if exact if decides else apart <= MARGIN * rounding:
            self.worst = max(self.worst, apart / scale)
            return
        raise self._apart(new, apart / scale, rounding / scale, size, start, against)

    def _decided(
        self,
        old: str,
        new: str,
        size: Size,
        start: Size,
        against: Size | None,
        near: tuple[Array, Array] | None,
        bits: float = EXACT_BITS,
    ) -> bool | None:
        """Whether the two agree in double precision, to so much of the largest answer; None where it cannot be had, or is not ``near`` what the engine said.

        ONNX's reference is wrong in places of its own (a dilated MaxPool, for one): then it decides nothing.
        """
        larger = self.trial.sampling is not None and size != self.trained
        fits = self.after.fitting(size, self.trial.grids[new]) if larger else size
        image = self.trial.fitted(size, fits)
        try:
            if against is None:
                crop = self.trial.image(self.trained, start)
                mine = as_cells(
                    self.graph.values[old],
                    self.trial.before.values(self.trial.given(self.trial.before, crop), [old], double=True)[old],
                )
                row, col = (int(Fraction(p, s)) for p, s in zip(start, self.trial.step, strict=True))
            else:
                mine = as_cells(
                    self.after.graph.values[new], self.after.values(self.trial.image(against), [new], double=True)[new]
                )[:, :, :1, :1]
                row = col = 0
            theirs = as_cells(
                self.after.graph.values[new],
                self.after.values(self.trial.given(self.after, image), [new], double=True)[new],
            )
        except (CannotRun, FullconvError, KeyError):
            return None
        part = theirs[:, :, row : row + mine.shape[2], col : col + mine.shape[3]]
        for wide, seen in zip((part, mine), near or (), strict=False):
            if wide.shape == seen.shape and float(gaps(wide, seen).max(initial=0.0)) > _NEAR * scale_of(seen):
                return None
        return part.shape == mine.shape and float(gaps(part, mine).max(initial=0.0)) <= bits * scale_of(mine)

    # What is said -------------------------------------------------------------------------------------

    def _apart(
        self, new: str, apart: float, rounding: float, size: Size, start: Size, against: Size | None
    ) -> BrokenPromise:
        at = f"{size[0]}×{size[1]}"
        told = f"rounding makes {rounding:.0e} of it" if np.isfinite(apart) else "one of the two is no number"
        much = f"by {apart:.0e} of the largest" if np.isfinite(apart) else "in being a number at all"
        if against is not None:
            return self._broken(
                f"the first cell of {new} changes {much} when the image grows from {against[0]}×{against[1]} to {at} ({told}), though its field lies in both"
            )
        where = first_difference(
            self.trial.before, self.after, self.trial.image(self.trained, start), self.trial.image(size), start, MARGIN * max(rounding, LAST_BIT)
        ) if self.trial.is_alone else "an unknown layer"  # fmt: skip
        what = (
            "the answer"
            if size == self.trained
            else f"the cell of the crop at (y {start[0]}, x {start[1]}) of a {at} image"
        )
        return self._broken(
            f"{what} of {new} differs {much} from the untouched network's ({told}); they part at {where}"
        )

    def _broken(self, what: str) -> BrokenPromise:
        return BrokenPromise(
            f"{self.name}: the cast network is not what was planned, and is not used: {what}. This is a bug in fullconv; please report it with the "
            "network. Crops still give a map: --by crops"
        )


def _odd(length: int) -> int:
    """An odd length, this one or the next."""
    return length | 1


def _ends(free: Sequence[bool]) -> list[int]:
    """The first and the last of the free rows or columns."""
    places = [i for i, is_free in enumerate(free) if is_free]
    return list(dict.fromkeys([*places[:1], *places[-1:]]))


def _farthest(cells: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """At most three, the farthest from the first cell, whose crop was compared at training size."""
    return sorted(cells, key=lambda cell: -sum(cell))[:3]


def _cut_behind(graph: Graph) -> tuple[Fraction, Fraction]:
    """Pixels, (y, x), that slices may leave out at the image's bottom and right, of a field that lies in it."""
    fields, cut = receptive_fields(graph), [Fraction(0), Fraction(0)]
    for node in graph:
        if isinstance(node.touch, Window) and node.inputs[0] in fields:
            for axis, span in enumerate((node.touch.y, node.touch.x)):
                cut[axis] += max(0, -span.pad_after) * fields[node.inputs[0]].stride[axis]
    return cut[0], cut[1]


def _period(graph: Graph) -> tuple[int, int]:
    """The least numbers of pixels, (y, x), that every step in the network divides."""
    fields = receptive_fields(graph)
    rows = [int(f.stride[0]) for f in fields.values() if f.stride[0].denominator == 1]
    cols = [int(f.stride[1]) for f in fields.values() if f.stride[1].denominator == 1]
    return lcm(*rows), lcm(*cols)
