"""How long each stage of a run was busy, and which of them the others waited for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from time import perf_counter

# Stages that each have a thread: the one that is never idle is what limits a run.
_SIDE_BY_SIDE = {
    "read": "reading", "prepare": "preprocessing", "compile": "compiling", "run": "the engine", "write": "writing", "settle": "the disk",
}  # fmt: skip
_ORDER = (
    "read", "decode", "where", "prepare", "compile", "up", "run", "down", "write", "encode", "levels", "settle",
    "waiting_for_pixels", "waiting_for_places",
)  # fmt: skip

_BY_NAME = {name: stage for stage, name in _SIDE_BY_SIDE.items()}


class Timings:
    """Seconds of each stage, added up by any thread.

    ``read``, ``prepare``, ``run``, ``write`` and ``settle`` go on side by side. The others are parts of these: ``decode`` and ``where`` of reading,
    ``compile`` of preparing, ``up`` and ``down`` of what a device takes and gives, ``encode`` and ``levels`` of writing. ``waiting_for_pixels`` and ``waiting_for_places`` are what the engine's
    own thread spends idle, before a tile is there and while too much waits to be written. Parts that several threads do at once may add up to more
    than there was time.
    """

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._lock = Lock()

    def add(self, stage: str, seconds: float) -> None:
        with self._lock:
            self._seconds[stage] = self._seconds.get(stage, 0.0) + seconds

    def add_all(self, seconds: Mapping[str, float]) -> None:
        """Those of another process."""
        for stage, each in seconds.items():
            self.add(stage, each)

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        """Count what is done within."""
        start = perf_counter()
        try:
            yield
        finally:
            self.add(stage, perf_counter() - start)

    @property
    def seconds(self) -> dict[str, float]:
        """By stage, in the order of the stream."""
        with self._lock:
            known = dict(self._seconds)
        return {stage: known[stage] for stage in sorted(known, key=lambda s: _ORDER.index(s) if s in _ORDER else 99)}

    def taken(self) -> dict[str, float]:
        """What was added since it was last taken."""
        with self._lock:
            known, self._seconds = self._seconds, {}
        return known

    def limit(self) -> tuple[str, float]:
        """What limited a run, in words, and the share of the engine's thread's time in which it was busy; empty where nothing was run."""
        seconds = self.seconds
        whole = sum(seconds.get(stage, 0.0) for stage in ("run", "waiting_for_pixels", "waiting_for_places"))
        busy = _busy(seconds)
        if not busy or not whole:
            return "", 0.0
        most = max(busy, key=lambda stage: busy[stage])
        return _SIDE_BY_SIDE[most], min(1.0, busy[most] / whole)

    def __str__(self) -> str:
        """What limited a run, in a line."""
        limit, share = self.limit()
        if not limit:
            return ""
        seconds = self.seconds
        busy = _busy(seconds)
        whole = busy[_BY_NAME[limit]] / share
        others = ", ".join(
            f"{name} {min(1.0, busy[stage] / whole):.0%}"
            for stage, name in _SIDE_BY_SIDE.items()
            if stage in busy and name != limit
        )
        return f"limited by {limit}: {share:.0%} of the time{others and f' ({others})'}"


def _busy(seconds: Mapping[str, float]) -> dict[str, float]:
    """Of stages that go on side by side; preparing without what was compiled within it."""
    busy = {stage: seconds[stage] for stage in _SIDE_BY_SIDE if stage in seconds}
    if "compile" in busy and "prepare" in busy:
        busy["prepare"] = max(0.0, busy["prepare"] - busy["compile"])
    return busy
