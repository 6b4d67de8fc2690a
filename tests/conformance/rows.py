"""The table: for every operator record some settings, each a step of a small network, with what fullconv must say of it.

A step stands on a map behind a strided convolution, on a vector behind a dense layer, or on the 1×1 map behind a global pool.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from fuzz.networks.draft import Draft

Step = Callable[[Draft, str], str | None]
RNG = np.random.default_rng(0)
END = 2**63 - 1
C, K = 4, 6  # channels of the map, numbers of the vector
H, W = 6, 5  # cells of the map at training size


@dataclass(frozen=True)
class Row:
    """One setting of an operator.

    Attributes:
        label: what is odd about it.
        step: the nodes, behind a value.
        says: whether the cast is exact, told not to be, or refused.
        on: a map, a vector, or the 1×1 map of a global pool.
        opset: operator set.
    """

    label: str
    step: Step
    says: Literal["exact", "inexact", "refused"] = "exact"
    on: Literal["map", "vector", "pooled"] = "map"
    opset: int = 17


def from_the_start() -> None:
    """The same numbers for a row whatever rows were made before it."""
    RNG.bit_generator.state = np.random.default_rng(2).bit_generator.state


def numbers(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def positive(*shape: int) -> np.ndarray:
    return (RNG.random(shape) + 0.5).astype(np.float32)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def op(kind: str, *constants: np.ndarray | str, first: bool = False, outputs: int = 1, **attributes: object) -> Step:
    """One node: the value, then constants (an empty name is an input left out); ``first`` puts them before it."""

    def step(d: Draft, x: str) -> str | None:
        given = [c if isinstance(c, str) else d.constant(c) for c in constants]
        return d.add(kind, [*given, x] if first else [x, *given], outputs, **attributes)

    return step


def chain(*steps: Step) -> Step:
    """One step behind another."""

    def step(d: Draft, x: str) -> str | None:
        value: str | None = x
        for each in steps:
            value = value and each(d, value)
        return value

    return step


def gated(inner: Step, kind: str = "Mul") -> Step:
    """The value and something made of it, together."""

    def step(d: Draft, x: str) -> str | None:
        made = inner(d, x)
        return made and d.add(kind, [x, made])

    return step


def both(kind: str, one: Step, other: Step, **attributes: object) -> Step:
    """Two values made of one, together."""

    def step(d: Draft, x: str) -> str | None:
        a, b = one(d, x), other(d, x)
        return a and b and d.add(kind, [a, b], **attributes)

    return step


def same(d: Draft, x: str) -> str:
    return x


to_float = op("Cast", to=1)
small = chain(op("Tanh"), op("Mul", np.float32(0.7)))
last = op("Transpose", perm=[0, 2, 3, 1])
first = op("Transpose", perm=[0, 3, 1, 2])
tokens = op("Reshape", ints(0, C, -1))
untokens = op("Reshape", ints(-1, C, H, W))
