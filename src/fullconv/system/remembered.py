"""What was found out once and would be found again: small files in the user's cache, which may be removed at any time."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

_MOST = 4096  # bytes of one file that are read


def cache_folder() -> Path:
    """``FULLCONV_CACHE``, or fullconv's folder where the system keeps caches; it need not be there."""
    if given := os.environ.get("FULLCONV_CACHE", "").strip():
        return Path(given)
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "fullconv" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "fullconv"
    asked = Path(os.environ.get("XDG_CACHE_HOME", ""))  # only whole paths count, says its specification
    return (asked if asked.is_absolute() else Path.home() / ".cache") / "fullconv"


def remembered(kind: str, key: str) -> Any:
    """What was remembered by this key, as JSON gives it; None where nothing is, or it cannot be read."""
    try:
        with _file(kind, key).open("rb") as file:
            return json.loads(file.read(_MOST))
    except (OSError, ValueError, RuntimeError, RecursionError):  # no home, not JSON
        return None


def remember(kind: str, key: str, found: Any) -> None:
    """Keep it; a cache that cannot be written is none."""
    with suppress(OSError, RuntimeError):
        path = _file(kind, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(prefix=".", dir=path.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(found, file)
        Path(part).replace(path)


def _file(kind: str, key: str) -> Path:
    return cache_folder() / kind / f"{key}.json"
