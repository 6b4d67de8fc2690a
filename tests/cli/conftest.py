"""Running a command line, for the tests of all commands."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from fullconv.cli.main import main


@dataclass
class Result:
    status: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line in this process; a foreign exception fails the test."""
    monkeypatch.setenv("FULLCONV_DEBUG", "1")

    def call(*args: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["fullconv", *map(str, args)])
        with pytest.raises(SystemExit) as end:
            main()
        captured = capsys.readouterr()
        return Result(end.value.code or 0, captured.out, captured.err)

    return call
