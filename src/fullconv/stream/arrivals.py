"""Images that arrive in a folder, each once it stands still.

By looks at the folder, not by a library that is told by the system: inotify and its kin say nothing of what other machines write to a shared
folder, and a file that is closed may be opened again by the next part of a copy. What stands still for some seconds is whole by either.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from fullconv.rasters.open import SUFFIXES
from fullconv.system.guard import is_folder

State = tuple[int, int, int]  # size, time of change, number of a file


class Arrivals:
    """Looks at a folder, again and again.

    A file that changes is there anew. Hidden files, folders, empty files and what is no image by its name are passed over.
    """

    def __init__(self, folder: Path, still: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Args:
        still: seconds for which a file's size and time must not change.
        """
        self._folder, self._still, self._clock = folder, still, clock
        self._seen: dict[Path, tuple[State, float]] = {}  # since when it stands as it is
        self._given: dict[Path, State] = {}

    def look(self) -> list[Path]:
        """Images that stand still now and were not given before as they are, by name.

        Raises:
            OSError: the folder cannot be read.
        """
        now = self._clock()
        states = _states(self._folder)
        self._seen = {path: self._since(path, state, now) for path, state in states.items()}
        self._given = {path: state for path, state in self._given.items() if path in states}
        ready = [
            path
            for path, (state, since) in sorted(self._seen.items())
            if now - since >= self._still and self._given.get(path) != state
        ]
        self._given |= {path: states[path] for path in ready}
        return ready

    @property
    def waits(self) -> bool:
        """Whether there are files that were not given yet as they are."""
        return any(self._given.get(path) != state for path, (state, _) in self._seen.items())

    def _since(self, path: Path, state: State, now: float) -> tuple[State, float]:
        before = self._seen.get(path)
        return before if before is not None and before[0] == state else (state, now)


def _states(folder: Path) -> dict[Path, State]:
    found: dict[Path, State] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or Path(entry.name).suffix.lower() not in SUFFIXES:
                continue
            path = folder / entry.name
            try:
                about = path.stat()
            except OSError:  # gone since, or a link to nothing
                continue
            if about.st_size and not is_folder(path):
                found[path] = about.st_size, about.st_mtime_ns, about.st_ino
    return found
