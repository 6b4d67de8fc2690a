"""Cases in a process of their own, bounded in memory and time; what dies, hangs or raises what it should not is kept.

The worker prints a line before and one after every case. Where the second does not come, the case is the finding, and another worker goes on
behind it.
"""

from __future__ import annotations

import hashlib
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuzz.target import Target

ROOT = Path(__file__).parents[1]
FINDINGS = ROOT / "fuzz" / "found"
CORPUS = ROOT / "fuzz" / "corpus"
_START = 120.0  # seconds that a worker may take to make its seeds, or a case
_STARTS = 3  # workers in turn that may not get to a case: a machine with other work is slow, and that is no finding
_SHOWN = 300


@dataclass
class Tally:
    """What a target's cases came to.

    Attributes:
        cases: read, however they ended.
        refused: those that ended in an error of fullconv's own.
        findings: reproducers by what went wrong, the first of each kind.
        counts: how often each kind came.
    """

    cases: int = 0
    refused: int = 0
    findings: dict[str, tuple[Path, str]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)


class NoStart(RuntimeError):
    """A worker did not get to its next case."""

    def __init__(self, text: str, case: int) -> None:
        super().__init__(text)
        self.case = case


def fuzz(target: Target, seconds: float, seed: int, first: int = 0, cases: int = 0) -> Tally:
    """Run cases of a target for some time.

    Args:
        seconds: from the first case on, after which none is begun any more.
        seed: of all cases; case i of a seed is always the same.
        first: the case to begin with.
        cases: the most that are run, 0 for as many as there is time for.
    """
    tally, case, clock = Tally(), first, _Clock(seconds, first + cases if cases else None)
    with tempfile.TemporaryDirectory(prefix=f"fuzz-{target.name}-") as folder:
        failed = 0
        while not clock.is_over(case):
            before = tally.cases, case
            try:
                case = _one_worker(target, Path(folder), seed, case, clock, tally)
            except NoStart as error:
                failed = failed + 1 if (tally.cases, case) == before else 1
                case = error.case
                if failed == _STARTS:
                    raise
    return tally


@dataclass
class _Clock:
    """Time from the first case on: making seeds may take longer than reading them."""

    seconds: float
    last: int | None = None
    end: float | None = None

    def start(self) -> None:
        self.end = self.end or time.monotonic() + self.seconds

    def is_over(self, case: int) -> bool:
        """Whether there is no time for this case, or it is one too many."""
        late = self.end is not None and time.monotonic() > self.end
        return late or (self.last is not None and case >= self.last)


def _one_worker(target: Target, folder: Path, seed: int, case: int, clock: _Clock, tally: Tally) -> int:
    """Cases until a worker ends; the next case."""
    command = [sys.executable, "-m", "fuzz.worker", target.name, str(folder), str(seed), str(case)]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")]),
        "PYTHONFAULTHANDLER": "1",
    }
    with (folder / "errors.txt").open("wb") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, cwd=folder, env=environment)
        try:
            lines, started = _lines(process), False
            while True:
                try:
                    line = lines.get(timeout=target.seconds if started else _START)
                except queue.Empty:
                    if not started:
                        raise NoStart(f"{target.name}: the worker did not start: {_tail(folder)}", case) from None
                    _keep(target, folder, seed, case, "timeout", f"more than {target.seconds:.0f} s", tally)
                    return case + 1
                if line is None:
                    break
                if "start" in line:
                    case, started = line["start"], True
                    clock.start()
                elif "end" in line:
                    tally.cases += 1
                    tally.refused += line["outcome"] == "refused"
                    if line["outcome"] == "finding":
                        _keep(target, folder, seed, case, line["kind"], line["detail"], tally)
                    case += 1
                    started = False
                    if clock.is_over(case):
                        return case
            if not started:
                raise NoStart(f"{target.name}: the worker ended before a case: {_tail(folder)}", case)
            _keep(target, folder, seed, case, f"death {process.wait()}", _tail(folder), tally)
            return case + 1
        finally:
            process.kill()
            process.wait()


def _lines(process: subprocess.Popen[bytes]) -> queue.Queue[dict[str, Any] | None]:
    """The worker's lines as they come; None behind the last."""
    lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
    assert process.stdout is not None
    stream = process.stdout

    def read() -> None:
        with stream:
            for line in stream:
                if line.startswith(b"{"):
                    with suppress(ValueError):  # the last of a worker that died may be half a one
                        lines.put(json.loads(line))
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    return lines


def _tail(folder: Path) -> str:
    text = (folder / "errors.txt").read_text(errors="replace")
    return text[-_SHOWN:].strip()


def kind_of(text: str) -> str:
    """What a message is about, without its numbers and names."""
    return re.sub(r"[0-9]+", "#", re.sub(r"/\S+|'[^']*'", "…", text))[:100]


def _keep(target: Target, folder: Path, seed: int, case: int, kind: str, detail: str, tally: Tally) -> None:
    tally.counts[kind] += 1
    if kind in tally.findings:
        return
    FINDINGS.mkdir(exist_ok=True)
    (FINDINGS / ".gitignore").write_text("*\n")
    name = hashlib.sha1(kind.encode()).hexdigest()[:8]
    kept = FINDINGS / f"{target.name}-{name}-{seed}-{case}{target.suffix}"
    own = folder / f"case-{case}{target.suffix}"  # of one that ended; else the worker stands at it
    shutil.copyfile(own if own.exists() else folder / f"case{target.suffix}", kept)
    tally.findings[kind] = (kept, detail)


def replay(target: Target, path: Path) -> tuple[str, str] | None:
    """What goes wrong with one file, as (kind, detail); None where all is well."""
    command = [sys.executable, "-m", "fuzz.worker", target.name, "--file", str(path.resolve())]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")]),
        "PYTHONFAULTHANDLER": "1",
    }
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, timeout=_START + target.seconds, check=False
            )
        except subprocess.TimeoutExpired:
            return "timeout", f"more than {target.seconds:.0f} s"
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith(b'{"end"')]
    if not said:
        return f"death {done.returncode}", done.stderr.decode(errors="replace")[-_SHOWN:]
    return (said[-1]["kind"], said[-1]["detail"]) if said[-1]["outcome"] == "finding" else None
