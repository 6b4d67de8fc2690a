"""What a step's weights say of a cell is what the head that is made of them says, and the network with that head."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fullconv.adaptation.fitting import Fitting
from fullconv.adaptation.ladder import Rung, Samples
from fullconv.stream.run import job_of
from tests.heads import network

IMAGE = np.random.default_rng(0).integers(0, 256, (48, 56, 3), np.uint8)


@pytest.mark.parametrize(
    ("classes", "levels"), [(5, 0), (5, 1), (5, 2), (5, 3), (220, 0), (220, 1)]
)  # from 200 classes on the last level alone, through a few numbers
def test_weights_become_a_head(tmp_path: Path, classes: int, levels: int) -> None:
    model = network(tmp_path, classes=classes)
    fitting = Fitting.of(model, job_of(model, IMAGE, "the fit", preprocess="unit"), lambda note: None)
    assert len(fitting.featured.levels) == (3 if classes == 5 else 1)
    values = np.ascontiguousarray(IMAGE.transpose(2, 0, 1)[None], np.float32) / 255
    answers = fitting.featured.run(values, outputs=["fullconv:features"], runtime="onnxruntime")["fullconv:features"]
    rows = answers[0].reshape(answers.shape[1], -1).T
    logits, means = fitting.featured.parted(rows)
    read = Samples(logits, means, logits, np.ones(len(logits)), fitting.rank).read(levels)
    rng, width = np.random.default_rng(1), fitting.rank or classes
    weights = rng.standard_normal((read.shape[1], width)) / np.sqrt(read.shape[1])
    bias = rng.standard_normal(classes)
    spread = None if fitting.rank is None else rng.standard_normal((classes, width)) / np.sqrt(width)
    move = read @ weights if spread is None else read @ weights @ spread.T
    head = fitting.head(Rung("some", levels, read.shape[1], 1.0, 0.0, 1.0), weights, bias, spread, {})
    assert head.moved(logits, means[len(means) - levels :]) == pytest.approx(logits + move + bias, abs=1e-5)
    made = model.adapted(head)
    moved = made.values(values, [head.head.logits])[head.head.logits]
    assert pytest.approx(logits + move + bias, abs=2e-5) == moved[0].reshape(classes, -1).T
    assert model.classifier.graph.difference(made.classifier.graph) is None
