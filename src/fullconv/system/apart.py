"""Trying what may end a process in a process of its own, of bounded memory and time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from fullconv.errors import BadInput
from fullconv.system.fallback import bound
from fullconv.system.memory import available_bytes

ASKED = "FULLCONV_ISOLATE"  # set to 1, every foreign network is tried apart first
_WITHIN = "FULLCONV_APART"  # set in the process apart, so that it tries nothing apart itself
_SECONDS = 300
_OUT_OF_MEMORY = 3

_LOAD = """
import json, os, sys
import numpy as np
from fullconv.errors import FullconvError
from fullconv.loading import load
try:
    source, shape = json.loads(sys.argv[1])
    model = load(source, input_shape=shape)
    for net in (model, *(() if model.plan.refusals else (model.cast(),))):
        net.run({name: np.zeros(net.graph.values[name].shape, np.float32) for name in net.graph.inputs})
except FullconvError:
    pass
except MemoryError:
    os._exit(3)
os._exit(0)
"""


def is_asked() -> bool:
    """Whether every foreign network is tried apart, and this is not that trial."""
    return os.environ.get(ASKED, "") not in ("", "0") and not is_within()


def is_within() -> bool:
    """Whether this process is such a trial."""
    return _WITHIN in os.environ


def try_to_load(path: Path, input_shape: Sequence[int] | None) -> None:
    """Load, cast and run a network in a process of its own.

    Raises:
        BadInput: that process ended other than by itself, took too long or too much memory. What it was told is told
            again when the network is loaded here.
    """
    limit = available_bytes()

    try:
        ended = subprocess.run(
            [sys.executable, "-c", _LOAD, json.dumps([str(path), None if input_shape is None else list(input_shape)])],
            env={**os.environ, _WITHIN: "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_SECONDS,
            preexec_fn=bound(limit),
            check=False,
        ).returncode
    except subprocess.TimeoutExpired:
        raise BadInput(
            f"{path}: tried in a process of its own, it took more than {_SECONDS} seconds; refused"
        ) from None
    if ended == _OUT_OF_MEMORY:
        raise BadInput(
            f"{path}: tried in a process of its own, it took more memory than there is ({limit >> 20} MB); refused"
        )
    if ended < 0:
        name = signal.Signals(-ended).name if -ended in set(signal.Signals) else str(-ended)
        raise BadInput(
            f"{path}: tried in a process of its own, it ended that process ({name}): no engine here runs it; refused"
        )
