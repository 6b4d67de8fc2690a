"""A map's agreement beside the classifier's with itself: counted again by PyTorch alone, on crops that are cut by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import fullconv
from fullconv.errors import BadInput
from fullconv.model import Model
from fullconv.reports.verification import html_report
from fullconv.stream.plan import default_budget
from fullconv.trust.decisions import Decisions
from fullconv.trust.intervals import Mean, Share
from fullconv.trust.pictures import parting_picture
from fullconv.trust.tally import AGREES, MEASURED, UNSURE, Tally
from fullconv.trust.verified import Report
from fullconv.trust.verify import verify
from fullconv.trust.yardstick import Apart, Calibration, OfClass, Yardstick
from tests.formats.torch.real import resnet20
from tests.rasters.pictures import scene
from tests.trust.test_verify_anywhere import CROP, STEP, by_hand, module

STEPS = ((1, 1), (-1, -1))


def moved_by_hand(net: nn.Module, x: torch.Tensor, at: np.ndarray, crop: int, step: int) -> list[list[np.ndarray]]:
    """Of each cell the answers of its crop and of the same moved, as many as the image (1, C, H, W) has."""
    found = []
    for row, col in at:
        answers = []
        for dy, dx in ((0, 0), *STEPS):
            y, left = int(row) * step + dy, int(col) * step + dx
            if min(y, left) >= 0 and y + crop <= x.shape[2] and left + crop <= x.shape[3]:
                with torch.no_grad():
                    answers.append(net(x[:, :, y : y + crop, left : left + crop])[0].numpy())
        found.append(answers)
    return found


def require_itself(report: Report, answers: list[list[np.ndarray]]) -> None:
    """Pairs, and those that agree, of all cells and by class."""
    assert report.yardstick is not None
    assert report.yardstick.itself is not None
    pairs = [(own.argmax(), other.argmax()) for own, *others in answers for other in others]
    cells = sum(len(each) > 1 for each in answers)
    assert report.yardstick.itself.every == Share(sum(a == b for a, b in pairs), len(pairs), cells)
    for each in report.yardstick.classes:
        own = [a == b for a, b in pairs if a == each.index]
        assert each.itself is not None
        assert (each.itself.count, each.itself.of) == (sum(own), len(own))


PIXELS = scene(90, 101)


@pytest.fixture(scope="module")
def net() -> nn.Sequential:
    """Padded, and of five classes that all win somewhere."""
    net = module()
    with torch.no_grad():
        net[7].bias -= torch.from_numpy(by_hand(PIXELS)[1].mean((0, 1)))
    return net


@pytest.fixture(scope="module")
def padded(net: nn.Sequential) -> Model:
    return fullconv.load(net, input_shape=(3, CROP, CROP))


@pytest.fixture(scope="module")
def compared(padded: Model) -> Report:
    return verify(padded, PIXELS, preprocess="unit")


def test_all_of_it_by_hand(compared: Report, net: nn.Sequential) -> None:
    pixels, stick = PIXELS, compared.yardstick
    assert stick is not None
    assert stick.map is not None
    mapped, crops = (each.reshape(-1, 5) for each in by_hand(pixels, net))
    alike = mapped.argmax(1) == crops.argmax(1)
    assert 0.2 < alike.mean() < 0.999
    rows, cols = (np.indices((compared.grid.rows, compared.grid.cols)) * STEP - 3).reshape(
        2, -1
    )  # its field, 30 px wide, starts
    inside = (rows >= 0) & (rows + 30 <= 90) & (cols >= 0) & (cols + 30 <= 101)
    assert (stick.map.interior.count, stick.map.interior.of) == (alike[inside].sum(), inside.sum())
    assert (stick.map.border.count, stick.map.border.of) == (alike[~inside].sum(), (~inside).sum())
    for each in stick.classes:
        own = crops.argmax(1) == each.index
        assert (each.agrees.count, each.agrees.of, each.crops) == (alike[own].sum(), own.sum(), own.sum())
        assert each.won == (mapped.argmax(1) == each.index).sum()
    assert [each.crops for each in stick.classes] == sorted((each.crops for each in stick.classes), reverse=True)
    own, theirs = (F.softmax(torch.from_numpy(each.astype(np.float64)), 1) for each in (mapped, crops))
    sure = stick.calibration
    assert sure is not None
    assert sure.mapped == pytest.approx(float(own.max(1).values.mean()), abs=1e-6)
    assert sure.classifier == pytest.approx(float(theirs.max(1).values.mean()), abs=1e-6)
    assert sure.divergence == pytest.approx(float(F.kl_div(own.log(), theirs, reduction="batchmean")), rel=1e-4)
    for each in stick.classes:
        gaps = (own - theirs)[:, each.index].numpy()
        assert each.bias is not None
        assert each.mapped == pytest.approx(float(own[:, each.index].mean()), abs=1e-6)
        assert each.classifier == pytest.approx(float(theirs[:, each.index].mean()), abs=1e-6)
        assert each.bias.mean == pytest.approx(gaps.mean(), abs=1e-6)
        assert each.bias.half() == pytest.approx(1.96 * gaps.std(ddof=1) / len(gaps) ** 0.5, rel=1e-3)
    x = torch.from_numpy(pixels.astype(np.float32) / np.float32(255)).permute(2, 0, 1)[None]
    answers = moved_by_hand(net, x, compared.at, CROP, STEP)
    require_itself(compared, answers)
    states = compared.states
    assert states is not None
    mapped_at = by_hand(pixels, net)[0][compared.at[:, 0], compared.at[:, 1]]
    for state, (crop, *others), own_scores in zip(states, answers, mapped_at, strict=True):
        assert bool(state & AGREES) == (own_scores.argmax() == crop.argmax())
        assert bool(state & MEASURED) == (len(others) > 0)
        assert bool(state & UNSURE) == any(other.argmax() != crop.argmax() for other in others)


@pytest.mark.long
def test_a_trained_padded_network(shared: Path) -> None:
    net = resnet20(shared)
    pixels = np.asarray(fullconv.rasters.view.read_image(shared / "images" / "caffe" / "cat.jpg"))[60:200, 130:290]
    report = verify(fullconv.load(net, input_shape=(3, 32, 32)), pixels, preprocess="unit", cells=40)
    x = torch.from_numpy(pixels.astype(np.float32) / np.float32(255)).permute(2, 0, 1)[None]
    require_itself(report, moved_by_hand(net, x, report.at, 32, 4))
    stick = report.yardstick
    assert stick is not None
    assert stick.map is not None
    assert stick.level == "below"
    assert "fullconv adapt" in report.advice


def test_an_exact_map_needs_no_yardstick(lenet: Model, cat: Path) -> None:
    report = verify(lenet, cat, preprocess="unit", cells=30)
    assert report.yardstick is not None
    assert report.yardstick.itself is None
    assert "moved" not in str(report)
    asked = verify(lenet, cat, preprocess="unit", cells=30, moved=30).yardstick
    assert asked is not None
    assert asked.itself is not None
    assert asked.itself.every.of > 50


def test_about_so_many_are_moved(padded: Model, compared: Report) -> None:
    some = verify(padded, PIXELS, preprocess="unit", moved=120)
    assert some.yardstick is not None
    assert some.yardstick.itself is not None
    assert 80 < (some.yardstick.itself.every.trials or 0) < 160
    again = verify(padded, PIXELS, preprocess="unit", moved=120, memory=default_budget() // 2)
    assert some == again
    assert hash(some) == hash(again)
    assert some != replace(again, agree=again.agree - 1)
    none = verify(padded, PIXELS, preprocess="unit", moved=0)
    assert none.yardstick is not None
    assert none.yardstick.itself is None
    assert none.yardstick.level == "not measured"
    assert none.yardstick.map == compared.yardstick.map  # type: ignore[union-attr]
    with pytest.raises(BadInput, match="moved -1"):
        verify(padded, PIXELS, preprocess="unit", moved=-1)


def test_an_image_of_one_crop_has_none_to_hold_it_against(padded: Model) -> None:
    report = verify(padded, scene(CROP, CROP), preprocess="unit")
    assert report.yardstick is not None
    assert report.yardstick.level == "not measured"
    assert "no crop can be moved" in report.yardstick.verdict


def of(agree: int, count: int, itself: int, pairs: int) -> Yardstick:
    none = Share(0, 0)
    own, its = Share(agree, count), Share(itself, pairs, pairs // 2)
    return Yardstick(Decisions("winner", 3, ""), Apart(own, own, none), Apart(its, its, none), (), None)


@pytest.mark.parametrize(
    ("numbers", "level"),
    [
        ((931, 1000, 1910, 2000), "below"),
        ((940, 1000, 1910, 2000), "too few cells"),
        ((900, 1000, 1910, 2000), "below"),
        ((955, 1000, 1910, 2000), "as good"),
        ((990, 1000, 1910, 2000), "as good"),
        ((50, 50, 100, 100), "too few cells"),
        ((9550, 10_000, 1910, 2000), "as good"),
        ((0, 10, 0, 0), "not measured"),
    ],
)
def test_the_verdict_goes_by_intervals(numbers: tuple, level: str) -> None:
    assert of(*numbers).level == level
    if level != "not measured":
        assert f"{numbers[0] / numbers[1]:.1%}" in of(*numbers).verdict


def test_a_classifier_that_is_unsure_is_told() -> None:
    assert of(600, 1000, 1500, 2000).is_unsure
    assert not of(600, 1000, 1790, 2000).is_unsure  # 87.4 to 91.2 %: it may be 90
    assert "preprocessing" in str(of(600, 1000, 1500, 2000).warning)


def test_more_cells_as_told_would_tell() -> None:
    few = of(285, 300, 573, 600)
    assert few.level == "too few cells"
    told = int(few.verdict.split("compare ")[1].split(" or")[0].replace(",", ""))
    assert of(round(0.95 * told), told, round(1.91 * told), 2 * told).level != "too few cells"


def tally(mapped: np.ndarray, crops: np.ndarray, moved: np.ndarray, kind: str) -> Yardstick:
    counts = Tally(Decisions.of(crops, kind))
    counts.add(np.ones(len(crops), bool), mapped, crops)
    counts.add_moved(np.ones(len(crops), bool), crops, [(np.arange(len(crops)), moved)])
    return counts.yardstick([f"c{i}" for i in range(crops.shape[1])], len(crops))


@pytest.mark.parametrize(
    ("agrees", "sure", "past"),
    [((955, 1000), 0.993, None), ((955, 1000), 0.999, None), ((600, 1000), 0.994, 0.355), ((600, 1000), 0.55, None)],
)
def test_over_confident_is_a_map_that_agrees_less_and_is_as_sure(
    agrees: tuple, sure: float, past: float | None
) -> None:
    """A classifier that is surer than it agrees with itself is no fault of the map's."""
    rng = np.random.default_rng(0)
    gaps = rng.normal(0, 0.05, 1000)
    gaps += sure - 0.994 - gaps.mean()
    calibration = Calibration(1000, sure, 0.994, Mean(1000, float(gaps.sum()), float((gaps**2).sum())), 0.1)
    stick = replace(of(*agrees, 1910, 2000), calibration=calibration)
    assert stick.overconfidence == (None if past is None else pytest.approx(past))
    assert ("over-confident" in " ".join(stick.lines)) == (past is not None)
    assert replace(stick, itself=None).overconfidence is None


@pytest.mark.parametrize(("sure", "told"), [(0.85, False), (0.95, True)])
def test_a_map_that_is_less_sure_than_it_agrees_is_not_over_confident(sure: float, told: bool) -> None:
    """However much surer it is than its crops, which are too modest."""
    gaps = np.random.default_rng(0).normal(0, 0.05, 1000)
    gaps += sure - 0.75 - gaps.mean()
    calibration = Calibration(1000, sure, 0.75, Mean(1000, float(gaps.sum()), float((gaps**2).sum())), 0.1)
    assert (replace(of(900, 1000, 1910, 2000), calibration=calibration).overconfidence is not None) == told


NAN = float("nan")


def test_scores_that_are_no_numbers_agree_with_nothing() -> None:
    crops = np.array([[2.0, 1], [NAN, 1], [2, NAN], [np.inf, 0], [0, 3]])
    stick = tally(crops.copy(), crops, crops.copy(), "logits")
    assert stick.map is not None
    assert stick.itself is not None
    assert (stick.map.every.count, stick.map.every.of) == (2, 5)
    assert (stick.itself.every.count, stick.itself.every.of) == (2, 5)
    assert sum(each.crops for each in stick.classes) == 2
    json.dumps(stick.to_json(), allow_nan=False)


def test_labels_are_compared_each_by_itself() -> None:
    crops = np.array([[0.9, 0.8, 0.1], [0.2, 0.6, 0.1], [0.1, 0.3, 0.2]])
    mapped = np.array([[0.8, 0.9, 0.2], [0.2, 0.4, 0.1], [0.2, 0.3, 0.1]])
    stick = tally(mapped, crops, crops, "probabilities")
    assert stick.reads.kind == "labels"
    assert stick.map is not None
    assert (stick.map.every.count, stick.map.every.of) == (2, 3)
    by = {each.label: each for each in stick.classes}
    assert [(by[f"c{i}"].agrees.count, by[f"c{i}"].agrees.of) for i in range(3)] == [(3, 3), (2, 3), (3, 3)]
    assert [(by[f"c{i}"].crops, by[f"c{i}"].won) for i in range(3)] == [(1, 1), (2, 1), (0, 0)]
    bits = F.binary_cross_entropy(torch.tensor(mapped), torch.tensor(crops), reduction="sum")
    own = F.binary_cross_entropy(torch.tensor(crops), torch.tensor(crops), reduction="sum")
    assert stick.calibration is not None
    assert stick.calibration.divergence == pytest.approx(float(bits - own) / 3, rel=1e-6)


@pytest.mark.parametrize(
    ("kind", "crops", "mapped", "agree"),
    [
        ("probabilities", [0.9, 0.2, 0.5], [0.6, 0.7, 0.5], 2),
        ("winner", [3, 1, 2], [3, 2, 2], 2),
        ("logits", [3, 1, 2], [3, 2, 2], None),
    ],
)
def test_one_number_a_cell(kind: str, crops: list, mapped: list, agree: int | None) -> None:
    stick = tally(*(np.array(each, float)[:, None] for each in (mapped, crops, crops)), kind)
    if agree is None:
        assert stick.map is None
        assert "no agreement is told" in stick.verdict
    else:
        assert stick.map is not None
        assert stick.map.every.count == agree
    json.dumps(stick.to_json(), allow_nan=False)


@pytest.mark.parametrize(("tail", "agree"), [((nn.Sigmoid(),), True), ((), False)])
def test_a_network_of_one_class(tail: tuple, agree: bool) -> None:
    """Its one class wins everywhere, which says nothing."""
    torch.manual_seed(2)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(), nn.Linear(36, 1), *tail
    ).eval()
    with torch.no_grad():
        net[4].weight *= 20
        net[4].bias[:] = 0
    image = np.random.default_rng(0).integers(0, 256, (60, 60), np.uint8)
    model = fullconv.load(net, input_shape=(1, 12, 12))
    scores = [fullconv.map(model, image, preprocess="unit", by=by).scores[0] for by in ("cast", "crops")]
    middle = float(np.median(scores[1])) if agree else 0.0
    if agree:  # half of the crops have the label
        with torch.no_grad():
            net[4].bias[:] = -float(torch.logit(torch.tensor(middle)))
        model = fullconv.load(net, input_shape=(1, 12, 12))
        scores = [fullconv.map(model, image, preprocess="unit", by=by).scores[0] for by in ("cast", "crops")]
    report = verify(model, image, preprocess="unit")
    expected = int(((scores[0] >= 0.5) == (scores[1] >= 0.5)).sum()) if agree else None
    assert report.agree == expected
    if expected is not None:
        assert expected < report.compared
    assert "top-1" not in str(report)
    json.dumps(report.to_json(), allow_nan=False)
    assert "top-1" not in html_report([report], "net")


def test_the_page_has_the_table_and_the_picture(compared: Report) -> None:
    page = html_report([compared], "net")
    assert "By class" in page
    assert "with itself moved by a pixel" in page
    assert page.count("data:image/") == 3
    picture = np.asarray(parting_picture(compared))
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 20


def test_the_json_says_all(compared: Report) -> None:
    told = json.loads(json.dumps(compared.to_json(), allow_nan=False))["yardstick"]
    assert told["map"]["of"] == compared.compared
    assert told["itself"]["pairs"] > told["itself"]["cells"] > 0
    assert {each["class"] for each in told["classes"]} == set(range(5))
    assert told["map"]["interior"]["of"] + told["map"]["border"]["of"] == compared.compared


def test_labels_are_told_from_classes_by_any_row_and_are_sure_of_what_they_leave_out_too() -> None:
    scores = np.array([[0.5, 0.5, 0.0], [0.9, 0.8, 0.1]], np.float32)  # the first adds up to 1 by chance
    found = Decisions.of(scores, "probabilities")
    assert found.kind == "labels"
    assert Decisions.of(scores[:1], "probabilities").kind == "winner"
    np.testing.assert_allclose(found.surest(scores), [(0.5 + 0.5 + 1.0) / 3, (0.9 + 0.8 + 0.9) / 3])


def test_one_label_is_told_from_its_absence() -> None:
    tally = Tally(Decisions("label", 1, "probabilities"))
    mapped, crops = (
        np.array(values, np.float32)[:, None] for values in ([0.9, 0.6, 0.2, 0.1, 0.5], [0.8, 0.1, 0.3, 0.2, 0.7])
    )
    tally.add(np.ones(5, bool), mapped, crops)
    found = {each.label: each for each in tally.yardstick(["crack"], 0).classes}
    assert (found["crack"].won, found["crack"].crops, found["crack"].agrees) == (3, 2, Share(2, 2, 2))
    assert (found["not crack"].won, found["not crack"].crops, found["not crack"].agrees) == (2, 3, Share(2, 3, 3))


def test_of_more_classes_each_must_be_surer_biased() -> None:
    """Bonferroni's: a mean two and a half standard errors from 0 is sure of one class, and not of fifty."""
    of = 400
    deviation = 0.1
    mean = 2.5 * deviation / of**0.5
    squares = (of - 1) * deviation**2 + of * mean**2
    one = OfClass(0, "a", 9, 9, Share(9, 9), None, 0.5, 0.4, Mean(of, of * mean, squares))
    assert one.is_biased(1)
    assert not one.is_biased(50)
