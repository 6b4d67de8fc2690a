"""A network that was written and read again, held against the one in memory: the same graph, run on the same image, bit for bit or nearly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fullconv.errors import BrokenPromise, CannotRun, NoWeights
from fullconv.formats.head import FittedHead
from fullconv.surgery.head import Head
from fullconv.trust.compare import LAST_BIT, MARGIN, gaps, scale_of
from fullconv.trust.trial import Checkable, Trial


def same_answers(meant: Checkable, written: Checkable, name: str) -> None:
    """Run both at training size.

    Args:
        meant: the network in memory.
        written: what its file holds.
        name: of the file, for messages.

    Raises:
        BrokenPromise: the two differ in shape or by more than rounding; the file must not be kept.
    """
    outputs = dict(zip(meant.graph.outputs, written.graph.outputs, strict=False))
    if len(outputs) < max(len(meant.graph.outputs), len(written.graph.outputs)):
        raise _differs(
            name, f"it has the outputs {', '.join(written.graph.outputs)} for {', '.join(meant.graph.outputs)}"
        )
    trial = Trial(meant, written, outputs)
    try:
        mine = trial.crop((0, 0))
        # the same values of both: an engine joins what lies between quantised numbers only where nobody asks for it
        theirs = trial.run(written, trial.image(trial.trained), list(trial.outputs.values()))
    except (CannotRun, NoWeights):
        return  # there is nothing to compare; what has no weights has no answers
    for old, new in trial.outputs.items():
        if mine[old].shape != theirs[new].shape:
            raise _differs(name, f"{new} is {theirs[new].shape} for {mine[old].shape}")
        apart = float(gaps(mine[old], theirs[new]).max(initial=0.0))
        if apart > MARGIN * LAST_BIT * scale_of(mine[old]) and apart > MARGIN * trial.rounding[old]:
            raise _differs(name, f"{new} differs by {apart / scale_of(mine[old]):.0e} of the largest")


def same_heads(meant: Sequence[FittedHead], written: Sequence[FittedHead], name: str) -> None:
    """Whether the heads of a network are found in its file as they are; values may have other names in another format.

    Raises:
        BrokenPromise: they are not.
    """
    mine, theirs = ([_unnamed(each.head) for each in heads] for heads in (meant, written))
    if mine != theirs:
        raise _differs(name, f"it has the heads {theirs} for {mine}")


def _unnamed(head: Head) -> Head:
    levels = tuple(replace(level, value=str(i)) for i, level in enumerate(head.levels))
    return replace(head, output="", logits="", levels=levels)


def _differs(name: str, what: str) -> BrokenPromise:
    return BrokenPromise(
        f"{name}: read again, the network is not the one that was written: {what}. The file is not kept; this is a bug in fullconv, please report it"
    )
