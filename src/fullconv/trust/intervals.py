"""How sure a share or a mean of so many trials is: intervals of 95 %.

Of a share by Wilson (1927), of the difference of two by Newcombe (1998, his method 10), of a mean by the normal distribution. Cells that are drawn
at random are independent trials of the map that they are drawn of, however alike neighbours are.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import Any

CONFIDENCE = 0.95
_FEWEST = 30  # trials whose mean is taken as normal


def deviate(confidence: float = CONFIDENCE) -> float:
    """Standard deviations on each side of the middle that hold so much of a normal distribution."""
    return NormalDist().inv_cdf((1 + confidence) / 2)


def wilson(share: float, trials: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Ends of the interval for a share that was seen in so many trials; all of 0..1 without a trial."""
    if not trials:
        return 0.0, 1.0
    z = deviate(confidence)
    shrunk = 1 + z * z / trials
    middle = (share + z * z / (2 * trials)) / shrunk
    half = z * sqrt(share * (1 - share) / trials + (z / (2 * trials)) ** 2) / shrunk
    return (0.0 if share == 0 else max(0.0, middle - half)), (1.0 if share == 1 else min(1.0, middle + half))


@dataclass(frozen=True, slots=True)
class Share:
    """What holds in so many of so many.

    Attributes:
        count, of: how many, of how many.
        trials: how many of them are independent, where that is less: of two moves of one crop one.
    """

    count: int
    of: int
    trials: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.count <= self.of or (self.trials is not None and not 0 <= self.trials <= self.of):
            raise ValueError(f"{self.count} of {self.of}, {self.trials} of them trials")

    @property
    def share(self) -> float | None:
        """None of none."""
        return self.count / self.of if self.of else None

    @property
    def ends(self) -> tuple[float, float]:
        """Wilson's interval."""
        return wilson(self.share or 0.0, self.of if self.trials is None else self.trials)

    def less(self, other: Share) -> tuple[float, float]:
        """The interval of the difference from another share, this one less that one; all of -1..1 where either is of none."""
        mine, its = self.share, other.share
        if mine is None or its is None:
            return -1.0, 1.0
        (low, high), (least, most) = self.ends, other.ends
        gap = mine - its
        return gap - sqrt((mine - low) ** 2 + (most - its) ** 2), gap + sqrt((high - mine) ** 2 + (its - least) ** 2)

    def to_json(self) -> dict[str, Any]:
        return {"agree": self.count, "of": self.of, "share": self.share, "interval": list(self.ends)}

    def __str__(self) -> str:
        if self.share is None:
            return "no cell"
        low, high = self.ends
        return f"{self.share:.1%} ({100 * low:.1f}–{100 * high:.1f})"


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean of so many numbers.

    Attributes:
        of: how many.
        total, squares: their sum, and that of their squares.
    """

    of: int
    total: float
    squares: float

    @property
    def mean(self) -> float:
        return self.total / self.of if self.of else 0.0

    def half(self, confidence: float = CONFIDENCE) -> float | None:
        """Half of its interval; None of so few that no normal distribution is near."""
        if self.of < _FEWEST:
            return None
        variance = max(0.0, self.squares - self.total**2 / self.of) / (self.of - 1)
        return deviate(confidence) * sqrt(variance / self.of)

    def to_json(self) -> dict[str, Any]:
        half = self.half()
        return {"mean": self.mean, "interval": None if half is None else [self.mean - half, self.mean + half]}
