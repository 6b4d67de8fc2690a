"""How long each stage of a run was busy, and which of them the others waited for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from time import perf_counter

# Stages that each have a thread: the one that is never idle is what limits a run.
_SIDE_BY_SIDE = {"read": "reading", "prepare": "preprocessing", "run": "the engine", "write": "writing"}
_ORDER = (
    "read", "where", "decode", "prepare", "up", "run", "down", "write", "encode", "settle", "levels",
    "waiting_for_pixels", "waiting_for_places",
)  # fmt: skip


class Timings:
    """Seconds of each stage, added up by any thread.

    ``read``, ``prepare``, ``run`` and ``write`` go on side by side. The others are parts of these: ``where`` and ``decode`` of reading, ``up`` and ``down`` of
    what a device takes and gives, ``encode``, ``settle`` and ``levels`` of writing. ``waiting_for_pixels`` and ``waiting_for_places`` are the engine's
    own idle time, before a tile is read and while nothing more may be written.
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

    def limit(self, whole: float) -> tuple[str, float]:
        """What limited a run of so many seconds, in words, and the share of them in which it was busy; empty where nothing was timed."""
        seconds = self.seconds
        busy = {stage: seconds[stage] for stage in _SIDE_BY_SIDE if stage in seconds}
        if not busy:
            return "", 0.0
        most = max(busy, key=lambda stage: busy[stage])
        return _SIDE_BY_SIDE[most], min(1.0, busy[most] / max(whole, 1e-9))
