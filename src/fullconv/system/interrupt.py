"""Ctrl-C while libraries load waits until they have: an interrupted start of a native library ends in errors of its own, or in an abort."""

from __future__ import annotations

import _thread
import signal
import threading
from time import sleep
from types import FrameType

_AGAIN = 0.05  # seconds after which it is tried again


def wait_for_imports() -> None:
    """Let SIGINT raise KeyboardInterrupt in this process as ever, but never in the midst of an import.

    Where SIGINT is ignored, or handled by whoever embeds us, and in other threads than the main one nothing changes.
    """
    main = threading.current_thread() is threading.main_thread()
    if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            # No threading.Thread: its start takes a lock that the import may hold just now.
            _thread.start_new_thread(_again, ())
            return
        frame = frame.f_back
    raise KeyboardInterrupt


def _again() -> None:
    sleep(_AGAIN)
    _thread.interrupt_main()
