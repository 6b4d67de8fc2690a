"""How well a map agrees with its crops, beside how well the classifier agrees with itself when its crop moves by a pixel.

Nobody needs the answer of one pixel more than that of the next: a map that agrees with crops as well as they agree with themselves is as good as it
gets. Whether it does is told by intervals, never by the shares alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, hypot
from typing import Any, Literal

from fullconv.trust.decisions import Decisions
from fullconv.trust.intervals import CONFIDENCE, Mean, Share

STEPS = ((1, 1), (-1, -1))  # (dy, dx), by which a crop is moved
Level = Literal["as good", "below", "too few cells", "not measured"]
_NEAR = 0.03  # how far below the yardstick a map may lie, at most, that is called as good
_UNSURE = 0.9  # an agreement with itself surely below it is that of a network fed with what it does not know
_NAMED = 3  # biased classes in words


@dataclass(frozen=True, slots=True)
class Apart:
    """Shares of all cells, of those inside, and of those at the border, whose field leaves the image."""

    every: Share
    interior: Share
    border: Share

    def to_json(self) -> dict[str, Any]:
        return {
            **self.every.to_json(),
            "interior": self.interior.to_json(),
            "border": self.border.to_json(),
        }


@dataclass(frozen=True, slots=True)
class OfClass:
    """One class, or one label.

    Attributes:
        index, label: of the network's classes.
        crops, won: cells of this class by their crops, and by the map.
        agrees: of the cells of this class by their crops, those of which the map says the same; of a label, all cells.
        itself: of these crops and their moves, those that say the same; None where nothing was moved.
        mapped, classifier: mean probability over all cells, on the map and of their crops; None where scores are none.
        bias: the difference of these, cell by cell.
    """

    index: int
    label: str
    crops: int
    won: int
    agrees: Share
    itself: Share | None
    mapped: float | None
    classifier: float | None
    bias: Mean | None

    def is_biased(self, classes: int) -> bool:
        """Whether the means surely differ, where so many classes are looked at."""
        half = None if self.bias is None else self.bias.half(1 - (1 - CONFIDENCE) / classes)
        return half is not None and self.bias is not None and abs(self.bias.mean) > half

    def to_json(self) -> dict[str, Any]:
        return {
            "class": self.index,
            "label": self.label,
            "crops": self.crops,
            "map": self.won,
            "agreement": self.agrees.to_json(),
            "itself": None if self.itself is None else self.itself.to_json(),
            "probability": None
            if self.bias is None
            else {"map": self.mapped, "crops": self.classifier, "bias": self.bias.to_json()},
        }


@dataclass(frozen=True, slots=True)
class Calibration:
    """How sure the map and its crops are.

    Attributes:
        of: cells.
        mapped, classifier: mean probability of what each decides.
        gap: the difference, cell by cell.
        divergence: of the map from its crops (Kullback and Leibler's, nats), on average.
    """

    of: int
    mapped: float
    classifier: float
    gap: Mean
    divergence: float

    def to_json(self) -> dict[str, Any]:
        return {
            "cells": self.of,
            "map": self.mapped,
            "crops": self.classifier,
            "gap": self.gap.to_json(),
            "kl": self.divergence,
        }


@dataclass(frozen=True, slots=True)
class Yardstick:
    """Agreement, and what it is held against.

    Attributes:
        reads: what is compared of a cell's scores.
        map: of cells, those where map and crop decide the same; None where scores decide nothing.
        itself: of pairs of a crop and the same moved by a pixel, those that decide the same; None where nothing was moved.
        classes: all of them, the most frequent among crops first.
        calibration: None where scores are no probabilities and none can be made of them.
    """

    reads: Decisions
    map: Apart | None
    itself: Apart | None
    classes: tuple[OfClass, ...]
    calibration: Calibration | None

    @property
    def level(self) -> Level:
        """Where the map stands, by the interval of the difference."""
        if self.map is None or self.itself is None or not self.itself.every.of:
            return "not measured"
        low, high = self.map.every.less(self.itself.every)
        if high < 0:
            return "below"
        return "as good" if low > -_NEAR else "too few cells"

    @property
    def is_unsure(self) -> bool:
        """The classifier surely changes its mind at one pixel more often than it should."""
        return self.itself is not None and self.itself.every.of > 0 and self.itself.every.ends[1] < _UNSURE

    @property
    def overconfidence(self) -> float | None:
        """How much surer of its winners the map is than it agrees with its crops, past what the classifier is beside its agreement with itself;
        None where that is not surely above 0, or not to be told.
        """
        sure = self.calibration
        if sure is None or self.reads.kind != "winner" or self.map is None or self.itself is None:
            return None
        half, own, its = sure.gap.half(), self.map.every, self.itself.every
        if half is None or own.share is None or its.share is None:
            return None
        lacks = its.share - own.share
        past = sure.gap.mean + lacks
        if past <= hypot(half, lacks - its.less(own)[0]) or sure.mapped <= own.ends[1]:
            return None
        return past

    @property
    def biased(self) -> tuple[OfClass, ...]:
        """The classes whose mean probability surely differs, by how much."""
        found = [each for each in self.classes if each.is_biased(len(self.classes))]
        return tuple(sorted(found, key=lambda each: -abs(each.bias.mean if each.bias is not None else 0)))

    @property
    def seen(self) -> tuple[OfClass, ...]:
        """The classes that crops or map have somewhere."""
        return tuple(each for each in self.classes if each.crops or each.won)

    @property
    def verdict(self) -> str:
        """Where the map stands, in a sentence."""
        if self.map is None:
            return f"no agreement is told: {self.reads.words}; differences alone say how near map and crops are"
        own = f"the map agrees with its crops in {self.map.every}"
        if self.itself is None:
            return own
        if not self.itself.every.of:
            return (
                f"{own}; no crop can be moved by a pixel within the image, so that there is nothing to hold it against"
            )
        against = f"{own}, the classifier with itself moved by a pixel in {self.itself.every}"
        return against + {
            "as good": ": as good as it gets",
            "below": ": below what the classifier itself can be held to",
            "too few cells": f": too few cells to tell them apart; compare {self._enough:,} or more (--cells; of more images where one has no more)",
        }.get(self.level, "")

    @property
    def _enough(self) -> int:
        """About how many cells would tell, since intervals shrink with the root of them."""
        assert self.map is not None
        assert self.itself is not None
        low, high = self.map.every.less(self.itself.every)
        room = _NEAR + max(0.0, (low + high) / 2)
        return ceil(self.map.every.of * max(2.0, ((high - low) / 2 / room) ** 2) / 100) * 100

    @property
    def warning(self) -> str | None:
        """What to look at first, where the classifier does not know what it sees."""
        if not self.is_unsure:
            return None
        return (
            "the network is unsure of this image at one pixel: it may be fed with what it was not trained for (other preprocessing, "
            "pixels of another size, other pictures)"
        )

    @property
    def lines(self) -> list[str]:
        """All of it but the verdict, for people."""
        return [*self._aparts(), *self._probabilities()]

    def _aparts(self) -> Iterator[str]:
        if self.map is None:
            return
        if self.reads.kind != "winner":
            yield f"compared of a cell's scores: {self.reads.words}"
        if self.itself is not None:
            yield f"of the classifier's crops {self.itself.every.trials:,} were moved by a pixel, {self.itself.every.of:,} times in all"
        none = Share(0, 0)
        its = Apart(none, none, none) if self.itself is None else self.itself
        parts = [("inside", self.map.interior, its.interior), ("at the border", self.map.border, its.border)]
        told = [
            f"{where} map {own}" + (f", classifier {against}" if against.of else "")
            for where, own, against in parts
            if own.of
        ]
        if len(told) > 1:
            yield "; ".join(told)

    def _probabilities(self) -> Iterator[str]:
        sure = self.calibration
        if sure is None:
            if self.map is not None:
                yield "bias and confidence are not told: scores are no probabilities, and nothing says how they become some"
            return
        by = " (by a softmax of its scores)" if self.reads.score_kind != "probabilities" else ""
        what = "winners" if self.reads.kind == "winner" else "labels"
        over = "" if self.overconfidence is None else f"; over-confident by {self.overconfidence:.2g}"
        yield (
            f"sure of its {what} by {sure.mapped:.3f} on average{by}, its crops by {sure.classifier:.3f}{over}; KL divergence {sure.divergence:.3g}"
        )
        if self.biased:
            named = ", ".join(
                f"{each.label} {each.mapped:.3f} for {each.classifier:.3f}" for each in self.biased[:_NAMED]
            )
            more = f", and {len(self.biased) - _NAMED} classes more" if len(self.biased) > _NAMED else ""
            yield f"biased: mean probability on the map, for that of crops: {named}{more}"

    def to_json(self) -> dict[str, Any]:
        return {
            "compares": self.reads.kind,
            "words": self.reads.words,
            "map": None if self.map is None else self.map.to_json(),
            "itself": None
            if self.itself is None
            else {**self.itself.to_json(), "pairs": self.itself.every.of, "cells": self.itself.every.trials},
            "level": self.level,
            "verdict": self.verdict,
            "unsure": self.is_unsure,
            "calibration": None if self.calibration is None else self.calibration.to_json(),
            "overconfident": self.overconfidence,
            "biased": [each.label for each in self.biased],
            "classes": [each.to_json() for each in self.classes],
        }
