"""Classes of two maps as one list: matched by their names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fullconv.errors import BadInput

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Shared:
    """The classes of either map.

    Attributes:
        labels: the first map's, then those that only the second has.
        second: the place of each of the second map's classes in that list; the first's are in their order.
        common: which of the list both have.
        remarks: classes that one has alone.
    """

    labels: tuple[str, ...]
    second: npt.NDArray[np.intp]
    common: tuple[int, ...]
    remarks: tuple[str, ...]

    @staticmethod
    def of(names: tuple[str, str], first: Sequence[str], second: Sequence[str]) -> Shared:
        """Match two lists of names; of equal names within one list the first is the other's first.

        Raises:
            BadInput: they have none in common.
        """
        counted = _numbered(first)
        place = {key: i for i, key in enumerate(counted)}
        labels, found = list(first), []
        for key, label in zip(_numbered(second), second, strict=True):
            if key not in place:
                place[key] = len(labels)
                labels.append(label)
            found.append(place[key])
        common = tuple(sorted(i for i in found if i < len(first)))
        if not common:
            raise BadInput(
                f"{names[0]} and {names[1]}: have no class in common, by their names ({_some(first)}; {_some(second)}); "
                "map with the same --labels to compare them"
            )
        alone = [i for i in range(len(first)) if i not in set(common)], range(len(first), len(labels))
        remarks = tuple(
            f"only the {which} map has {_some([labels[i] for i in own])}"
            for which, own in zip(("first", "second"), alone, strict=True)
            if own
        )
        return Shared(tuple(labels), np.array(found, np.intp), common, remarks)


def _numbered(labels: Sequence[str]) -> list[tuple[str, int]]:
    seen: Counter[str] = Counter()
    found = []
    for label in labels:
        found.append((label, seen[label]))
        seen[label] += 1
    return found


def _some(labels: Sequence[str]) -> str:
    shown = ", ".join(map(repr, labels[:_SHOWN]))
    return shown if len(labels) <= _SHOWN else f"{shown} and {len(labels) - _SHOWN} more"
