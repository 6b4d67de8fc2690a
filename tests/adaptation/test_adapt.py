"""``fullconv.adapt``: what it promises of cells that it was not fitted on holds, and what cannot be adapted is told in one message."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import fullconv
from fullconv.adaptation.levels import levels_of
from fullconv.adaptation.logits import logits_of
from fullconv.errors import BadInput, NothingToAdapt
from fullconv.fingerprint import of_model
from fullconv.formats.head import FittedHead
from fullconv.model import Model
from fullconv.surgery.head import Head
from tests import heads
from tests import helpers as h

DATA = Path(fullconv.__file__).parent / "data"


@pytest.fixture(scope="module")
def padded() -> Model:
    return fullconv.load(DATA / "padded.onnx")


@pytest.fixture(scope="module")
def adapted(quick: Model, cat: Path) -> fullconv.Adapted:
    return fullconv.adapt(quick, cat, crops=400, preprocess="caffe")


def named(model: Model, logits: str, fitted: FittedHead) -> FittedHead:
    """A head by the names of the network that it was fitted to; another form of that has its own."""
    full = model.cast()
    levels = levels_of(full.graph, logits)
    levels = levels[len(levels) - len(fitted.kernels) :]
    head = Head(full.output(), logits, fitted.head.classes, levels)
    return FittedHead(head, fitted.bias, fitted.mixing, fitted.kernels)


def agreement(model: Model, image: Path) -> float:
    report = fullconv.verify(model, image, cells=400, seed=5, preprocess="caffe")
    return report.agree / report.compared


def test_agreement_rises_on_an_image_that_was_not_fitted_on(
    quick: Model, adapted: fullconv.Adapted, shared: Path
) -> None:
    other = shared / "images" / "caffe" / "fish-bike.jpg"
    before, after = agreement(quick, other), agreement(adapted.model, other)
    assert before < 0.4  # measured .32, and .38 to .44 by seeds and crops
    assert after > before + 0.03
    report = adapted.report
    assert report.after.divergence < 0.5 * report.before.divergence
    assert report.after.agreement > report.before.agreement + 0.1
    assert report.itself is not None
    assert report.itself > report.after.agreement
    assert "strips of an image" in report.by
    assert f"{report.after.agreement:.1%} after" in str(adapted)
    told = json.loads(json.dumps(adapted.to_json()))
    assert [rung["name"] for rung in told["rungs"]][:2] == ["nothing", "mixing of logits"]
    assert told["after"]["agreement"] == report.after.agreement


def test_what_it_answers_is_what_was_fitted(quick: Model, adapted: fullconv.Adapted) -> None:
    image = np.random.default_rng(0).uniform(-100, 100, (1, 3, 64, 48)).astype(np.float32)
    (head,) = adapted.model.heads
    cells = [(r, c) for r in range(5) for c in range(3)]
    expected = heads.expected(quick.cast(), named(quick, "ip2", head), image, cells)
    scores = np.exp(expected - expected.max(axis=1, keepdims=True))
    scores /= scores.sum(axis=1, keepdims=True)
    found = adapted.model.run(image)["prob"][0]
    np.testing.assert_allclose(np.array([found[:, r, c] for r, c in cells]), scores, atol=2e-4)
    assert adapted.model.classifier is quick


def test_the_same_seed_gives_the_same_head(quick: Model, cat: Path, adapted: fullconv.Adapted) -> None:
    again = fullconv.adapt(quick, cat, crops=400, preprocess="caffe").model.heads[0]
    other = fullconv.adapt(quick, cat, crops=150, preprocess="caffe", seed=1).model.heads[0]
    first = adapted.model.heads[0]
    assert all(np.array_equal(a, b) for a, b in zip(again.kernels, first.kernels, strict=True))
    assert np.array_equal(again.bias, first.bias)
    assert not np.array_equal(other.bias, first.bias)


def test_it_says_what_it_was_fitted_on(adapted: fullconv.Adapted, quick: Model) -> None:
    about = adapted.model.heads[0].about
    assert about["images"] == ["cat.jpg"]
    assert about["classifier"]["fingerprint"] == of_model(quick)
    assert about["crops"] == adapted.report.crops == 400
    assert about["agreement"]["after"] == adapted.report.after.agreement
    assert about["kind"] == "softmax"


def test_an_exact_network_has_nothing_to_adapt(lenet: Model, cat: Path) -> None:
    with pytest.raises(NothingToAdapt, match="nothing to adapt: every cell equals"):
        fullconv.adapt(lenet, cat)


def test_an_adapted_network_is_not_adapted_again(adapted: fullconv.Adapted, cat: Path) -> None:
    with pytest.raises(BadInput, match="adapted already"):
        fullconv.adapt(adapted.model, cat, preprocess="caffe")


def test_a_winner_has_no_logits(cat: Path) -> None:
    text = h.data(1, 3, 16, 16) + h.conv("a", "data", 5, 3, "pad: 1") + h.fc("f", "a", 4)
    model = h.model(text + h.layer("m", "ArgMax", "f", "m", "argmax_param { axis: 1 }"))
    with pytest.raises(BadInput, match="winner alone"):
        fullconv.adapt(model, cat)


@pytest.mark.parametrize(
    ("size", "options", "told"),
    [
        ((40, 40), {}, "cells to fit on"),
        ((20, 40), {}, "smaller than one crop"),
        ((90, 90), {"crops": 20}, "100 at least"),
        ((90, 90), {"by": "crops"}, "by crops"),
    ],
)
def test_too_little_is_told(quick: Model, size: tuple[int, int], options: dict, told: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    with pytest.raises(BadInput, match=told):
        fullconv.adapt(quick, image, preprocess="caffe", **options)


def test_one_class_tells_nothing_of_others(quick: Model) -> None:
    with pytest.raises(BadInput, match="one class wins all"):
        fullconv.adapt(quick, np.full((160, 160, 3), 90, np.uint8), preprocess="caffe")


class Padded(nn.Module):
    """A small padded net of random weights, with any head."""

    def __init__(self, outputs: int, last: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(outputs)
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 12, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        )  # fmt: skip
        self.line = nn.Linear(12 * 16, outputs)
        self.line.weight.data -= self.line.weight.data.mean(dim=1, keepdim=True)  # no class wins everywhere
        self.last = last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(20 * self.line(self.body(x).flatten(1)))


@pytest.mark.parametrize(
    ("outputs", "last", "kind", "options"),
    [
        (3, nn.Identity(), "softmax", {}),
        (3, nn.LogSoftmax(dim=1), "softmax", {}),
        (3, nn.Sigmoid(), "sigmoid", {}),
        (1, nn.Identity(), "regression", {}),
    ],
)
def test_every_kind_of_head(cat: Path, outputs: int, last: nn.Module, kind: str, options: dict) -> None:
    model = fullconv.load(Padded(outputs, last).eval(), input_shape=(3, 16, 16))
    found = fullconv.adapt(model, cat, crops=200, preprocess="imagenet", **options)
    report = found.report
    assert report.kind == kind
    assert report.after.divergence < 0.5 * report.before.divergence
    image = np.random.default_rng(0).standard_normal((1, 3, 32, 40)).astype(np.float32)
    (head,) = found.model.heads
    cells = [(0, 0), (2, 3), (4, 5)]
    logits = logits_of(model.cast(), model.cast().output(), options.get("activation", "auto")).value
    expected = heads.expected(model.cast(), named(model, logits, head), image, cells)
    output = model.cast().output()
    if isinstance(last, nn.LogSoftmax):
        expected -= np.log(np.exp(expected).sum(axis=1, keepdims=True))
    if isinstance(last, nn.Sigmoid):
        expected = 1 / (1 + np.exp(-expected))
    scores = found.model.run(image)[output][0]
    np.testing.assert_allclose(
        [scores[:, r, c] for r, c in cells], expected, atol=1e-4 * max(1, np.abs(expected).max())
    )


def test_several_images_are_validated_by_image(padded: Model) -> None:
    page = np.asarray(__import__("PIL.Image").Image.open(DATA / "page.png").convert("L"))
    parts = [page[:300, i * 240 : (i + 1) * 240] for i in range(4)]
    report = fullconv.adapt(padded, parts, crops=400, preprocess="unit").report
    assert report.by == "image (4)"
    assert report.images == 4


class Two(nn.Module):
    """Two outputs over one padded body."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Padded(3, nn.Identity()), Padded(2, nn.Softmax(dim=1))
        self.second.body = self.first.body

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.first(x), self.second(x)


def test_each_of_several_outputs_has_its_head(cat: Path) -> None:
    model = fullconv.load(Two().eval(), input_shape=(3, 16, 16))
    one, two = model.cast().graph.outputs
    first = fullconv.adapt(model, cat, crops=150, preprocess="imagenet", output=one).model
    both = fullconv.adapt(first, cat, crops=150, preprocess="imagenet", output=two).model
    assert [fitted.head.output for fitted in both.heads] == [one, two]
    image = np.random.default_rng(0).standard_normal((1, 3, 40, 40)).astype(np.float32)
    plain, half, whole = (each.run(image) for each in (model.cast(), first, both))
    np.testing.assert_allclose(half[two], plain[two], atol=1e-5)
    np.testing.assert_allclose(whole[one], half[one], atol=1e-5 * np.abs(half[one]).max())
    assert np.abs(whole[two] - plain[two]).max() > 0.01
    with pytest.raises(BadInput, match="adapted already"):
        fullconv.adapt(both, cat, preprocess="imagenet", output=one)
