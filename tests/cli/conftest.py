"""Running a command line, for the tests of all commands."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fullconv.cli.main import main
from tests import helpers as h


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


@pytest.fixture
def net(tmp_path: Path) -> tuple[Path, Path]:
    prototxt, weights = h.model(h.LENET).save(tmp_path / "net.prototxt")
    return prototxt, weights


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "scene.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (44, 60), np.uint8)).save(path)
    return path
