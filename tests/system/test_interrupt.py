"""Ctrl-C while a native library starts: none of its own errors, one KeyboardInterrupt after it has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_SLOW = """
import signal
signal.raise_signal(signal.SIGINT)  # in the midst of the import, as from the keyboard
started = True
"""
_USE = """
import sys, time
sys.path.insert(0, {folder!r})
from fullconv.system.interrupt import wait_for_imports
wait_for_imports()
try:
    import slow
    while True:
        time.sleep(0.01)
except KeyboardInterrupt:
    print("stopped", slow.started)
"""


def test_an_import_ends_before_the_interrupt(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(_SLOW)
    process = subprocess.run(
        [sys.executable, "-c", _USE.format(folder=str(tmp_path))],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (process.stdout, process.stderr) == ("stopped True\n", "")


@pytest.mark.parametrize("handler", ["signal.SIG_IGN", "print"])
def test_who_handles_it_otherwise_keeps_it(handler: str) -> None:
    code = f"import signal; signal.signal(signal.SIGINT, {handler})\nfrom fullconv.system.interrupt import wait_for_imports\nwait_for_imports()\nassert signal.getsignal(signal.SIGINT) is {handler}"
    subprocess.run([sys.executable, "-c", code], timeout=60, check=True)
