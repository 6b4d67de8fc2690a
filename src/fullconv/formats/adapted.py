"""What a file says of the heads within it, whatever its format: JSON under the key ``fullconv.adapted``.

The weights are the network's own. So what is said is believed only where writing the heads that it names again gives the nodes that are there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fullconv.formats.head import FittedHead
from fullconv.geometry.field import receptive_fields
from fullconv.graph.axes import require
from fullconv.graph.nodes import Graph
from fullconv.surgery.head import Head, Level, Part

KEY = "fullconv.adapted"
UNREAD = (
    f"it has a head's nodes or names a head ({KEY}), and the two do not fit together: another tool changed it, another version wrote it, or it was "
    "trained on. It is mapped as it is; what needs its classifier's answers for crops is refused"
)
NO_CLASSIFIER = (
    "it was adapted, and the classifier that it was adapted from cannot be told from it: another tool changed it, another version wrote it, or it "
    "was trained on. Give that classifier instead, or adapt it again (fullconv adapt)"
)
OTHER_WEIGHTS = "its head was fitted to the weights that it has; train its classifier, and adapt that again"
_NUMBER = re.compile(r"[0-9]{1,9}(/[0-9]{1,9})?")
LONGEST = 1 << 20  # characters that are read of a stranger's
_ALIKE = 1e-6  # relative: a weight that was divided by its region's cells, and multiplied again

Array = npt.NDArray[Any]
Weighs = int | Literal["mixing", "spread"]  # which convolution of a head: a level's, or one of these


@dataclass(frozen=True, slots=True)
class Described:
    """A head as a file has it.

    Attributes:
        stem: with which its nodes' names begin.
        head: how it lies.
        mixes: whether it mixes the logits.
        about: what it was fitted on, how, and what that gave.
        steps: pixels from cell to cell, (y, x), of each level as it was when the head was put there: a finer form has others.
        nodes: names of its nodes, where they may be lost (PyTorch).
    """

    stem: str
    head: Head
    mixes: bool
    about: Mapping[str, Any]
    steps: tuple[tuple[Fraction, Fraction], ...]
    nodes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require(len(self.steps) == len(self.head.levels), "a step a level")

    @staticmethod
    def of(fitted: FittedHead, stem: str, graph: Graph, nodes: Sequence[str] = ()) -> Described:
        """A head that is put into a network of this graph."""
        fields = receptive_fields(graph)
        steps = tuple(fields[level.value].stride for level in fitted.head.levels)
        return Described(stem, fitted.head, fitted.mixing is not None, fitted.about, steps, tuple(nodes))

    @property
    def weighing(self) -> dict[str, Weighs]:
        """Its convolutions, by the names of their nodes."""
        levels: dict[str, Weighs] = {f"{self.stem}_level{i}_weigh": i for i in range(len(self.head.levels))}
        return {f"{self.stem}_mixing": "mixing", **levels, f"{self.stem}_spread": "spread"}

    def fitted(self, weights: Mapping[Weighs, Array], bias: Array) -> FittedHead:
        """The head with the weights of its convolutions.

        Raises:
            ValueError, Impossible: they are not a head's.
        """
        mixing, spread = weights.get("mixing"), weights.get("spread")
        kernels = tuple(_regions(level, weights[i]) for i, level in enumerate(self.head.levels))
        square = None if mixing is None or not self.mixes else _float32(mixing.reshape(mixing.shape[:2]))
        over = None if spread is None else _float32(spread.reshape(spread.shape[:2]))
        return FittedHead(self.head, _float32(bias), square, kernels, self.about, over)


def described(heads: Sequence[Described]) -> str:
    """The heads of a network as JSON, in the order in which they were put there."""
    return json.dumps([_shown(each) for each in heads], sort_keys=True)


def _shown(each: Described) -> dict[str, Any]:
    head = each.head
    steps = zip(head.levels, each.steps, strict=True)
    levels = [{**level.to_json(), "pixels": [str(side) for side in step]} for level, step in steps]
    return {
        "stem": each.stem, "output": head.output, "logits": head.logits, "classes": head.classes, "mixes": each.mixes, "levels": levels,
        "rank": head.rank, "about": dict(each.about), "nodes": list(each.nodes),
    }  # fmt: skip


def read_described(text: str | None) -> tuple[Described, ...]:
    """What ``described`` wrote; nothing where it is not there or makes no sense."""
    if not text or len(text) > LONGEST:
        return ()
    try:
        return tuple(_read(each) for each in json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError, ZeroDivisionError, OverflowError, RecursionError):
        return ()


def _read(parts: Mapping[str, Any]) -> Described:
    levels = tuple(
        Level(
            str(level["value"]), int(level["channels"]), _pair(level["block"]), _pair(level["step"]),
            tuple(map(int, level["rows"])), tuple(map(int, level["cols"])),
        )
        for level in parts["levels"]
    )  # fmt: skip
    head = Head(str(parts["output"]), str(parts["logits"]), int(parts["classes"]), levels, _whole(parts.get("rank")))
    steps = [[Fraction(side) for side in level["pixels"] if _NUMBER.fullmatch(side)] for level in parts["levels"]]
    return Described(
        str(parts["stem"]),
        head,
        bool(parts["mixes"]),
        dict(parts["about"]),
        tuple((y, x) for y, x in steps),
        tuple(map(str, parts["nodes"])),
    )


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)


def _pair(values: Sequence[Any]) -> tuple[int, int]:
    y, x = values
    return int(y), int(x)


def kernels_of(fitted: FittedHead, parts: Sequence[Part]) -> dict[str, tuple[Array, Array | None]]:
    """The weights (K, C, rows, cols) of each convolution, and of the first that gives classes the bias (K,), by the part's name."""
    made: dict[str, tuple[Array, Array | None]] = {}
    head = fitted.head
    for part in parts:
        if part.kind == "weigh":
            mixing = np.zeros((head.width, head.classes), np.float32) if fitted.mixing is None else fitted.mixing
            flat = fitted.spread if part.spreads else mixing
            assert flat is not None, "a head of a rank has what spreads it"
            kernel = flat[:, :, None, None] if part.level is None else fitted.window(part.level)
            biased = part.spreads if head.rank is not None else not made
            made[part.name] = np.ascontiguousarray(kernel), fitted.bias if biased else None
    return made


def _regions(level: Level, window: Array) -> npt.NDArray[np.float32]:
    """A window's weights (K, C, rows, cols) by region: the way back from ``FittedHead.window``."""
    if window.shape[2:] != level.window:
        raise ValueError(f"{level.value}: a window of {window.shape[2:]}, not {level.window}")
    starts = [[sum(sides[:i]) for i in range(len(sides))] for sides in (level.rows, level.cols)]
    shares = window[:, :, starts[0]][:, :, :, starts[1]]
    whole = np.repeat(np.repeat(shares, level.rows, axis=2), level.cols, axis=3)
    if not np.array_equal(whole, window):
        raise ValueError(f"{level.value}: weights that differ within a region")
    return _float32(shares * np.outer(level.rows, level.cols))


def _float32(values: Array) -> npt.NDArray[np.float32]:
    return np.ascontiguousarray(values, np.float32)


def alike(a: Array, b: Array) -> bool:
    """Whether two weights are one, but for the last bits."""
    return a.shape == b.shape and a.dtype == b.dtype and bool(np.allclose(a, b, rtol=_ALIKE, atol=0))


def believed(read: Callable[[], Any]) -> Any | None:
    """What is read of a network whose metadata names heads; None where the two do not fit together."""
    try:
        return read()
    except (
        Exception
    ):  # whatever a stranger's metadata makes it raise; what was written here is held against it (``same_heads``)
        return None
