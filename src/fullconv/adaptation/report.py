"""What an adaptation did, in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fullconv.adaptation.ladder import Rung
from fullconv.model import Model


@dataclass(frozen=True, slots=True)
class Edge:
    """Cells near an image's border, which none were fitted on: agreement before and after, and how many."""

    cells: int
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Report:
    """What was fitted on what, and what it gives on cells that it was not fitted on.

    Attributes:
        kind: ``softmax``, ``sigmoid`` or ``regression``: what is made of the logits.
        divergence: what is meant by it: ``KL``, or of a regression ``squared error``.
        crops: cells that were fitted on.
        images: how many they are of.
        by: what cross-validation kept apart.
        rungs: the ladder, from nothing on.
        taken: the name of the step that was taken.
        itself: agreement of the classifier with itself when crops move by one pixel; None where none could be moved.
        border: cells near the border, None where there are none.
        cost: multiply-adds of the head as a share of the network's; None where they cannot be counted.
        seconds: that it took.
        memory: bytes that the features took.
    """

    kind: str
    divergence: str
    crops: int
    images: int
    by: str
    rungs: tuple[Rung, ...]
    taken: str
    itself: float | None
    border: Edge | None
    cost: float | None
    seconds: float
    memory: int

    @property
    def before(self) -> Rung:
        """The map as it is."""
        return self.rungs[0]

    @property
    def after(self) -> Rung:
        """With the step that was taken."""
        return next(rung for rung in self.rungs if rung.name == self.taken)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "before": asdict(self.before), "after": asdict(self.after)}

    def __str__(self) -> str:
        before, after = self.before, self.after
        own = (
            ""
            if self.itself is None
            else f"; the classifier agrees with itself, moved by one pixel, in {self.itself:.1%}"
        )
        lines = [
            f"fitted on {self.crops:,} crops of {self.images} image{'s' if self.images != 1 else ''}: {self.taken}, {self.seconds:,.1f} s",
            f"  on cells that were not fitted on (cross-validated by {self.by}) the map agrees with its crops in {before.agreement:.1%} before, "
            f"{after.agreement:.1%} after; {self.divergence} {before.divergence:.3g} before, {after.divergence:.3g} after{own}",
        ]
        if self.border is not None:
            lines.append(
                f"  near the image's border, where nothing was fitted ({self.border.cells} cells): {self.border.before:.1%} before, {self.border.after:.1%} after"
            )
        if self.cost is not None:
            lines.append(f"  costs {self.cost:.1%} more multiply-adds")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Adapted:
    """An adapted network, and what was measured.

    Attributes:
        model: the network with its head; ``model.classifier`` is the one that it was adapted from.
        report: what was fitted on what.
    """

    model: Model
    report: Report

    def to_json(self) -> Mapping[str, Any]:
        return self.report.to_json()

    def __str__(self) -> str:
        return str(self.report)
