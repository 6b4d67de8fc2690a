"""Files that were made, kept within bounds: the last ones in memory, more in a folder that goes with the server."""

from __future__ import annotations

import shutil
import tempfile
from collections import OrderedDict
from hashlib import sha256
from pathlib import Path
from threading import Lock

_HELD = 16 << 20
_KEPT = 512 << 20


class Cache:
    """What was asked for last, by name; the longest unused goes first."""

    def __init__(self, held: int = _HELD, kept: int = _KEPT) -> None:
        self._most = held, kept
        self._folder = Path(tempfile.mkdtemp(prefix="fullconv-view-"))
        self._lock = Lock()
        self._held: OrderedDict[str, bytes] = OrderedDict()
        self._kept: OrderedDict[str, int] = OrderedDict()

    def get(self, key: str) -> bytes | None:
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            try:
                return self._path(key).read_bytes()
            except OSError:  # somebody tidied up
                del self._kept[key]
                return None

    def put(self, key: str, data: bytes) -> None:
        with self._lock:
            self._held[key] = data
            while sum(map(len, self._held.values())) > self._most[0]:
                self._held.popitem(last=False)
            try:
                self._path(key).write_bytes(data)
            except OSError:  # a full disk keeps no tiles
                return
            self._kept[key] = len(data)
            while sum(self._kept.values()) > self._most[1]:
                old, _ = self._kept.popitem(last=False)
                self._path(old).unlink(missing_ok=True)

    def close(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, key: str) -> Path:
        return self._folder / sha256(key.encode()).hexdigest()
