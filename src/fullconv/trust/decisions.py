"""What a row of scores decides, by what the scores are: a class, a set of labels, or nothing.

Two answers agree where they decide the same. Of one number a cell no class wins: where it is a probability, it decides whether it is 0.5 or more;
where it is none, nothing is decided, and no share of agreement is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Kind = Literal["winner", "labels", "label", "index", "number"]
WORDS: dict[Kind, str] = {
    "winner": "the class that wins",
    "labels": "the set of labels of 0.5 or more",
    "label": "whether the label's probability is 0.5 or more",
    "index": "the number of the class that wins",
    "number": "one number a cell that is no probability decides nothing (--activation sigmoid makes one of a logit)",
}
_ONE = 1e-3  # how near to 1 the probabilities of classes that exclude each other add up
_LEAST = 1e-12  # a probability below it is taken as this in logarithms


@dataclass(frozen=True, slots=True)
class Decisions:
    """How rows of scores are read.

    Attributes:
        kind: what they decide.
        classes: scores a row.
        score_kind: see ``maps.probabilities``.
    """

    kind: Kind
    classes: int
    score_kind: str

    @staticmethod
    def of(scores: Array, score_kind: str) -> Decisions:
        """By some of the rows (cells, classes): probabilities that do not add up to 1 are of labels, each by itself."""
        classes = scores.shape[1]
        kind: Kind = "winner"
        if score_kind == "winner":
            kind = "index"
        elif classes == 1:
            kind = "label" if score_kind == "probabilities" else "number"
        elif score_kind == "probabilities":
            sums = scores[np.isfinite(scores).all(axis=1)].sum(axis=1, dtype=np.float64)
            kind = "winner" if (np.abs(sums - 1) <= _ONE).all() else "labels"
        return Decisions(kind, classes, score_kind)

    @property
    def words(self) -> str:
        return WORDS[self.kind]

    @property
    def groups(self) -> int:
        """Into how many classes cells are told apart: the winners, the labels, or one label and its absence."""
        return {"winner": self.classes, "labels": self.classes, "label": 2}.get(self.kind, 0)

    def of_rows(self, scores: Array) -> Array:
        """(cells, 1), or (cells, classes) of labels: what each row decides. Of a row that is no numbers it means nothing."""
        if self.kind == "winner":
            return np.asarray(scores.argmax(axis=1)[:, None])
        if self.kind in ("labels", "label"):
            return np.asarray(scores >= 0.5)
        return np.asarray(np.rint(np.nan_to_num(scores)), np.int64)

    def alike(self, a: Array, b: Array) -> Array:
        """(cells, 1), or (cells, classes) of labels: whether two answers decide the same; never where either has a score that is no number."""
        known = np.asarray(np.isfinite(a).all(axis=1) & np.isfinite(b).all(axis=1))
        if self.kind == "number":
            return np.zeros((len(a), 1), np.bool_)
        return np.asarray((self.of_rows(a) == self.of_rows(b)) & known[:, None])

    def probabilities(self, scores: Array) -> npt.NDArray[np.float64] | None:
        """(cells, classes) in double precision: of logits by a softmax; None where scores are neither."""
        wide = np.asarray(scores, np.float64)
        if self.score_kind == "probabilities":
            return np.clip(wide, 0, 1)
        if self.kind == "winner" and self.score_kind in ("logits", "log-probabilities"):
            powers = np.exp(wide - wide.max(axis=1, keepdims=True))
            return np.asarray(powers / powers.sum(axis=1, keepdims=True))
        return None

    def surest(self, chances: Array) -> Array:
        """(cells,), how sure each row is of what it decides: the winner's probability; of labels the mean of those of their decisions."""
        if self.kind == "winner":
            return np.asarray(chances.max(axis=1))
        return np.asarray(np.maximum(chances, 1 - chances).mean(axis=1))

    def divergence(self, crops: Array, mapped: Array) -> Array:
        """(cells,), Kullback and Leibler's of the map from the crops, in nats; of labels the sum of each one's."""

        def part(p: Array, q: Array) -> Array:
            return np.asarray((p * np.log(np.maximum(p, _LEAST) / np.maximum(q, _LEAST))).sum(axis=1))

        return part(crops, mapped) if self.kind == "winner" else part(crops, mapped) + part(1 - crops, 1 - mapped)
