"""What can go wrong, said so that a person can mend it.

Every error names the file or node, what was found, what was expected and how to fix it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class FullconvError(Exception):
    """Base of every error that fullconv raises on purpose."""


class BadInput(FullconvError):
    """A file, image or argument that cannot be used as given (exit status 2)."""


class TooSmall(BadInput):
    """An image is smaller than one crop."""


class NoWeights(BadInput):
    """The network was read without its weights: it can be inspected and planned for, not run."""


class MissingExtra(BadInput):
    """An optional library is needed and not installed."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A node that cannot be cast or run, and why."""

    node: str
    reason: str

    def __str__(self) -> str:
        return f"{self.node}: {self.reason}"


class Refused(FullconvError):
    """The network is readable, but something in it cannot be done (exit status 1)."""

    def __init__(self, summary: str, refusals: Sequence[Refusal]) -> None:
        self._summary, self.refusals = summary, tuple(refusals)
        super().__init__("\n  ".join([summary, *map(str, self.refusals)]))

    def __reduce__(self) -> tuple[type[Refused], tuple[str, tuple[Refusal, ...]]]:
        return type(self), (self._summary, self.refusals)  # a worker's refusal comes back as one


class CannotCast(Refused):
    """The network has nodes for which no convolution gives the same answer."""


class CannotRun(Refused):
    """The network has nodes that no runtime here can compute."""


class NothingToAdapt(FullconvError):
    """No head brings a network's map nearer to its crops, or it is exact as it is (exit status 1)."""


class SomeFailed(FullconvError):
    """Some of many images could not be mapped; the others are (exit status 1)."""


class BrokenPromise(FullconvError):
    """An internal check failed: the result is not what the plan predicted. A bug in fullconv."""
