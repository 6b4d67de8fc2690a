"""Memory of a run, predicted: which values live when, and what an arena that serves them takes from the system.

An engine frees a value after its last reader. Its arena keeps what it took and hands it out again: the smallest free piece that is
large enough, cut in two where it is twice as large, joined with free neighbours when it comes back; where none is large
enough it takes as much more as asked for. Pieces that fit none are why an arena takes more than what lives at any one time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from fullconv.geometry.lengths import map_sizes
from fullconv.graph.nodes import Graph, Layout, Pointwise

_ALIGNED = 256  # bytes
_SPARE = 128 << 20  # bytes that are cut off a piece even if it is not twice as large


@dataclass(frozen=True, slots=True)
class Step:
    """One operator of a run.

    Attributes:
        reads, writes: names of values.
        over: the value in whose place the first output is written, where its memory may be taken over.
    """

    reads: tuple[str, ...]
    writes: tuple[str, ...]
    over: str | None = None


@dataclass
class _Piece:
    size: int
    free: bool = True


@dataclass
class Arena:
    """The pieces that an engine's arena holds, in the order in which they lie, a list a region."""

    regions: list[list[_Piece]] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        return sum(piece.size for region in self.regions for piece in region)

    def take(self, size: int) -> tuple[list[_Piece], _Piece]:
        """A piece of at least so many bytes, with its region."""
        size = -(-size // _ALIGNED) * _ALIGNED
        fits = [
            (p.size, i, j)
            for i, region in enumerate(self.regions)
            for j, p in enumerate(region)
            if p.free and p.size >= size
        ]
        if not fits:
            self.regions.append([_Piece(size, False)])
            return self.regions[-1], self.regions[-1][0]
        _, i, j = min(fits)
        region, piece = self.regions[i], self.regions[i][j]
        if piece.size >= 2 * size or piece.size - size >= _SPARE:
            region.insert(j + 1, _Piece(piece.size - size))
            piece.size = size
        piece.free = False
        return region, piece

    @staticmethod
    def give(region: list[_Piece], piece: _Piece) -> None:
        """Hand a piece back, and join it with free neighbours."""
        piece.free = True
        at = next(i for i, other in enumerate(region) if other is piece)
        if at + 1 < len(region) and region[at + 1].free:
            piece.size += region.pop(at + 1).size
        if at and region[at - 1].free:
            region[at - 1].size += region.pop(at).size


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of a network asks of an arena.

    Attributes:
        steps: in the order in which they run.
        sizes: bytes of every value; values without a size take none.
        given: values that the caller holds.
        kept: values that are handed to the caller, whose memory comes back before the next run.
    """

    steps: Sequence[Step]
    sizes: Mapping[str, int]
    given: frozenset[str]
    kept: frozenset[str]

    def over(self, arena: Arena) -> None:
        """Run once."""
        last: dict[str, int] = {}
        for i, step in enumerate(self.steps):
            last.update(dict.fromkeys((*step.reads, *step.writes), i))
        lives: dict[str, tuple[list[_Piece], _Piece]] = {}
        for i, step in enumerate(self.steps):
            for j, value in enumerate(step.writes):
                if not self.sizes.get(value):
                    continue
                over = step.over
                if (
                    j == 0
                    and over in lives
                    and last[over] == i
                    and over not in self.kept
                    and self.sizes[over] >= self.sizes[value]
                ):
                    lives[value] = lives.pop(over)
                else:
                    lives[value] = arena.take(self.sizes[value])
            for value in {*step.reads, *step.writes}:
                if last[value] == i and value in lives and value not in self.kept and value not in self.given:
                    Arena.give(*lives.pop(value))
        for region, piece in lives.values():
            Arena.give(region, piece)


def run_bytes(
    steps: Sequence[Step], sizes: Mapping[str, int], given: Iterable[str], kept: Iterable[str], runs: int = 3
) -> int:
    """Bytes that an arena holds after some runs of the same shape.

    Args:
        steps, sizes, given, kept: as for ``Run``.
        runs: how often; what is left lying shifts the pieces of the next.
    """
    return in_turn_bytes([Run(steps, sizes, frozenset(given), frozenset(kept))], runs)


def in_turn_bytes(networks: Sequence[Run], runs: int = 3) -> int:
    """Bytes that one arena holds for networks that run in turn, each on one shape."""
    arena = Arena()
    for _ in range(runs):
        for network in networks:
            network.over(arena)
    return arena.bytes


def graph_bytes(graph: Graph, output: str, image: tuple[int, int]) -> int:
    """The same for a graph alone, for engines whose own steps are not known: every node by itself, what is cell by cell in place.

    Args:
        graph: of a network that runs.
        output: the value wanted.
        image: (height, width) of the input.
    """
    maps = map_sizes(graph, image)
    sizes, steps = {}, []
    for value, (height, width) in maps.items():
        axes = graph.values[value]
        sizes[value] = 4 * height * width * (prod(axes.shape[1:]) // prod(axes.map_size))
    for node in graph.nodes:
        same = (
            [v for v in node.inputs if sizes.get(v) and sizes[v] == sizes.get(node.outputs[0])] if node.outputs else []
        )
        over = same[0] if same and isinstance(node.touch, Pointwise | Layout) else None
        steps.append(Step(node.inputs, node.outputs, over))
    return run_bytes(steps, sizes, graph.inputs, [output])
