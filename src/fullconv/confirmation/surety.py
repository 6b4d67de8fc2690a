"""How sure a map is of a cell, and whether it is right: against the answers of the untouched network for the cells' crops.

Any number would do for what is promised, since the promise rests on crops alone; one that says well where a map is wrong leaves fewer cells to
be run as crops. That is the distance of the two highest logits, or of the one that counts from its threshold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fullconv.confirmation.asked import Confirm
from fullconv.errors import BadInput
from fullconv.results.encoding import Stored, decoded, encoded

Array = npt.NDArray[Any]
Numbers = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Scale = Literal["plain", "log", "odds"]
_AT_ONCE = 1 << 20  # scores whose margins are looked at at once
_WHOLE = 1e-3  # how far the sum of a softmax may be from 1


@dataclass(frozen=True, slots=True)
class Surety:
    """How sure a map is of its cells.

    Attributes:
        confirm: what is to be confirmed.
        keep, stored: what a store holds of the scores, as of a ``Job``.
        scale: how scores become logits: ``plain`` they are, or by their logarithm (``log``, of a softmax) or log odds (``odds``, of a sigmoid).
        threshold: of detections, and of a network with one class; NaN where there is none.
    """

    confirm: Confirm
    keep: str | tuple[int, ...]
    stored: Stored
    scale: Scale
    threshold: float

    def of(self, scores: Array) -> Numbers:
        """(cells,) of (classes, cells): the lower, the less sure."""
        if self.confirm.what != "winners":
            best = self._held(scores)[list(self.confirm.classes)].max(axis=0)
            return np.asarray(self._threshold - best.astype(np.float64))  # sure to be none
        step = max(1, _AT_ONCE // len(scores))
        parts = [self._margin(scores[:, i : i + step]) for i in range(0, scores.shape[1], step)]
        return np.concatenate(parts) if parts else np.empty(0)

    def against(self, mapped: Array, crops: Array) -> tuple[Numbers, Mask, Mask]:
        """Of the same cells' two answers, (classes, cells) each: how sure the map is of each, which count, and which of those it has wrong.

        Of detections those count that the crops find, else all; a detection is wrong that is missed unless it is run as a crop. A winner
        whose crop's own answer is another once it is stored is wrong whatever is done, and infinitely sure.
        """
        sure = self.of(mapped)
        if self.confirm.what != "winners":
            there = self._finds(crops)
            return sure, there if self.confirm.what == "detections" else np.ones_like(there), there
        theirs = self._decided(self._chosen(crops))
        wrong = self._decided(self._chosen(self._held(mapped))) != theirs
        lost = self.lost(crops)
        return np.where(lost, np.inf, sure), np.ones(len(sure), np.bool_), wrong | lost

    def lost(self, crops: Array) -> Mask:
        """Cells whose crop's own winner, of (classes, cells), is another once it is stored; none of detections, which are compared as stored."""
        if self.confirm.what != "winners":
            return np.zeros(crops.shape[1], np.bool_)
        return np.asarray(self._decided(self._chosen(self._held(crops))) != self._decided(self._chosen(crops)))

    @property
    def _threshold(self) -> float:
        """As scores are compared with it, which are of float32."""
        return float(np.float32(self.threshold))

    def _finds(self, scores: Array) -> Mask:
        held = self._held(scores)
        found = (held[list(self.confirm.classes)] >= np.float32(self.threshold)).any(axis=0)
        if self.keep == "top1":  # where another class wins, the store does not know
            found &= np.isin(scores.argmax(axis=0), self.confirm.classes)
        return np.asarray(found)

    def _decided(self, scores: Array) -> Array:
        """The winner, or of one class the side of the threshold."""
        return np.asarray(scores.argmax(axis=0) if len(scores) > 1 else scores[0] >= np.float32(self.threshold))

    def _chosen(self, scores: Array) -> Array:
        """Scores of the classes that a store holds."""
        return scores if isinstance(self.keep, str) else scores[list(self.keep)]

    def _held(self, scores: Array) -> Array:
        """Scores as they are read again; a winner is kept as its number, whatever becomes of its score."""
        if self.stored == "float32" or (self.keep == "top1" and self.confirm.what == "winners"):
            return scores
        return decoded(encoded(scores, self.stored))

    def _margin(self, scores: Array) -> Numbers:
        logits = on_scale(self._chosen(scores), self.scale)
        if len(logits) == 1:
            edge = on_scale(np.array([self._threshold]), self.scale)[0]
            return np.asarray(np.abs(logits[0] - edge))
        second, first = np.partition(logits, -2, axis=0)[-2:]
        with np.errstate(invalid="ignore"):  # two that are both infinite are not apart
            return np.asarray(np.nan_to_num(first - second, nan=0.0, posinf=np.inf))


def on_scale(scores: Array, scale: Scale) -> Numbers:
    """Scores as logits, but for a number that all classes share."""
    values = scores.astype(np.float64)
    if scale == "plain":
        return values
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.clip(values, 0, 1)
        return np.log(values) if scale == "log" else np.log(values) - np.log1p(-values)


def scale_of(kind: str, scores: Array) -> Scale:
    """How scores (classes, cells) of this kind become logits: those of a softmax sum to 1 at every cell.

    Raises:
        BadInput: they are no scores.
    """
    if kind == "winner":
        raise BadInput("confirm: the network's numbers are winners, not scores, so that nothing says how sure they are")
    if kind != "probabilities":
        return "plain"
    whole = len(scores) > 1 and bool(np.allclose(scores.sum(axis=0), 1, rtol=0, atol=_WHOLE))
    return "log" if whole else "odds"
