"""What a file that fullconv wrote says of its cells, and what is made of that when it is read again."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from fullconv.loading import load
from fullconv.maps.classmap import ClassMap
from fullconv.system import apart
from tests.cli.conftest import Run

KEY = "fullconv.outputs"


def test_a_finer_file_keeps_its_grid(run: Run, net, image: Path, tmp_path: Path) -> None:
    """Its graph has cells behind the crop's last, from which no crop follows: the metadata has it."""
    finer = tmp_path / "finer.onnx"
    assert run("cast", net[0], "-w", net[1], "--stride", 2, "-o", finer).status == 0
    text = run("inspect", finer).out
    line = "one cell every 2 × 2 px, for a crop of 28 × 28 px; it sees 28 × 28 px centred at (13.5, 13.5) (x × y)"
    assert f"its metadata (fullconv.outputs): prob: {line}" in text
    assert f"\nprob: {line}" in text
    data = json.loads(run("inspect", finer, "--json").out)
    assert data["recorded"] == data["outputs"]
    assert data["recorded"]["prob"]["offset"] == ["0", "0"]
    common = (image, "-p", "unit", "-o")
    assert run("map", finer, *common, tmp_path / "read").status == 0
    assert run("map", net[0], "-w", net[1], "--stride", 2, *common, tmp_path / "made").status == 0
    read, made = (ClassMap.load(tmp_path / name / "scene.npz") for name in ("read", "made"))
    assert read.grid == made.grid
    np.testing.assert_array_equal(read.scores, made.scores)
    assert run("verify", finer, image, "-p", "unit", "--cells", 5).status == 0


def test_a_module_written_as_onnx_has_it_too(run: Run, tmp_path: Path) -> None:
    layers = torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.MaxPool2d(2), torch.nn.Flatten(), torch.nn.Linear(4 * 36, 5)
    full = load(torch.nn.Sequential(*layers).eval(), input_shape=(3, 12, 12)).cast()
    (path,) = full.save(tmp_path / "full.onnx")
    (read,) = json.loads(run("inspect", path, "--json").out)["recorded"].values()
    assert read == {"stride": ["2"] * 2, "crop": ["12"] * 2, "field": ["14"] * 2, "offset": ["-1"] * 2, "centre": ["11/2"] * 2}  # fmt: skip
    assert Fraction(read["centre"][0]) == full.sampling().field.centre[0]


@pytest.mark.parametrize(
    "text",
    [
        "no json", "[1]", '{"prob": 3}', '{"prob": {}}', "[" * 100_000,
        *(
            json.dumps({"prob": {"stride": [4, 4], "crop": [28, side], "centre": [13, 13], "field": [28, 28]}})
            for side in (0, -28, "1/0", "1e999999999", None, 28.5, "9" * 5000)
        ),
    ],
    ids=lambda text: text[-70:],
)  # fmt: skip
def test_metadata_that_makes_no_sense_is_none(run: Run, net, text: str, tmp_path: Path) -> None:
    path = tmp_path / "full.onnx"
    load(*net).cast().save(path)
    model = onnx.load(path)
    next(entry for entry in model.metadata_props if entry.key == KEY).value = text
    onnx.save(model, path)
    found = run("inspect", path)
    assert (found.status, "leaves its training size open" in found.err) == (2, True)
    found = run("inspect", path, "--input-shape", "1,28,28")
    assert (found.status, "metadata" in found.out) == (0, False)


def test_metadata_that_the_network_contradicts_is_shown_and_not_used(run: Run, net, tmp_path: Path) -> None:
    path = tmp_path / "full.onnx"
    load(*net).cast().save(path)
    model = onnx.load(path)
    entry = next(entry for entry in model.metadata_props if entry.key == KEY)
    entry.value = entry.value.replace('"stride": [4, 4], "crop": [28, 28]', '"stride": [8, 8], "crop": [32, 32]')
    onnx.save(model, path)
    data = json.loads(run("inspect", path, "--input-shape", "1,28,28", "--json").out)
    assert data["recorded"]["prob"]["crop"] == ["32", "32"]
    assert data["outputs"]["prob"]["crop"] == ["28", "28"]


def test_isolated(run: Run, net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []
    monkeypatch.setattr(apart, "try_to_load", lambda path, shape: tried.append(path))
    told = "--isolate is for ONNX and TorchScript files"
    assert told in run("inspect", net[0], "--isolate").err
    path = tmp_path / "full.onnx"
    load(*net).save(path)
    assert run("inspect", path).status == 0
    assert not tried
    assert told not in run("inspect", path, "--isolate").err
    assert tried == [path]


def test_a_stated_size_changes_only_what_states_one(run: Run, net, tmp_path: Path) -> None:
    told = "--input-size changes nothing"
    found = run("cast", net[0], "-w", net[1], "-o", tmp_path / "a.onnx", "--input-size", "33x33")
    assert told in found.err
    assert "is not a crop of" not in found.err
    assert told not in run("cast", net[0], "-w", net[1], "-o", tmp_path / "a.prototxt", "--input-size", "36x36").err
