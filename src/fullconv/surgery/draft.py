"""The cast network as far as it is planned: its nodes, the axes of its values, and the edits that make it."""

from __future__ import annotations

from dataclasses import dataclass, field

from fullconv.graph.axes import Axes
from fullconv.graph.nodes import Graph, Layout, Node
from fullconv.surgery.dialect import Dialect
from fullconv.surgery.edit import Edit, RemoveLayout


@dataclass
class Draft:
    """Attributes:
    graph: the network as it was read.
    dialect: what its format can write.
    nodes, edits: so far, in order.
    axes: of every value that the cast network has.
    alias: values of the untouched network that went away, and what stands for each.
    """

    graph: Graph
    dialect: Dialect
    nodes: list[Node] = field(default_factory=list)
    edits: list[Edit] = field(default_factory=list)
    axes: dict[str, Axes] = field(default_factory=dict)
    alias: dict[str, str] = field(default_factory=dict)
    _behind: dict[str, str] = field(default_factory=dict)  # the value that a chain of layout nodes starts at

    def __post_init__(self) -> None:
        self.axes.update({name: self.graph.values[name] for name in self.graph.inputs})

    def now(self, value: str) -> str:
        """The value that stands for one of the untouched network."""
        return self.alias.get(value, value)

    def emit(self, node: Node, *out: Axes) -> None:
        """A node of the cast network, with the axes of its outputs."""
        if isinstance(node.touch, Layout):
            self._behind.update(dict.fromkeys(node.outputs, self.source(node.inputs[0])))
        self.nodes.append(node)
        self.axes.update(zip(node.outputs, out, strict=True))

    def source(self, value: str) -> str:
        """The value behind a chain of layout nodes."""
        return self._behind.get(value, value)

    def drop(self, node: Node, becomes: str, reason: str) -> None:
        """A layout node goes away; who reads its value reads another."""
        value = node.outputs[0]
        self.alias[value] = becomes
        self.edits.append(RemoveLayout(node.name, value, becomes, reason))

    def fresh(self, old: str) -> str:
        """A node's new name, renamed again while another node has it."""
        taken = {node.name for node in self.graph.nodes if node.name != old} | {node.name for node in self.nodes}
        name = self.dialect.rename(old)
        while name in taken:
            name = self.dialect.rename(name)
        return name
