"""What a precision costs: crops of the untouched network in it, against the same in float32; and whether an exact map in it is its crops' in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.runtimes.engine import Precision
from fullconv.trust.decisions import Decisions
from fullconv.trust.totals import differences

Array = npt.NDArray[Any]
_MARGIN = 8  # both sides round, and what a sample shows is not the most
BITS: dict[Precision, int] = {"fp32": 23, "tf32": 10, "fp16": 10, "bf16": 7}  # behind a number's first


@dataclass(frozen=True, slots=True)
class Rounded:
    """What was seen on some crops. Differences are of scores, absolute.

    Attributes:
        precision: the one that was asked for.
        cells: how many.
        agree: of those, how many crops decide the same in it as in float32; None where scores decide nothing.
        largest, mean: difference of a crop's scores in it and in float32.
        noise: largest change of the crops' scores in it when the last bits that it keeps of their pixels change.
        parted: largest difference of an exact map in it and its crops in it, of those that are numbers; None of a map that is not exact.
        apart: of its cells, those of which map or crop, and not the other, is no number somewhere.
    """

    precision: Precision
    cells: int
    agree: int | None
    largest: float
    mean: float
    noise: float
    parted: float | None
    apart: int = 0

    @property
    def failed(self) -> bool:
        """An exact map in this precision differs from its crops in it by more than it rounds."""
        return self.parted is not None and (self.apart > 0 or not self.parted <= self.threshold)

    @property
    def threshold(self) -> float:
        """Above it a difference is none of this precision's rounding."""
        return _MARGIN * max(self.noise, self.largest)

    @property
    def lines(self) -> list[str]:
        """In words."""
        same = "" if self.agree is None else f"{self.agree} decide as in fp32 ({self.agree / self.cells:.2%}), and "
        told = [
            f"{self.precision} alone, on {self.cells} crops of the untouched network: {same}scores move by {self.largest:.2e} at most, {self.mean:.2e} on average"
        ]
        if self.parted is not None:
            how = "as it rounds" if self.parted <= self.threshold else "more than it rounds"
            apart = (
                f"; in {self.apart} cells one of them is NaN or infinite, and the other is not" if self.apart else ""
            )
            told.append(f"map and crops, both in {self.precision}, differ by {self.parted:.2e} at most: {how}{apart}")
        return told

    def to_json(self) -> dict[str, Any]:
        data = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return data | {"threshold": self.threshold, "failed": self.failed}


class Rounding:
    """Gathers what a precision costs, cell by cell."""

    def __init__(self, precision: Precision, exact: bool) -> None:
        self._precision, self._exact = precision, exact
        self._cells = self._agree = self._apart = 0
        self._largest = self._sum = self._noise = self._parted = 0.0
        self._decides = True

    def add(self, decisions: Decisions, mapped: Array, exact: Array, rough: Array, again: Callable[[], Array]) -> None:
        """Some cells' scores, (cells, classes): of the map, of crops in float32 and in this precision, and of the last with other last bits."""
        gaps, *_ = differences(rough, exact)
        self._cells += len(rough)
        self._largest = max(self._largest, _most(gaps))
        self._sum += float(gaps.mean(axis=1).sum(dtype=np.float64))
        self._decides = decisions.kind != "number"
        self._agree += int(decisions.alike(rough, exact).all(axis=1).sum())
        self._noise = max(self._noise, _most(differences(again(), rough)[0]))
        if self._exact:
            gaps, apart, _ = differences(mapped, rough)
            self._apart += int(apart.sum())
            self._parted = max(self._parted, _most(gaps))

    def found(self) -> Rounded | None:
        """All of it; None where nothing was added."""
        if not self._cells:
            return None
        agree, parted = self._agree if self._decides else None, self._parted if self._exact else None
        mean = self._sum / self._cells
        return Rounded(self._precision, self._cells, agree, self._largest, mean, self._noise, parted, self._apart)


def last_bits(values: Array, precision: Precision, seed: int) -> npt.NDArray[np.float32]:
    """The same numbers with the last bit changed that this precision keeps of them."""
    signs = np.random.default_rng(seed).choice(np.array([-1, 1], np.float32), values.shape)
    return np.asarray(values * (1 + signs * np.float32(2.0 ** -BITS[precision])), np.float32)


def _most(gaps: Array) -> float:
    return float(gaps.max(initial=0.0))
