"""``fullconv adapt`` writes a network with its head, says what it gives, and writes nothing where it gives nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import fullconv
from fullconv.adaptation.claim import falls_short
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


def test_a_name_that_no_file_can_have_is_told_before_the_work(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fullconv.adaptation.adapt.adapt", lambda *_, **__: pytest.fail("it was fitted"))
    found = run("adapt", *HOW, "-o", tmp_path / "x.prototxt")
    assert found.status == 2
    assert "a network of onnx is written as .onnx" in found.err


@pytest.mark.long
def test_a_map_is_fitted_to_the_images_that_it_is_of_and_a_store_goes_on_with_its_network(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = ("map", *HOW[:4])
    found = run(*how, "--adapt", 250, "-o", tmp_path / "maps")
    assert found.status == 0, found.err
    assert "fitted on 250 crops" in found.out
    assert "of 100 random cells" in found.out
    scores = np.load(tmp_path / "maps" / "page.npz")["scores"]
    store, beside = tmp_path / "x.zarr", tmp_path / "x.adapted.onnx"
    with monkeypatch.context() as patch:
        patch.setattr("fullconv.stream.run.Store.finish", stopped)
        assert run(*how, "-o", store, "--no-verify", "--adapt", 250).status == 130
    made = beside.read_bytes()
    monkeypatch.setattr("fullconv.adaptation.adapt.adapt", None)  # is not fitted again
    found = run(*how, "-o", store, "--no-verify", "--adapt", 250)
    assert found.status == 0, found.err
    assert f"maps with {beside}" in found.err
    other = run(*how, "-o", store, "--no-verify", "--adapt", 251)
    assert other.status == 2
    assert "fitted on other crops" in other.err
    assert beside.read_bytes() == made
    np.testing.assert_allclose(fullconv.ClassMap.load(store).scores[:], scores, atol=1e-5)


def stopped(*args: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("wrong", "told"), [(("--by", "crops"), "--by crops"), (("--scales", "1,2"), "--scales"), (("-o", "s3://b/x.zarr"), "beside")]
)  # fmt: skip
def test_what_has_nothing_to_adapt_is_told(run: Run, tmp_path: Path, wrong: tuple[str, str], told: str) -> None:
    found = run("map", *HOW[:4], "--adapt", 250, "-o", tmp_path / "m", *wrong)
    assert found.status == 2
    assert told in found.err


def test_an_exact_map_is_made_as_it_is(run: Run, tmp_path: Path, net: tuple[Path, Path], image: Path) -> None:
    found = run("map", net[0], "-w", net[1], image, "-o", tmp_path / "m", "--adapt", 200)
    assert found.status == 0, found.err
    assert "maps with the network as it is" in found.err


def test_images_of_another_kind_are_told() -> None:
    about = {"kind": "softmax", "crops": 1000, "agreement": {"after": 0.97}}
    assert falls_short(about, 95, 100) is None
    assert "97.0%" in str(falls_short(about, 85, 100))
    for odd in (
        {},
        {**about, "kind": "sigmoid"},
        {**about, "agreement": 3},
        {**about, "agreement": {"after": "x"}},
        {**about, "crops": -1},
    ):
        assert falls_short(odd, 10, 100) is None
