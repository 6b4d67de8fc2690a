"""What no library tells or does on every system: the peak of a process's memory, a bound on it, and memory handed back.

Everything that one system alone has stands here, behind a look at whether it is there; without it fullconv works, and knows less.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def peak_bytes() -> int | None:
    """The most memory that this process has held; None where the system does not say."""
    with suppress(OSError, ValueError, IndexError):
        # Linux keeps the peak of the process that started this one in getrusage; the status is this one's own.
        text = Path("/proc/self/status").read_text(encoding="utf-8")
        return int(text.split("VmHWM:")[1].split()[0]) * 1024
    try:
        import resource
    except ImportError:
        return None
    found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return found if sys.platform == "darwin" else found * 1024


def bound(most: int) -> Callable[[], None] | None:
    """What a new process calls to keep itself to so many bytes and to leave no core; None where the system has no such bounds."""
    try:
        import resource
    except ImportError:
        return None

    def bounded() -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        _, allowed = resource.getrlimit(resource.RLIMIT_AS)
        limit = most if allowed == resource.RLIM_INFINITY else min(most, allowed)
        with suppress(ValueError, OSError):  # macOS knows the limit and refuses to set it
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    return bounded


def trim() -> None:
    """Hand free memory back to the system, where the C library has a word for that (glibc)."""
    with suppress(ImportError, OSError, AttributeError, TypeError):
        import ctypes

        ctypes.CDLL(None).malloc_trim(0)  # Windows has no library without a name, others no such function
