"""Processors that this process may use."""

from __future__ import annotations

import os


def processors() -> int:
    """How many: those that the process is bound to, not those that the machine has."""
    import psutil

    try:
        return max(1, len(psutil.Process().cpu_affinity()))
    except (AttributeError, OSError, psutil.Error):  # systems without affinity
        return os.cpu_count() or 1
