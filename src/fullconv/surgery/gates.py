"""Which pools over the whole map meet the map again: they gate it, where others are a classifier's head.

A pooled statistic is planned as the head's, which slides. Where it meets a map whose size follows the image, its pool is a gate,
and the walk starts anew with that known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fullconv.graph.axes import SPACE, Axes, AxesError
from fullconv.graph.nodes import Graph, Node, Whole

GATES = "a statistic pooled over the whole map acts on the map, which no window gives"


@dataclass
class Gates:
    """Attributes:
    graph: the network.
    known: pools that gate the map, as earlier walks saw.
    kept: they pool the whole input still; else they slide locally.
    seen: pools that met the map again in this walk.
    """

    graph: Graph
    known: frozenset[str]
    kept: bool = False
    seen: set[str] = field(default_factory=set)
    _follow: set[str] = field(default_factory=set)  # values whose size follows an input's
    _pools: dict[str, frozenset[str]] = field(default_factory=dict)  # the pools that a value comes from
    _single: set[str] = field(
        default_factory=set
    )  # values of one cell for the whole input, behind a gate that was kept

    def __post_init__(self) -> None:
        self._follow.update(self.graph.inputs)

    def visit(self, node: Node, inputs: Sequence[str]) -> None:
        """Note where a node's outputs come from."""
        if self._follow.intersection(inputs):
            self._follow.update(node.outputs)
        pools = frozenset[str]().union(*(self._pools.get(value, frozenset()) for value in inputs))
        if isinstance(node.touch, Whole) and node.touch.how in ("mean", "max"):
            pools |= {node.name}
        self._pools.update(dict.fromkeys(node.outputs, pools))
        if self.keeps(node) or self.behind_kept(inputs):
            self._single.update(node.outputs)

    def keeps(self, node: Node) -> bool:
        """Whether a node pools the whole input after the cast too."""
        shifts = isinstance(node.touch, Whole) and node.touch.how == "shift"
        return shifts or (self.kept and node.name in self.known)

    def behind_kept(self, inputs: Sequence[str]) -> bool:
        """Whether all that a node reads is of one cell for the whole input: then nothing changes."""
        return bool(inputs) and self._single.issuperset(inputs)

    def check(self, inputs: Sequence[str], old: Sequence[Axes], new: Sequence[Axes]) -> None:
        """Inputs of one cell each must still be maps of one size and layout, whatever the image's; else AxesError."""
        maps = {v: axes.map_size for v, axes in zip(inputs, new, strict=True) if axes.is_map and v not in self._single}
        if len(set(maps.values())) > 1:
            largest = tuple(map(max, zip(*maps.values(), strict=True)))
            for value, size in maps.items():
                if size != largest:
                    self.seen |= self._pools.get(value, frozenset())
            told = " and ".join(f"{v} ({h}×{w})" for v, (h, w) in maps.items())
            raise AxesError(f"{told} meet here: {GATES}")
        if len({(axes.rank, *map(axes.space_axis, SPACE)) for axes in new if axes.is_map}) > 1:
            raise AxesError(f"maps of different layouts meet here: {' and '.join(map(str, new))}")
        fixed = [v for v in maps if v not in self._follow]
        if fixed and len(fixed) < len(maps):
            raise AxesError(f"{fixed[0]} has a fixed size, which a larger map does not")
        became = any(after.is_map and not before.is_map for before, after in zip(old, new, strict=True))
        for value, before, after in zip(inputs, old, new, strict=True):
            same_rank = before.rank == old[0].rank
            if (same_rank or became) and (after.is_map != new[0].is_map or (became and not same_rank)):
                raise AxesError(f"{value} stays {after} where {inputs[0]} is {new[0]}")
