"""``fullconv adapt`` writes a network with its head, says what it gives, and writes nothing where it gives nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import fullconv
from tests.cli.conftest import Run

DATA = Path(fullconv.__file__).parent / "data"
HOW = (DATA / "padded.onnx", DATA / "page.png", "-p", "unit", "--crops", 250)


def test_a_network_is_written_with_its_head(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "adapted.onnx"
    found = run("adapt", *HOW, "-o", out)
    assert found.status == 0, found.err
    assert "mixing of logits" in found.out
    assert " *" in found.out  # the step that was taken
    assert f"wrote {out}" in found.out
    read = fullconv.load(out)
    (head,) = read.heads
    assert f"{head.about['agreement']['after']:.1%} after" in found.out
    assert read.classifier.plan.inexact == fullconv.load(DATA / "padded.onnx").plan.inexact
    again = run("adapt", out, *HOW[1:], "-o", tmp_path / "twice.onnx")
    assert again.status == 2
    assert "adapted already" in again.err
    assert not (tmp_path / "twice.onnx").exists()


def test_json(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "adapted.onnx"
    found = run("adapt", *HOW, "-o", out, "--json", "--seed", 2)
    report = json.loads(found.out)
    assert report["crops"] == 250
    assert [rung["name"] for rung in report["rungs"]][:2] == ["nothing", "mixing of logits"]
    assert report["after"]["agreement"] > report["before"]["agreement"]
    assert report["written"] == [str(out)]


def test_nothing_is_written_where_nothing_is_gained(run: Run, tmp_path: Path, shared: Path) -> None:
    folder = shared / "caffe" / "lenet_mnist_caffe_v1"
    how = ("-w", folder / "lenet_iter_10000.caffemodel", DATA / "page.png", "-o", tmp_path / "x.onnx")
    found = run("adapt", folder / "lenet.prototxt", *how)
    assert found.status == 1
    assert "nothing to adapt" in found.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("wrong", [("--crops", 50), ("--head", "none")])
def test_what_cannot_be_fitted_is_told_in_one_message(run: Run, tmp_path: Path, wrong: tuple[str, object]) -> None:
    found = run("adapt", *HOW[:4], *wrong, "-o", tmp_path / "x.onnx")
    assert found.status == 2
    assert found.err.count("fullconv:") == 1
    assert not list(tmp_path.iterdir())
