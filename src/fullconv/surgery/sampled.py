"""Gates that act behind a stride: they are read at the cells of their map that stand where the map's are.

A gate's window slides at the step of the map that it pools. What it acts on may step coarser by then: a block's last convolution, gated by
what came into the block.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import prod

from fullconv.geometry.axis import output_length
from fullconv.geometry.cells import Cells, Cut
from fullconv.graph.axes import SPACE, Axes
from fullconv.graph.nodes import Node, Span, Whole, Window
from fullconv.surgery.draft import Draft
from fullconv.surgery.edit import SampleGate
from fullconv.surgery.gates import Gates
from fullconv.surgery.step import Step

Sides = tuple[Cells, Cells]  # y, x


@dataclass
class Sampler:
    """Where the cells of the cast network's values lie, and the edits that bring gates to the cells that they act on."""

    draft: Draft
    gates: Gates
    _sides: dict[str, Sides] = field(default_factory=dict)
    _followed: int = 0  # nodes of the draft

    def __post_init__(self) -> None:
        inputs = self.draft.graph.inputs
        self._sides.update({value: (Cells(), Cells()) for value in inputs if self.draft.axes[value].is_map})

    def sampled(self, step: Step) -> Step:
        """The node, reading the gates of a finer step at the cells of the map; as it is where there are none."""
        maps = {value: axes for value, axes in zip(step.inputs, step.new, strict=True) if axes.is_map}
        if len({axes.map_size for axes in maps.values()}) < 2:
            return step
        self._follow()
        coarsest = min(maps, key=lambda value: maps[value].map_size)
        olds = dict(zip(step.inputs, step.old, strict=True))
        becomes = {
            value: self._at(step.node, value, olds[value], maps[value], maps[coarsest], coarsest) for value in maps
        }
        inputs = tuple(becomes.get(value, value) for value in step.inputs)
        return replace(step, inputs=inputs, new=tuple(self.draft.axes[value] for value in inputs))

    def _at(self, node: Node, value: str, old: Axes, axes: Axes, like: Axes, coarsest: str) -> str:
        """The value at the cells of the coarsest one: where it is a gate and has such cells."""
        if value not in self._sides or coarsest not in self._sides:
            return value
        was = [prod(atom.size for atom in old.atoms if atom.root == root) for root in SPACE]  # be they laid in a row
        pairs = zip(SPACE, was, axes.map_size, like.map_size, self._sides[value], self._sides[coarsest], strict=True)
        now = value
        for root, crops, have, want, fine, coarse in pairs:
            cut = fine.cut(coarse) if crops == 1 and have != want else None
            if cut is not None:
                now = self._cut(node, now, f"{value}/every/{node.name}/{root}", root, cut)
        return now

    def _cut(self, node: Node, value: str, name: str, root: str, cut: Cut) -> str:
        first, behind, every = cut
        axes = self.draft.axes[value]
        reason = "it gates a map of a coarser step; each cell takes the window around its own place"
        self.draft.edits.append(
            SampleGate(node.name, value, name, axes.space_axis(root) or 0, first, behind, every, reason)
        )
        span = Span(1, Fraction(every), 1, -first, behind)
        touch = Window(span, Span()) if root == "h" else Window(Span(), span)
        sizes = [output_length(s, n) for s, n in zip((touch.y, touch.x), axes.map_size, strict=True)]
        made = Node(name, "Slice", (value,), (name,), touch)
        self.draft.emit(made, axes.with_size(*sizes))
        self.gates.visit(made, made.inputs)
        return name

    def _follow(self) -> None:
        """The cells of what was planned since."""
        for node in self.draft.nodes[self._followed :]:
            known = [self._sides[value] for value in node.inputs if value in self._sides]
            sides = _behind(node, known)
            if sides is not None:
                self._sides.update(dict.fromkeys(node.outputs, sides))
        self._followed = len(self.draft.nodes)


def _behind(node: Node, known: list[Sides]) -> Sides | None:
    """The cells of a node's outputs; None where they follow no one law."""
    touch = node.touch
    if not known or any(
        not have.counts_as(want) for sides in known for have, want in zip(sides, known[0], strict=True)
    ):
        return None
    if isinstance(touch, Window) and touch.like is None:
        y, x = (cells.through(span) for cells, span in zip(known[0], (touch.y, touch.x), strict=True))
        return None if y is None or x is None else (y, x)
    kept = not isinstance(touch, Window | Whole) or (isinstance(touch, Whole) and touch.how in ("statistics", "shift"))
    return known[0] if kept else None
