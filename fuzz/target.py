"""What is fuzzed: a reader, what it is fed, and how its food is damaged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fuzz.mutate import Mutator


@dataclass(frozen=True)
class Target:
    """One reader.

    Attributes:
        name: as the command line has it.
        suffix: of its files.
        seeds: writes good files into a folder, by the tests' own builders.
        mutate: a case of a seed, at random.
        read: reads a case. An error of fullconv's own is well; anything else is a finding.
        seconds, gigabytes: that a case may take.
    """

    name: str
    suffix: str
    seeds: Callable[[Path], list[Path]]
    mutate: Mutator
    read: Callable[[Path], None]
    seconds: float = 20.0
    gigabytes: float = 4.0


class Wrong(Exception):
    """A reader said something that is not so."""
