"""A store on a device: how much of its memory it takes, and what is told where that cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fullconv.demonstration import demo_files
from tests.cli.conftest import Run


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["-o", "maps", "--device-memory", "1GB"], "--device-memory is for stores"),
        (["-o", "x.zarr", "--device-memory", "much"], "--device-memory 'much': an amount of memory"),
        (["-o", "x.zarr", "--device-memory", "1GB", "--runtime", "onnxruntime"], "is not planned here: another engine"),
        (["-o", "x.zarr", "--device-memory", "1kB", "--runtime", "torch", "--device", "cpu"], "of cpu are too few: the least tile"),
        (["-o", "x.zarr", "--device", "cpu,mps", "--runtime", "torch"], "devices of one kind"),
    ],
)  # fmt: skip
def test_what_a_device_has_not_is_told(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: list[str], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with demo_files() as data:
        result = run(
            "map", data / "digits.prototxt", "-w", data / "digits.caffemodel", data / "page.png", "-p", "unit", *more
        )
    assert result.status == 2
    assert told in " ".join(result.err.split())


def test_a_plan_says_what_is_taken_of_the_device(run: Run, tmp_path: Path) -> None:
    with demo_files() as data:
        line = [
            "map",
            data / "digits.prototxt",
            "-w",
            data / "digits.caffemodel",
            data / "page.png",
            "-p",
            "unit",
            "-o",
            tmp_path / "x.zarr",
        ]
        result = run(*line, "--dry-run", "--json", "--runtime", "torch", "--device", "cpu", "--device-memory", "200MB")
    device = json.loads(result.out)["device"]
    assert device["name"] == "cpu"
    assert 0 < device["predicted_bytes"] <= device["budget_bytes"] == 200 * 10**6
