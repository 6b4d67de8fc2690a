"""Memory of this machine and of this process."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from contextlib import suppress
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def available_bytes() -> int:
    """Memory that a process may still take: what is free, within what a container is allowed."""
    found = []
    with suppress(OSError, ValueError, IndexError):
        text = Path("/proc/meminfo").read_text(encoding="utf-8")
        found.append(int(text.split("MemAvailable:")[1].split()[0]) * 1024)
    for most, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        with suppress(OSError, ValueError):
            limit, now = (int((_CGROUP / name).read_text(encoding="utf-8")) for name in (most, used))
            found.append(max(0, limit - now))
    return min(found) if found else 4 << 30


def total_bytes() -> int:
    """Memory of this machine, within what a container is allowed."""
    found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")] if hasattr(os, "sysconf") else []
    for most in ("memory.max", "memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):
            found.append(int((_CGROUP / most).read_text(encoding="utf-8")))
    return min(found) if found else 4 << 30


def resident_bytes() -> int:
    """Memory that this process holds now."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * 4096
    return peak_bytes()


def give_back() -> None:
    """Hand free memory back to the system, where its C library can: what reading a network left behind."""
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def peak_bytes() -> int:
    """The most memory that this process has held, as the system counts it."""
    with suppress(OSError, ValueError, IndexError):
        # Linux keeps the peak of the process that started this one in getrusage; the status is this one's own.
        text = Path("/proc/self/status").read_text(encoding="utf-8")
        return int(text.split("VmHWM:")[1].split()[0]) * 1024
    try:
        import resource
    except ImportError:
        return 0
    found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return found if sys.platform == "darwin" else found * 1024
