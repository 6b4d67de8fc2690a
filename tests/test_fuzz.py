"""The fuzzers' runner: a worker that does not get to a case is no finding, and one is not given up at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from fuzz import runner
from fuzz.readers import TARGETS

ENDS = "pass"
HANGS = "import time; time.sleep(60)"
READS = """print('{"start": 4}'); print('{"end": 4, "outcome": "refused"}'); print('{"half')"""


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Stand-ins for workers, one after the other."""
    start = subprocess.Popen

    def use(*texts: str) -> None:
        left = list(texts)
        monkeypatch.setattr(runner, "_START", 0.3 if HANGS in texts else 30.0)

        def instead(command: list[str], **more: Any) -> Any:
            return start([sys.executable, "-c", left.pop(0)], **more)

        monkeypatch.setattr(runner.subprocess, "Popen", instead)

    return use


def test_a_worker_that_ends_early_is_started_again(workers: Callable[..., None]) -> None:
    workers(ENDS, ENDS, READS)
    tally = runner.fuzz(TARGETS["labels"], 60, 0, first=4, cases=1)
    assert (tally.cases, tally.refused, tally.findings) == (1, 1, {})


@pytest.mark.parametrize("worker", [ENDS, HANGS], ids=["ends", "hangs"])
def test_workers_that_never_start_are_said_and_no_finding(workers: Callable[..., None], worker: str) -> None:
    workers(worker, worker, worker)
    with pytest.raises(runner.NoStart, match="labels: the worker"):
        runner.fuzz(TARGETS["labels"], 60, 0, cases=1)
