"""The table of a study, ``summary.csv``: a row an image, those that failed last."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fullconv.exports.images import cell_text
from fullconv.exports.table import plain
from fullconv.study.outcome import OfClass, Outcome
from fullconv.system.files import written_whole

_FIRST = (
    "image", "status", "error", "rules", "width", "height", "rows", "cols", "answered", "winner", "exactness", "agreement", "agreement_low",
    "agreement_high", "seconds", "result",
)  # fmt: skip


def write_table(path: Path, outcomes: Sequence[Outcome], labels: Sequence[str], threshold: float | None) -> None:
    """Write it anew, whole or not at all.

    Args:
        labels: of the classes that have columns.
        threshold: where there is one, columns of what scores it.
    """
    units = sorted({each.unit for each in outcomes if each.unit})
    columns = _columns(units, threshold is not None)
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(
        [plain(name) for name in (*_FIRST, *(f"{label} {name}" for label in labels for name, _, _ in columns))]
    )
    for outcome in sorted(outcomes, key=lambda each: not each.mapped):
        classes = {each.label: each for each in outcome.classes}
        values: list[Any] = [*_first(outcome)]
        for label in labels:
            values += [_value(classes.get(label), field, unit, outcome.unit) for _, field, unit in columns]
        writer.writerow([cell_text(value) for value in values])
    with written_whole(path) as (part,):
        part.write_text(out.getvalue(), encoding="utf-8", newline="")


def _columns(units: Sequence[str], over: bool) -> list[tuple[str, str, str]]:
    """Name, field of ``OfClass`` and unit of each column of a class; areas in every unit that there is."""
    found = [("cells", "cells", ""), ("share", "share", "")]
    found += [(f"area_{unit}", "area", unit) for unit in units]
    if over:
        found += [
            ("cells_over", "over", ""),
            *((f"area_over_{unit}", "over_area", unit) for unit in units),
            ("peaks", "peaks", ""),
        ]
    return [*found, ("best", "best", ""), ("x", "x", ""), ("y", "y", "")]


def _value(found: OfClass | None, field: str, unit: str, own: str) -> Any:
    return None if found is None or (unit and unit != own) else getattr(found, field)


def _first(outcome: Outcome) -> list[Any]:
    share, low, high = outcome.agreement or (None, None, None)
    if not outcome.mapped:
        return [outcome.image, "failed", " ".join(outcome.error.split()), *[None] * (len(_FIRST) - 3)]
    return [
        outcome.image, "mapped", "", "; ".join(outcome.rules), outcome.width, outcome.height, outcome.rows, outcome.cols, outcome.answered,
        outcome.winner, outcome.exactness, share, low, high, outcome.seconds, outcome.files[0],
    ]  # fmt: skip
