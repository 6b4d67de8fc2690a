"""Heads within Caffe networks: layers that every Caffe runs, read again from a prototxt whose first lines say what they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

import fullconv
from fullconv.errors import BadInput
from fullconv.model import Model
from fullconv.surgery.head import Head
from tests import helpers as h
from tests.heads import expected, fitted, level

RELU = {name: h.layer(f"relu_{name}", "ReLU", name, name) for name in ("c1", "c2", "c3")}
END = h.layer("gap", "Pooling", "c3", "gap", "pooling_param { pool: AVE global_pooling: true }") + h.fc("z", "gap", 5)
TRUNK = (
    h.data(1, 3, 17, 17) + h.conv("c1", "data", 4, 3, "pad: 1") + RELU["c1"] + h.conv("c2", "c1", 5, 3, "pad: 1 stride: 2") + RELU["c2"]
    + h.conv("c3", "c2", 6, 3, "pad: 1 stride: 2") + RELU["c3"] + END
)  # 17 -> 17 -> 9 -> 5: cells 4 px apart; four blocks and one cell, two and one  # fmt: skip
NETS = {
    "a softmax behind": (TRUNK + h.layer("prob", "Softmax", "z", "prob"), "prob", "z"),
    "a softmax in its place": (TRUNK + h.layer("prob", "Softmax", "z", "z"), "z", "z@1"),
    "logits alone": (TRUNK, "z", "z"),
    "through two numbers": (TRUNK, "z", "z"),
}


def head_of(full: Model, output: str, logits: str, seed: int = 0, rank: int | None = None):
    found = (
        level(full, "c1", (1, 2, 1), (1, 2, 1)),
        level(full, "c2", (1, 2, 1), (1, 3)),
        level(full, "c3", (1, 3, 1), (2, 3)),
    )
    return fitted(Head(output, logits, 5, found, rank), seed)


@pytest.mark.parametrize("name", list(NETS))
def test_a_prototxt_with_a_head(tmp_path: Path, name: str) -> None:
    text, output, logits = NETS[name]
    model = h.model(text)
    full = model.cast()
    head = head_of(full, output, logits, rank=2 if name == "through two numbers" else None)
    made = model.adapted(head)
    assert made.format.name == "caffe"
    path, weights = made.save(tmp_path / "adapted.prototxt")
    again = fullconv.load(path, weights)
    assert made.graph.difference(again.graph) is None
    (read,) = again.heads
    assert read.head == head.head
    assert read.about == head.about
    assert full.graph.difference(again.classifier.graph) is None
    (written,) = again.save(tmp_path / "adapted.onnx")
    as_onnx = fullconv.load(written)
    assert as_onnx.heads[0].head.output == output
    for size in ((17, 17), (25, 41), (22, 27)):
        image = np.random.default_rng(1).standard_normal((1, 3, *size)).astype(np.float32)
        height, width = made.fitting(size, output)
        cut = image[:, :, :height, :width]
        rows, cols = made.sampling().cells(size)
        cells = [(row, col) for row in range(rows) for col in range(cols)]
        want = expected(full, head, cut, cells)
        if output != logits:
            want = np.exp(want - want.max(axis=1, keepdims=True))
            want /= want.sum(axis=1, keepdims=True)
        plain = ort.InferenceSession(written, providers=["CPUExecutionProvider"]).run([output], {"data": image})[0]
        for answers in (made.run(cut)[output], again.run(cut)[output], as_onnx.run(cut)[output], plain):
            assert np.array([answers[0, :, row, col] for row, col in cells]) == pytest.approx(want, abs=2e-5)


def test_a_level_that_is_written_over_makes_it_a_network_of_onnx(tmp_path: Path) -> None:
    model = h.model(TRUNK)
    full = model.cast()
    head = fitted(Head("z", "z", 5, (level(full, "c2@1", (1, 2, 1), (1, 3)),)))
    made = model.adapted(head)
    assert made.format.name == "onnx"
    image = np.random.default_rng(1).standard_normal((1, 3, 25, 29)).astype(np.float32)
    answers = made.run(image)["z"]
    assert answers[0, :, 1, 2] == pytest.approx(expected(full, head, image, [(1, 2)])[0], abs=1e-5)
    (path,) = made.save(tmp_path / "adapted.onnx")
    assert fullconv.load(path).heads


def test_another_size_is_stated(tmp_path: Path) -> None:
    model = h.model(TRUNK)
    made = model.adapted(head_of(model.cast(), "z", "z"))
    path, weights = made.resized(25, 33).save(tmp_path / "adapted.prototxt")
    again = fullconv.load(path, weights)
    assert again.heads[0].head == made.heads[0].head
    assert again.sampling() == made.sampling()
    image = np.random.default_rng(1).standard_normal((1, 3, 25, 33)).astype(np.float32)
    assert again.run(image)["z"] == pytest.approx(made.run(image)["z"], abs=1e-6)


def test_a_finer_form(tmp_path: Path) -> None:
    model = h.model(TRUNK)
    made = model.adapted(head_of(model.cast(), "z", "z"))
    finer = made.refined(2)
    assert finer.classifier is model
    (path,) = finer.save(tmp_path / "finer.onnx")
    image = np.random.default_rng(1).standard_normal((1, 3, 25, 41)).astype(np.float32)
    again = fullconv.load(path)
    assert len(again.heads) == 1
    assert again.run(image)["z"][:, :, ::2, ::2][:, :, :3, :7] == pytest.approx(
        made.run(image)["z"][:, :, :3, :7], abs=1e-5
    )


@pytest.mark.parametrize("how", ["another operation", "another stride", "another level", "no comment"])
def test_a_comment_that_does_not_fit_is_no_head(tmp_path: Path, how: str) -> None:
    model = h.model(TRUNK)
    path, weights = model.adapted(head_of(model.cast(), "z", "z")).save(tmp_path / "adapted.prototxt")
    text = path.read_text()
    edits = {
        "another operation": ("operation: SUM", "operation: MAX"),
        "another stride": ("kernel_size: 4\n", "kernel_h: 4\n    kernel_w: 4\n"),
        "another level": ('"c1"', '"c2"'),
        "no comment": ("# fullconv.adapted", "# someone.adapted"),
    }
    old, new = edits[how]
    assert old in text
    path.write_text(text.replace(old, new, 1))
    found = fullconv.load(path, weights)
    assert not found.heads
    assert any("names a head" in note for note in found.notes)
    with pytest.raises(BadInput, match="cannot be told from it"):
        _ = found.classifier
