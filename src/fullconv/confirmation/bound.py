"""What a sample says of all: Clopper and Pearson's upper bound of a share, by the binomial distribution itself.

It holds for crops drawn from equal strata too: their errors are Bernoulli variables of unlike means, and so few of them are at most as likely as
of the binomial with the average mean, as long as they are fewer than expected by one (Hoeffding 1956), which every bound of at least even odds is.
"""

from __future__ import annotations

from functools import cache
from math import ceil, exp, lgamma, log, log1p

from fullconv.errors import BadInput


def upper_bound(wrong: int, of: int, confidence: float) -> float:
    """The least share that is refuted: were it the true one, at most ``wrong`` of so many would be with a chance of 1 - ``confidence``."""
    if wrong >= of:
        return 1.0
    low, high = wrong / of, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(wrong, of, middle) > 1 - confidence else (low, middle)
    return high


@cache
def most_wrong(of: int, share: float, confidence: float) -> int:
    """How many of a sample may be wrong, so that the bound of all stays within a share; -1 where the sample is too small for any."""
    wrong = -1
    while wrong + 1 < of and _at_most(wrong + 1, of, share) <= 1 - confidence:
        wrong += 1
    return wrong


def least_sample(share: float, confidence: float) -> int:
    """How many there must be of which none is wrong."""
    return ceil(log(1 - confidence) / log1p(-share))


def best_level(of: int, confidence: float) -> float:
    """The highest level that so many without an error certify."""
    if of < 1:
        raise BadInput("nothing was looked at, so that nothing can be said")
    return exp(log(1 - confidence) / of)


def _at_most(wrong: int, of: int, share: float) -> float:
    """The chance of at most so many."""
    if share <= 0:
        return 1.0
    if share >= 1:
        return float(wrong >= of)
    whole = lgamma(of + 1)
    return sum(
        exp(whole - lgamma(i + 1) - lgamma(of - i + 1) + i * log(share) + (of - i) * log1p(-share))
        for i in range(wrong + 1)
    )
