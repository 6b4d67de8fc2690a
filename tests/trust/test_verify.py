"""The comparison itself is compared: with scores that are known to differ, and with maps that are known to be exact."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import fullconv
from fullconv.errors import BadInput
from fullconv.formats.caffe.format import Caffe
from fullconv.model import Model
from fullconv.reports.verification import html_report
from fullconv.trust.verify import verify
from tests import helpers as h


def test_an_exact_map_agrees_within_noise(lenet: Model, cat: Path) -> None:
    report = verify(lenet, cat, preprocess="unit", cells=400)
    assert (report.compared, report.cells, report.agree) == (400, 9576, 400)
    assert report.exact
    assert not report.failed
    assert 0 < report.noise < report.threshold < 1e-4
    assert report.largest <= report.threshold
    assert report.rank > 0.99


def test_a_padded_map_is_told_by_how_much_it_differs(quick: Model, cat: Path) -> None:
    report = verify(quick, cat, preprocess="caffe")
    by_map = fullconv.map(quick, cat, preprocess="caffe")
    by_crops = fullconv.map(quick, cat, preprocess="caffe", by="crops")
    gaps = np.abs(by_map.scores - by_crops.scores)
    assert report.largest == pytest.approx(gaps.max(), abs=1e-5)
    assert report.mean == pytest.approx(gaps.mean(), abs=1e-5)
    assert report.agree == int((by_map.top1 == by_crops.top1).sum())
    np.testing.assert_allclose(report.differences, gaps.max(axis=0), atol=1e-5)
    assert gaps.max(axis=0)[report.worst] == pytest.approx(gaps.max(), abs=1e-5)
    assert not report.exact
    assert not report.failed
    assert "--by crops" in report.advice


def test_a_sample_is_seeded(quick: Model, cat: Path) -> None:
    a, b, c = (verify(quick, cat, cells=20, seed=seed) for seed in (1, 1, 2))
    assert a == b
    assert np.isfinite(a.differences).sum() == 20
    assert not np.array_equal(np.isfinite(a.differences), np.isfinite(c.differences))


def spoilt(node: str) -> Model:
    """An exact net whose cast has one weight wrong: a bug, made on purpose."""
    model = h.model(h.LENET)
    full = model.cast()
    weights = {name: tuple(a.copy() for a in blobs) for name, blobs in full.native.weights.items()}
    weights[node][0].flat[0] += 3
    model._full = Model(full.native.with_message(full.native.message, weights), Caffe())  # the cached cast
    return model


@pytest.mark.parametrize(("node", "told"), [("conv1", "conv1"), ("conv2", "conv2"), ("ip1-conv", "ip1")])
def test_a_bug_fails_loudly_and_names_the_first_layer(node: str, told: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 44), np.uint8)
    report = verify(spoilt(node), image, preprocess="unit")
    assert report.failed
    assert told in str(report.parts_at)
    assert "FAILED" in str(report)


def test_json_and_html(quick: Model, cat: Path) -> None:
    report = verify(quick, cat, preprocess="caffe", cells=50, labels=[f"<b>{i}" for i in range(10)])
    data = json.loads(json.dumps(report.to_json()))
    assert data["compared"] == 50
    assert len(data["worst"]["box"]) == 4
    page = html_report([report], "net & co")
    assert page.count("data:image/") == 3
    assert "net &amp; co" in page
    assert "<b>" not in page
    assert "http" not in page.replace("http-equiv", "")


def with_bias(value: float) -> Model:
    """A net without a softmax whose first class has this bias."""
    model = h.model(h.LENET.replace(h.layer("prob", "Softmax", "ip2"), ""))
    model.native.weights["ip2"][1][0] = value
    return model


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_crops_that_are_no_numbers_fail_a_map_of_numbers(value: float) -> None:
    model = with_bias(value)
    model._full = with_bias(0).cast()  # a cast that answers where the network does not
    report = verify(model, np.random.default_rng(0).integers(0, 256, (36, 32), np.uint8), preprocess="unit")
    assert report.failed
    assert (report.apart, report.neither, report.agree) == (report.cells, 0, 0)
    assert "on one side alone in 6 cells" in str(report)
    assert json.loads(json.dumps(report.to_json(), allow_nan=False))["apart"] == 6
    assert "one side alone" in html_report([report], "net")


def test_the_same_infinity_on_both_sides_is_told() -> None:
    report = verify(with_bias(np.inf), np.zeros((36, 32), np.uint8), preprocess="unit")
    assert not report.failed
    assert (report.apart, report.neither, report.agree) == (0, 6, 0)
    assert "nothing can be compared" in str(report)
    json.dumps(report.to_json(), allow_nan=False)


def test_bad_arguments_are_told(quick: Model, cat: Path) -> None:
    with pytest.raises(BadInput, match="at least 1"):
        verify(quick, cat, cells=0)
