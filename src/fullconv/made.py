"""How a network was made of another: by a cast, or by putting a head behind one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING

from fullconv.errors import BadInput
from fullconv.formats.finer import adapted as adapted_network
from fullconv.formats.finer import refined as finer_network
from fullconv.formats.head import FittedHead
from fullconv.geometry.exactness import Cause
from fullconv.geometry.field import Field
from fullconv.geometry.grid import Sampling, sampling
from fullconv.surgery.edit import SetWindow
from fullconv.surgery.plan import Plan
from fullconv.surgery.refine import strides
from fullconv.trust.check import Checked
from fullconv.trust.headed import check_head

if TYPE_CHECKING:
    from fullconv.model import Model


@dataclass(frozen=True, slots=True)
class Made:
    """How a network was made of another.

    Attributes:
        of: the network that went in.
        plan: by which it was cast.
        outputs: outputs of ``of``, and what they are called now.
        samplings: of outputs, where the graph alone does not tell them.
        refinements: what made its map finer.
    """

    of: Model
    plan: Plan
    outputs: Mapping[str, str]
    samplings: Mapping[str, Sampling] = field(default_factory=dict)
    refinements: tuple[SetWindow, ...] = ()


@dataclass(frozen=True, slots=True)
class Adaptation:
    """What an adapted network was made of.

    Attributes:
        heads: in the order in which they were put there, in the network's own names.
        classifier: the network whose answers for crops they were fitted to.
        bare: the network that the last one was put behind, and that head in its names; None where it was read with its heads, or is another
            form of the one that was made.
    """

    heads: tuple[FittedHead, ...]
    classifier: Model
    bare: tuple[Model, FittedHead] | None = None

    @property
    def causes(self) -> tuple[Cause, ...]:
        """Why no cell of the map is a crop's answer."""
        told = "it moves every cell's scores towards its crop's"
        return tuple(Cause("fitted head", each.head.output, told) for each in self.heads)

    def checked(self, model: Model) -> Checked | None:
        """What was seen when the network was held against its head; None where there is nothing to hold it against.

        Raises:
            BrokenPromise: it is not what its head says.
        """
        if self.bare is None:
            return None
        bare, fitted = self.bare
        fresh = [each.fresh() for each in (bare, model)]  # so that no session of the check stays
        return check_head(fresh[0], fresh[1], fitted, self.heads[-1].head.logits, _name(model))

    def carried(self) -> Adaptation:
        """The same of a network that was made of the adapted one."""
        return Adaptation(self.heads, self.classifier)


def refined(model: Model, full: Model, stride: int) -> Model:
    """``Model.refined``, of a model and its cast."""
    name = full.output()
    sampled = model.sampling(name)
    if any(step.denominator != 1 for step in sampled.stride):
        raise BadInput(
            f"stride {stride}: the network steps by {sampled.stride[0]}×{sampled.stride[1]} px, and only whole pixels are made finer"
        )
    own = [int(step) for step in sampled.stride]
    if stride < 1 or any(step % stride for step in own):
        fits = [n for n in strides(min(own)) if all(step % n == 0 for step in own)]
        raise BadInput(
            f"stride {stride}: the network steps by {own[0]}×{own[1]} px; it can step by {', '.join(map(str, fits))}"
        )
    if (stride, stride) == tuple(own):
        return full.held()
    finer = finer_network(full.format, full.native, full.graph, _name(model), stride)
    graph, step = finer.format.graph(finer.native), Fraction(stride)
    samplings = {}
    for output in graph.outputs:
        old = model.sampling(output)
        field = Field(replace(old.field.y, stride=step), replace(old.field.x, stride=step))
        samplings[output] = Sampling((step, step), old.crop, field)
    outputs = {old: new for old, new in model.plan.outputs.items() if new in graph.outputs}
    made = Made(model, model.plan, outputs, samplings, finer.edits)
    return model.making(finer.native, finer.format, made, model.carried).held()


def adapted(model: Model, fitted: FittedHead) -> Model:
    """``Model.adapted``."""
    full = model.cast()
    name = _name(model)
    if _is_finer(full):
        raise BadInput(
            f"{name}: its map is finer than its own stride; adapt the network as it was, then make that finer"
        )
    if any(each.head.output == fitted.head.output for each in full.heads):
        raise BadInput(
            f"{name}: output {fitted.head.output!r} has a head already; adapt the network that it was adapted from"
        )
    made = adapted_network(full.format, full.native, full.graph, name, fitted)
    adaptation = Adaptation((*full.heads, made.fitted), model.classifier, (full, fitted))
    return full.making(made.native, made.format, adaptation=adaptation).held()


def _name(model: Model) -> str:
    return str(model.path or "the network")


def _is_finer(model: Model) -> bool:
    """Whether its map has been made finer, so that its cells stand for other crops than its graph alone says."""
    known = model.recorded.items()
    return bool(model.refinements) or any(
        each.crop != sampling(model.graph, name).crop for name, each in known if name in model.graph.outputs
    )
