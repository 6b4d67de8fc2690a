"""Axes as expressions over named atoms: ``n c h w``, ``n (c h w)``, ``n (w h c)``.

An atom is a run of digits of a *root* index. With c = 12 split into 4 × 3, the outer atom is
``(c // 3) % 4`` and the inner ``(c // 1) % 3``; both remember the root, so that neighbours in
their old order fuse back and a round trip of splits and merges is the identity. Layout operators
only rewrite the expression. The order in which a flatten laid out a map is then read off it, and
which atoms an operator mixes decides how it touches space.

Roots ``h`` and ``w`` are space (y and x), ``n`` is the batch, everything else is channels.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

BATCH = "n"
CHANNEL = "c"
SPACE = ("h", "w")  # y, x


class AxesError(ValueError):
    """A layout that axis expressions cannot follow (a split that is not a divisor, say)."""


class Impossible(AxesError):
    """A window, node, field or edit that cannot be, refused where it is made."""


def require(holds: bool, message: str) -> None:
    """Raise Impossible with the message unless it holds."""
    if not holds:
        raise Impossible(message)


@dataclass(frozen=True, slots=True)
class Atom:
    """Digits ``(root // inner) % size`` of a root index that runs to ``of``."""

    root: str
    size: int
    of: int
    inner: int = 1

    def __post_init__(self) -> None:
        # A root of size 0 is a home to look up (``flatten_order``), never a value's axis.
        require(self.size >= 0 and self.inner >= 1, f"an atom of {self.size} digits, {self.inner} apart")

    @property
    def is_space(self) -> bool:
        return self.root in SPACE

    @property
    def is_whole(self) -> bool:
        return self.size == self.of

    def __str__(self) -> str:
        return self.root if self.is_whole else f"{self.root}/{self.inner}%{self.size}"


Axis = tuple[Atom, ...]


def whole(root: str, size: int) -> Atom:
    """A root index as one atom."""
    return Atom(root, size, size)


def fuse(atoms: Iterable[Atom]) -> Axis:
    """Join neighbours that are consecutive digits of one root."""
    out: list[Atom] = []
    for atom in atoms:
        last = out[-1] if out else None
        if last and last.root == atom.root and last.inner == atom.inner * atom.size:
            out[-1] = replace(last, size=last.size * atom.size, inner=atom.inner)
        else:
            out.append(atom)
    return tuple(out)


def size_of(atoms: Iterable[Atom]) -> int:
    """Number of positions that the atoms enumerate together."""
    return prod(atom.size for atom in atoms)


@dataclass(frozen=True, slots=True)
class Axes:
    """The axes of a tensor, outermost first; each axis is a sequence of atoms."""

    axes: tuple[Axis, ...]

    @staticmethod
    def parse(text: str, sizes: Mapping[str, int]) -> Axes:
        """``Axes.parse("n (c h w)", {"n": 1, "c": 16, "h": 4, "w": 4})``."""
        if text.count("(") != text.count(")"):
            raise AxesError(f"unbalanced parentheses in {text!r}")
        groups = re.findall(r"\(([^()]*)\)|(\S+)", text)
        try:
            return Axes(tuple(tuple(whole(r, sizes[r]) for r in (g or s).split()) for g, s in groups))
        except KeyError as missing:
            raise AxesError(f"no size given for {missing} in {text!r}") from None

    @staticmethod
    def image(shape: Sequence[int]) -> Axes:
        """(N, C, H, W) as ``n c h w``; (N, K) as ``n c``; any other rank as channels behind a batch."""
        if len(shape) == 4:
            roots: Sequence[str] = (BATCH, CHANNEL, *SPACE)
        elif len(shape) == 2:
            roots = (BATCH, CHANNEL)
        else:
            roots = (BATCH, *(f"{CHANNEL}{i}" for i in range(1, len(shape))))[: len(shape)]
        return Axes(tuple((whole(r, s),) for r, s in zip(roots, shape, strict=True)))

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(size_of(axis) for axis in self.axes)

    @property
    def rank(self) -> int:
        return len(self.axes)

    @property
    def atoms(self) -> Axis:
        return tuple(atom for axis in self.axes for atom in axis)

    def index(self, axis: int) -> int:
        """A possibly negative axis as a non-negative one."""
        if not -self.rank <= axis < self.rank:
            raise AxesError(f"axis {axis} of a tensor of {self.rank} axes ({self})")
        return axis % self.rank

    @property
    def batch(self) -> Axis:
        """The first axis less what lies beside the batch and enumerates nothing: a map's single cell, the one score of a vector."""
        return tuple(atom for each in self.axes[:1] for atom in each if atom.root == BATCH or atom.size > 1)

    def space_axis(self, root: str) -> int | None:
        """The axis that is exactly ``h`` or ``w``, or None where space lies elsewhere."""
        for i, axis in enumerate(self.axes):
            if len(axis) == 1 and axis[0].root == root and axis[0].is_whole:
                return i
        return None

    @property
    def is_map(self) -> bool:
        """Whether height and width are axes of their own."""
        return all(self.space_axis(root) is not None for root in SPACE)

    @property
    def map_size(self) -> tuple[int, int]:
        """(height, width) of a map."""
        y, x = (self.space_axis(root) for root in SPACE)
        if y is None or x is None:
            raise AxesError(f"{self} is no map")
        return self.shape[y], self.shape[x]

    @property
    def channel_axis(self) -> int:
        """The axis of a map that is neither the batch nor height nor width."""
        known = {0, *(self.space_axis(root) for root in SPACE)}
        rest = [i for i in range(self.rank) if i not in known]
        if self.is_map and not rest:
            raise AxesError(f"{self} is a map without a channel axis, which a map of one channel keeps (x[:, :1])")
        if not self.is_map or len(rest) != 1:
            raise AxesError(f"{self} is no map with one channel axis")
        return rest[0]

    # Layout operators -------------------------------------------------------------------------

    def permute(self, order: Sequence[int]) -> Axes:
        if sorted(order) != list(range(self.rank)):
            raise AxesError(f"{list(order)} is no permutation of {self.rank} axes")
        return Axes(tuple(self.axes[i] for i in order))

    def merge(self, start: int, stop: int) -> Axes:
        """Axes start..stop-1 become one."""
        if not 0 <= start < stop <= self.rank:
            raise AxesError(f"cannot merge axes {start}..{stop - 1} of {self.rank} ({self})")
        merged = fuse(atom for axis in self.axes[start:stop] for atom in axis)
        return Axes((*self.axes[:start], merged, *self.axes[stop:]))

    def split(self, axis: int, sizes: Sequence[int]) -> Axes:
        """One axis becomes several, outermost first."""
        axis = self.index(axis)
        return Axes((*self.axes[:axis], *_deal(self.axes[axis], sizes), *self.axes[axis + 1 :]))

    def squeeze(self, axis: int) -> Axes:
        """Drop an axis of size 1; a spatial atom on it moves to its neighbour, so that it is not lost."""
        axis = self.index(axis)
        if self.shape[axis] != 1:
            raise AxesError(f"axis {axis} of {self} has size {self.shape[axis]}, not 1")
        rest = [*self.axes[:axis], *self.axes[axis + 1 :]]
        if self.axes[axis] and axis > 0:
            rest[axis - 1] = (*rest[axis - 1], *self.axes[axis])
        return Axes(tuple(rest))

    def unsqueeze(self, axis: int) -> Axes:
        axis = axis % (self.rank + 1)
        return Axes((*self.axes[:axis], (), *self.axes[axis:]))

    def reshape(self, shape: Sequence[int]) -> Axes:
        """The expression of the same values read row-major in another shape."""
        if prod(shape) != prod(self.shape):
            raise AxesError(f"cannot reshape {self.shape} to {tuple(shape)}")
        return Axes(_deal(self.atoms, shape))

    def with_axis(self, axis: int, atoms: Axis) -> Axes:
        """The same tensor with other atoms along one axis (what an operator that mixes it leaves)."""
        axis = self.index(axis)
        return Axes((*self.axes[:axis], atoms, *self.axes[axis + 1 :]))

    def with_size(self, height: int, width: int) -> Axes:
        """A map of another size."""
        sizes = dict(zip(SPACE, (height, width), strict=True))
        return Axes(
            tuple(
                (whole(axis[0].root, sizes[axis[0].root]),) if len(axis) == 1 and axis[0].is_space else axis
                for axis in self.axes
            )
        )

    def mixed(self, axes: Iterable[int]) -> Axis:
        """The atoms that an operator over these axes mixes."""
        return tuple(atom for i in axes for atom in self.axes[self.index(i)])

    def spans_space(self, over: Iterable[int]) -> bool:
        """Whether an operator that works along these axes works along height or width.

        Space is an atom's root, never its size: an axis of space alone is space also where it has one cell, since a larger image
        gives it more. A side of one cell that is flattened with channels is none: a cast lays such an axis out as channels.
        """
        axes = [self.axes[self.index(i)] for i in over]
        return any(
            any(atom.is_space and atom.size > 1 for atom in axis) or (axis and all(atom.is_space for atom in axis))
            for axis in axes
        )

    def __str__(self) -> str:
        def show(axis: Axis) -> str:
            text = " ".join(map(str, axis))
            return text if len(axis) == 1 else f"({text})"

        return " ".join(map(show, self.axes))


def _deal(atoms: Axis, shape: Sequence[int]) -> tuple[Axis, ...]:
    """Deal atoms, outermost first, to axes of the given sizes, splitting atoms where needed.

    Atoms of size 1 carry no values but do carry meaning (the 1×1 map under a classifier's head): they go to
    the next axis, and those that are left at the end to the last.
    """
    todo = list(atoms)
    axes: list[Axis] = []
    for size in shape:
        taken: list[Atom] = []
        need = size
        if size == 1 and todo and todo[0].size == 1:
            taken.append(todo.pop(0))
        while need > 1:
            if not todo:
                raise AxesError(f"{list(atoms)} does not fill {tuple(shape)}")
            atom = todo.pop(0)
            if need % atom.size == 0:
                taken.append(atom)
                need //= atom.size
            elif atom.size % need == 0:
                rest = atom.size // need
                taken.append(replace(atom, size=need, inner=atom.inner * rest))
                todo.insert(0, replace(atom, size=rest))
                need = 1
            else:
                raise AxesError(f"a reshape cuts {atom} (size {atom.size}) into pieces that are no divisors")
        axes.append(fuse(taken))
    if todo:
        axes[-1] = (*axes[-1], *todo)
    return _apart(axes)


def _apart(axes: list[Axis]) -> tuple[Axis, ...]:
    """Channels of size 1 that ended beside others, on an axis of size 1 that no atom has.

    They enumerate nothing, so the values are the same ones: (n, h, w, 1) read as (n, 1, h, w) is a map with its channel.
    """
    axes = list(axes)
    for i, axis in enumerate(axes):
        for atom in axis:
            free = next((k for k, other in enumerate(axes) if k and not other), None)
            if free is not None and len(axes[i]) > 1 and atom.size == 1 and not atom.is_space and atom.root != BATCH:
                axes[i] = tuple(other for other in axes[i] if other is not atom)
                axes[free] = (atom,)
    return tuple(axes)


@dataclass(frozen=True, slots=True)
class FlattenOrder:
    """How a flatten laid out a map, and the way back.

    A weight matrix of (K, prod(sizes)) reshaped to (K, *sizes) and transposed by (0, *(p + 1 for p
    in permutation)) has its columns in the order channels, y, x.
    """

    sizes: tuple[int, ...]
    permutation: tuple[int, ...]

    @property
    def is_identity(self) -> bool:
        return self.permutation == tuple(range(len(self.permutation)))


def flatten_order(flat: Axis, channels: Axis) -> FlattenOrder:
    """The order of ``flat``'s atoms as channels (in the map's own order), then y, then x.

    Args:
        flat: the atoms along the flattened axis.
        channels: the atoms along the map's channel axis.
    """
    places = [*channels, *(whole(root, 0) for root in SPACE)]
    cut = tuple(piece for atom in flat for piece in _cut(atom, channels))

    def place(atom: Atom) -> tuple[int, int]:
        for i, home in enumerate(places):
            inside = home.root in SPACE or home.inner <= atom.inner < home.inner * home.size
            if home.root == atom.root and (inside or home.size == atom.size == 1):
                return i, -atom.inner
        raise AxesError(f"{atom} is neither a channel nor space of the map")

    order = sorted(range(len(cut)), key=lambda i: place(cut[i]))
    return FlattenOrder(tuple(atom.size for atom in cut), tuple(order))


def _cut(atom: Atom, channels: Axis) -> Axis:
    """An atom in pieces, so that each lies within one of the channels' atoms."""
    pieces = [atom]
    for bound in sorted({c.inner for c in channels if c.root == atom.root}, reverse=True):
        last = pieces[-1]
        if last.inner < bound < last.inner * last.size and bound % last.inner == 0:
            low = bound // last.inner
            pieces[-1:] = [replace(last, size=last.size // low, inner=bound), replace(last, size=low)]
    return tuple(pieces)
