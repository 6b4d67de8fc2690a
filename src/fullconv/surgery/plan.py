"""From a Graph to a Plan: what to edit, what is refused, and the graph that must come out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from fullconv.errors import Refusal, Refused
from fullconv.geometry.exactness import Cause, causes, free_cells
from fullconv.geometry.grid import Grid
from fullconv.graph import spec
from fullconv.graph.nodes import Graph
from fullconv.surgery.dialect import PLAIN, Dialect
from fullconv.surgery.edit import Edit, SetWindow, to_json
from fullconv.surgery.pooled import edges_of
from fullconv.surgery.result import result, unanswered, unwritable
from fullconv.surgery.walk import Walk
from fullconv.system.notebook import as_html, counted


@dataclass(frozen=True, slots=True)
class Plan:
    """What a cast does.

    Attributes:
        graph: the graph that was planned for.
        edits: in the order of its nodes.
        refusals: nodes that cannot be cast; a plan with any is not applied.
        predicted: the graph that must be read back after applying (None where refused).
        inexact: why the map differs from crops; empty where it is exact.
        refinements: what makes the map finer than the network's own stride, where that was asked for.
        outputs: each output of the graph and its name in the predicted one.
    """

    graph: Graph
    edits: tuple[Edit, ...]
    refusals: tuple[Refusal, ...]
    predicted: Graph | None
    inexact: tuple[Cause, ...] = ()
    refinements: tuple[SetWindow, ...] = ()
    outputs: Mapping[str, str] = field(default_factory=dict)

    def untouched(self, output: str) -> str:
        """The untouched network's name for an output of the predicted one."""
        return next(old for old, new in self.outputs.items() if new == output)

    @property
    def is_empty(self) -> bool:
        """Nothing to do: the network is fully convolutional already."""
        return not self.edits and not self.refusals

    def __repr__(self) -> str:
        what = counted(len(self.refusals), "refusal") if self.refusals else counted(len(self.edits), "edit")
        return f"Plan({what}{'' if self.predicted is None else f', {self.exactness}'})"

    def _repr_html_(self) -> str:
        """What notebooks show: each edit with its reason, or each refusal."""
        edits = [(str(edit), edit.reason) for edit in (*self.edits, *self.refinements)]
        if self.refusals:
            why = [(each.node, each.reason) for each in self.refusals]
            return as_html("Plan", {"cannot be cast": counted(len(why), "refusal")}, [("node", "why"), *why])
        about = "nothing: the network is fully convolutional already" if self.is_empty else counted(len(edits), "edit")
        return as_html("Plan", {"to do": about, "cells and crops": self.exactness}, [("edit", "why"), *edits])

    def __str__(self) -> str:
        lines = [f"{edit}  ({edit.reason})" for edit in (*self.edits, *self.refinements)]
        lines += [f"refused: {refusal}" for refusal in self.refusals]
        if self.is_empty:
            lines.append("nothing to do: the network is fully convolutional already")
        if self.predicted is not None:
            lines.append(self.exactness)
        return "\n".join(lines)

    @property
    def exactness(self) -> str:
        """One sentence: exact, or how many nodes make the map differ from crops."""
        if not self.inexact:
            return "exact: every cell equals its crop's answer to floating-point noise"
        kinds = dict.fromkeys(cause.kind for cause in self.inexact)
        told = " and ".join(f"{kind} in {_some([c.node for c in self.inexact if c.kind == kind])}" for kind in kinds)
        return f"not exact: cells differ from their crops through {told}"

    def free_cells(self, grid: Grid) -> tuple[list[bool], list[bool]]:
        """Rows and columns of a map of this grid: a cell of a free row and a free column equals its crop, whatever the causes."""
        return free_cells(self.inexact, grid)

    def with_causes(self, more: Iterable[Cause]) -> Plan:
        """The same with more reasons why the map differs from crops."""
        return replace(self, inexact=(*self.inexact, *more))

    def to_json(self) -> dict[str, Any]:
        return {
            "edits": [to_json(edit) for edit in self.edits],
            "refinements": [to_json(edit) for edit in self.refinements],
            "refusals": [{"node": r.node, "reason": r.reason} for r in self.refusals],
            "exact": self.predicted is not None and not self.inexact,
            "causes": [
                {
                    "kind": c.kind,
                    "node": c.node,
                    "detail": c.detail,
                    "context": None if c.context is None else [str(side) for side in c.context],
                }
                for c in self.inexact
            ],
        }


def _some(names: list[str], most: int = 5) -> str:
    """The first few names, and how many more."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


GlobalPooling = Literal["local", "global"]


def make_plan(graph: Graph, dialect: Dialect = PLAIN, global_pooling: GlobalPooling = "local") -> Plan:
    """Plan the cast of a graph.

    Args:
        graph: as read, at training size.
        dialect: what its format can write.
        global_pooling: what becomes of statistics pooled over the whole map that act on the map: ``local`` pools the
            training-size window around each cell, ``global`` the whole input.
    """
    if graph.image is None:
        names = ", ".join(f"{name} {graph.values[name].shape}" for name in graph.inputs) or "none"
        return Plan(
            graph, (), (Refusal("input", f"no input is an image with height and width (inputs: {names})"),), None
        )
    gates: frozenset[str] = frozenset()
    acts = dialect.pools_locally or global_pooling == "global"
    walk = Walk.over(graph, dialect, gates, global_pooling == "global")
    while acts and not walk.gates.seen <= gates:
        gates |= walk.gates.seen  # pools that turned out to gate the map: walk again with their windows local
        walk = Walk.over(graph, dialect, gates, global_pooling == "global")
    edits = tuple(walk.draft.edits)
    refusals = [*walk.refusals, *unanswered(walk)]
    if refusals:
        return Plan(graph, edits, tuple(refusals), None)
    predicted, outputs = result(walk)  # which may rename outputs, the last of the edits
    edits, cannot = tuple(walk.draft.edits), unwritable(walk.draft)
    if cannot:
        return Plan(graph, edits, tuple(cannot), None)
    try:
        inexact = tuple(_named(causes(spec.check(predicted)), gates))
    except Refused as error:  # branches meet that step differently
        return Plan(graph, edits, tuple(error.refusals), None)
    return Plan(graph, edits, (), predicted, inexact, outputs=outputs)


def _named(found: Iterable[Cause], gates: frozenset[str]) -> Iterator[Cause]:
    """Causes with the borders of local pools told as what they are."""
    edges = {edges_of(gate): gate for gate in gates}
    for cause in found:
        gate = edges.get(cause.node)
        told = "it pools the window around each cell where the crop pooled all of itself"
        yield cause if gate is None else Cause("local pooling", gate, told)
