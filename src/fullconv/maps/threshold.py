"""Which scores count: a threshold held against what the scores are."""

from __future__ import annotations

from math import inf

import numpy as np

from fullconv.errors import BadInput

LARGEST = float(np.finfo(np.float32).max)  # score
_USUAL = 0.5  # of probabilities
_WAY_OUT = (
    "map again with --activation softmax (a crop is of one class) or sigmoid (several may be there at once) for probabilities, give a "
    "threshold that is meant for them, or take them as they are with --activation none"
)


def least_score(kind: str, given: float | None, advised: float | None = None) -> float:
    """The threshold given, or the card's, or 0.5.

    Args:
        kind: what scores are, as ``ClassMap.score_kind``.
        advised: what the network's card says, of scores as they are.

    Raises:
        BadInput: the network gives no scores, no score can reach it, or scores are logits, of which neither 0.5 nor any other share means anything.
    """
    if kind == "winner":
        raise BadInput(
            "the network gives the winner's number alone, and no scores of classes that could reach a threshold: no places, peaks or regions are told"
        )
    if given is None and advised is not None:
        try:
            return least_score(kind, advised)
        except BadInput as error:
            raise BadInput(f"the network's card: {error}") from None
    if given is None:
        if kind == "features":
            raise BadInput("a threshold must be given: features of a layer have no scale that is known")
        if kind in ("logits", "log-probabilities"):
            raise BadInput(f"a threshold must be given: scores are {kind}, not probabilities; {_WAY_OUT}")
        return _USUAL
    if given != given:
        raise BadInput("threshold nan: is no number")
    if LARGEST < abs(given) < inf:
        raise BadInput(
            f"threshold {given:g}: no score is so large, of the 32 bits that scores have; give one within ±{LARGEST:.2g}"
        )
    if kind == "probabilities" and given > 1:
        raise BadInput(f"threshold {given:g}: no score reaches it; scores are probabilities, 1 at most")
    if kind == "log-probabilities" and given > 0:
        raise BadInput(f"threshold {given:g}: no score reaches it; scores are logarithms of probabilities, 0 at most")
    if kind == "logits" and 0 < given <= 1:
        raise BadInput(f"threshold {given:g}: scores are logits, not probabilities; {_WAY_OUT}")
    return given
