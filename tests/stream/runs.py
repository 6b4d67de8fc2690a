"""Runs over a picture of some megapixels with the packaged network, and what they leave on disk."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np

from fullconv.demonstration import demo_files
from fullconv.loading import load
from fullconv.model import Model


def digits() -> Model:
    with demo_files() as data:
        return load(data / "digits.prototxt", data / "digits.caffemodel")


def picture(path: Path, height: int = 1500, width: int = 1300) -> Path:
    np.save(path, np.random.default_rng(0).integers(0, 256, (height, width), np.uint8))
    return path


def marks(out) -> dict[str, str]:
    """Tiles of a result that are done, by name."""
    from fullconv.results.places import storage_of
    from fullconv.results.store import Store

    storage = storage_of(out)
    run = Store.record_of(storage).run
    return dict(storage.marks(run)) if run else {}


def digest(folder: Path) -> dict[str, str]:
    """Every file of a result, with its hash."""
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def command(image: Path, out: Path, *more: str, memory: str = "220MB") -> list[str]:
    with demo_files() as data:
        net = [str(data / "digits.prototxt"), "--weights", str(data / "digits.caffemodel")]
    return [
        str(Path(sys.executable).parent / "fullconv"),
        "map",
        *net,
        str(image),
        "-o",
        str(out),
        "-p",
        "unit",
        "--memory",
        memory,
        *more,
    ]


def start(*args, **kwargs) -> subprocess.Popen:
    return subprocess.Popen(command(*args, **kwargs), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


_INTERRUPTED = """
import os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs the tests may have it ignored
from fullconv.__main__ import main
from fullconv.results.local import Local
mark = Local.mark
def marking(self, *args):
    mark(self, *args)
    os.kill(os.getpid(), signal.SIGINT)
    Local.mark = mark
Local.mark = marking
main()
"""


def interrupted(*args, **kwargs) -> subprocess.CompletedProcess:
    """The command, which gets a Ctrl-C when its first tile is stored: from outside, it may be done before the signal is there."""
    line = [sys.executable, "-c", _INTERRUPTED, *command(*args, **kwargs)[1:]]
    return subprocess.run(line, capture_output=True, text=True, timeout=120)
