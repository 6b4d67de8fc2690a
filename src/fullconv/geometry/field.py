"""The receptive field of every value of a graph: the composition of its windows over all branches.

Source of the arithmetic: Araujo, Norris & Sim, "Computing receptive fields of convolutional neural
networks", Distill 2019; here with exact fractions, and with unions where branches meet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from fullconv.errors import Refusal, Refused
from fullconv.geometry.axis import Extent
from fullconv.graph.nodes import Graph, Layout, Node, Pointwise, Span, Whole, Window
from fullconv.system.notebook import as_html

Pair = tuple[Fraction, Fraction]  # y, x


@dataclass(frozen=True, slots=True)
class Field:
    """A value's receptive field: ``y`` and ``x`` extents in pixels of the image."""

    y: Extent
    x: Extent

    @property
    def size(self) -> tuple[Fraction, Fraction]:
        """(y, x) pixels that one cell sees, padding included."""
        return self.y.size, self.x.size

    @property
    def stride(self) -> tuple[Fraction, Fraction]:
        """(y, x) pixels from cell to cell."""
        return self.y.stride, self.x.stride

    @property
    def offset(self) -> tuple[Fraction, Fraction]:
        """(y, x) pixel at which cell (0, 0)'s field starts; negative where it reaches into padding."""
        return self.y.start, self.x.start

    @property
    def padding(self) -> tuple[Fraction, Fraction]:
        """(y, x) effective padding: pixels by which cell (0, 0)'s field reaches past the image's first."""
        return max(Fraction(0), -self.y.start), max(Fraction(0), -self.x.start)

    @property
    def centre(self) -> tuple[Fraction, Fraction]:
        """(y, x) pixel at the centre of cell (0, 0)."""
        return self.y.centre, self.x.centre

    def __repr__(self) -> str:
        return f"Field({', '.join(f'{key} {value}' for key, value in self._known.items())})"

    def _repr_html_(self) -> str:
        """What notebooks show."""
        return as_html("Field", {f"{key} (y × x)": f"{value} px" for key, value in self._known.items()})

    @property
    def _known(self) -> dict[str, str]:
        pairs = {"size": self.size, "stride": self.stride, "offset": self.offset}
        return {key: f"{y} × {x}" for key, (y, x) in pairs.items()}


def receptive_fields(graph: Graph) -> Mapping[str, Field]:
    """Fields of all values that depend on the image.

    Raises:
        Refused: branches meet that step differently; the node is named.
    """
    image = graph.image
    fields: dict[str, Field] = {} if image is None else {image: Field(Extent(), Extent())}
    for node in graph.nodes:
        found = _field(graph, node, fields)
        if found is not None:
            fields.update(dict.fromkeys(node.outputs, found))
    return fields


def out_of_step(graph: Graph) -> Iterator[tuple[Node, tuple[tuple[str, Pair], ...]]]:
    """Nodes at which branches meet whose cells look at different places, with each branch's centre of cell (0, 0), (y, x) in pixels."""
    fields = receptive_fields(graph)
    for node in graph.nodes:
        if isinstance(node.touch, Pointwise):
            centres = {value: fields[value].centre for value in node.inputs if value in fields}
            if len(set(centres.values())) > 1:
                yield node, tuple(centres.items())


def _field(graph: Graph, node: Node, fields: Mapping[str, Field]) -> Field | None:
    touch = node.touch
    if isinstance(touch, Window):
        source = fields.get(node.inputs[0])
        return source and Field(source.y.through(touch.y), source.x.through(touch.x))
    known = [value for value in node.inputs if value in fields]
    if not known:
        return None
    largest = max(known, key=lambda value: _sides(graph, value))
    joined = fields[largest]
    for value in known:
        other = _spread(graph, fields[value], value, joined, largest)
        if other.stride != joined.stride:
            steps = " and ".join(f"{f.stride[0]}×{f.stride[1]}" for f in (joined, other))
            raise Refused("no receptive field", [Refusal(node.name, f"branches meet with strides {steps} px")])
        joined = Field(joined.y.union(other.y), joined.x.union(other.x))
    if isinstance(touch, Pointwise | Layout) or (isinstance(touch, Whole) and touch.how in ("statistics", "shift")):
        # Statistics over the map reach everywhere; the field told is that of the cell itself, and
        # exactness names the node.
        return joined
    over = touch.over if isinstance(touch, Whole) else ("h", "w")
    atoms = {a.root: a.size for a in graph.values[node.inputs[0]].atoms if a.root in over}
    return Field(joined.y.through(Span(atoms.get("h", 1))), joined.x.through(Span(atoms.get("w", 1))))


def _sides(graph: Graph, value: str) -> tuple[int, int]:
    axes = graph.values[value]
    return axes.map_size if axes.is_map else (1, 1)


def _spread(graph: Graph, field: Field, value: str, other: Field, larger: str) -> Field:
    """A value's field in step with another's: what is one cell for the whole input is read by every cell, whatever their step."""
    pairs = zip(_sides(graph, value), _sides(graph, larger), (field.y, field.x), (other.y, other.x), strict=True)
    y, x = (replace(mine, stride=its.stride) if have == 1 < want else mine for have, want, mine, its in pairs)
    return Field(y, x)
