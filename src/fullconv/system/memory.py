"""Memory of this machine and of this process, by psutil; within what a container is allowed."""

from __future__ import annotations

import gc
from contextlib import suppress
from pathlib import Path

from fullconv.system import fallback

_CGROUP = Path("/sys/fs/cgroup")
_UNKNOWN = 4 << 30


def available_bytes() -> int:
    """Memory that a process may still take: what is free, within what a container is allowed."""
    import psutil

    found = []
    with suppress(OSError, psutil.Error, RuntimeError):
        found.append(int(psutil.virtual_memory().available))
    for most, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        with suppress(OSError, ValueError):
            limit, now = (int((_CGROUP / name).read_text(encoding="utf-8")) for name in (most, used))
            found.append(max(0, limit - now))
    return min(found) if found else _UNKNOWN


def total_bytes() -> int:
    """Memory of this machine, within what a container is allowed."""
    import psutil

    found = []
    with suppress(OSError, psutil.Error, RuntimeError):
        found.append(int(psutil.virtual_memory().total))
    for most in ("memory.max", "memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):
            found.append(int((_CGROUP / most).read_text(encoding="utf-8")))
    return min(found) if found else _UNKNOWN


def resident_bytes() -> int:
    """Memory that this process holds now."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def give_back() -> None:
    """Hand free memory back to the system, where its C library can: what reading a network left behind."""
    gc.collect()
    fallback.trim()


def peak_bytes() -> int:
    """The most memory that this process has held, as the system counts it."""
    found = fallback.peak_bytes()
    if found is not None:
        return found
    import psutil

    about = psutil.Process().memory_info()
    return int(max(getattr(about, "peak_wset", 0), about.rss))  # the peak is Windows' own word
