"""What is told of a run while it lasts, and at its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any

from fullconv.stream.ahead import Ahead
from fullconv.stream.plan import StreamPlan
from fullconv.stream.timings import Timings
from fullconv.system.memory import peak_bytes
from fullconv.tiling.tiles import Tile

_BESIDE = 0.01  # of a whole tile's time, that one takes for which nothing is run
Report = Callable[[str, Mapping[str, Any]], None]


class Watch:
    """Counts what is done, and tells it."""

    def __init__(self, plan: StreamPlan, left: Sequence[Tile], report: Report, ahead: Ahead) -> None:
        self._plan, self._report, self._ahead, self._worked = plan, report, ahead, 0.0
        self._beside = _BESIDE * plan.pace.seconds(ahead.whole(next(iter(plan.tiles))))
        self._work = plan.pace.seconds(ahead.total(left)[0]) + self._beside * len(left)
        self._done = self._before = len(plan.tiles) - len(left)
        self._peak = 0
        self._start = perf_counter()
        self._mega = plan.tiles.image[0] * plan.tiles.image[1] / 1e6 / len(plan.tiles)

    def is_done(self, tile: Tile, mark: str, peak: int) -> None:
        self._done += 1
        self._peak = max(self._peak, peak)
        seconds = perf_counter() - self._start
        new, total = self._done - self._before, len(self._plan.tiles)
        self._worked += self._plan.pace.seconds(self._ahead.work(tile)) + self._beside
        left = max(0.0, self._work - self._worked) if self._done < total else 0.0
        self._report("tile", {
            "tile": tile.name, "box": list(tile.box()), "done": self._done, "of": total, "seconds": seconds,
            "megapixels_per_second": self._mega * new / max(seconds, 1e-9), "seconds_left": seconds / self._worked * left,
            "peak_bytes": self._peak, "note": mark,
        })  # fmt: skip

    def summary(self, failed: Sequence[tuple[str, str]], left_out: int, timings: Timings) -> dict[str, Any]:
        """Of the whole run."""
        grid, (limit, share) = self._plan.grid, timings.limit()
        return {
            "tiles": len(self._plan.tiles), "seconds": perf_counter() - self._start, "peak_bytes": max(self._peak, peak_bytes()),
            "predicted_bytes": self._plan.peak_bytes, "cells": grid.rows * grid.cols, "left_out": left_out,
            "failed": [{"tile": name, "reason": reason} for name, reason in failed],
            "stages": timings.seconds, "limit": limit, "limit_share": share, "text": str(timings),
        }  # fmt: skip
