"""How sure a map is of its cells: margins of logits, whatever scores are; and what of them is wrong, as they are stored."""

from __future__ import annotations

import numpy as np
import pytest

from fullconv.confirmation.asked import Confirm
from fullconv.confirmation.surety import Surety, scale_of
from fullconv.errors import BadInput

LABELS = ("grass", "tumour", "stroma")
WINNERS = Confirm("winners", 0.99)


def surety(
    confirm: Confirm = WINNERS, scale="plain", threshold: float = np.nan, keep="all", stored="float32"
) -> Surety:
    return Surety(confirm, keep, stored, scale, threshold)


def softmax(logits: np.ndarray) -> np.ndarray:
    made = np.exp(logits - logits.max(axis=0))
    return (made / made.sum(axis=0)).astype(np.float32)


def test_margins_are_of_logits_whatever_scores_are() -> None:
    logits = np.random.default_rng(0).normal(size=(5, 1000)) * 2
    ranked = np.sort(logits, axis=0)
    margin = ranked[-1] - ranked[-2]
    np.testing.assert_allclose(surety().of(logits), margin)
    np.testing.assert_allclose(surety(scale="log").of(softmax(logits)), margin, atol=1e-5)
    shares = (1 / (1 + np.exp(-logits))).astype(np.float32)
    np.testing.assert_allclose(surety(scale="odds").of(shares), margin, atol=1e-3)
    assert scale_of("probabilities", softmax(logits)) == "log"
    assert scale_of("probabilities", shares) == "odds"
    assert scale_of("logits", softmax(logits)) == "plain"
    with pytest.raises(BadInput, match="are winners, not scores"):
        scale_of("winner", logits)


def test_scores_at_the_ends_of_their_range() -> None:
    scores = np.array([[1, 1, 0], [0, 1, 0]], np.float32)
    np.testing.assert_array_equal(surety(scale="log").of(scores), [np.inf, 0, 0])
    np.testing.assert_array_equal(surety(scale="odds").of(scores), [np.inf, 0, 0])


def test_one_class_is_as_sure_as_it_is_far_from_its_threshold() -> None:
    scores = np.array([[0.5, 0.9, 0.1, 0.69999999]], np.float32)
    odds = np.log(scores.astype(np.float64) / (1 - scores))[0]
    np.testing.assert_allclose(surety(scale="odds", threshold=0.5).of(scores), np.abs(odds), atol=1e-7)
    sure, counts, wrong = surety(scale="odds", threshold=0.7).against(scores, np.float32([[0.5, 0.9, 0.8, 0.7]]))
    assert sure[3] == 0, "a threshold is a float32, as the scores are"
    assert counts.all()
    assert wrong.tolist() == [False, False, True, False]


def test_wrong_winners_are_of_the_classes_that_are_kept() -> None:
    mapped = np.float32([[3, 0], [1, 2], [2, 9]])
    crops = np.float32([[0, 0], [2, 1], [3, 9]])
    assert surety().against(mapped, crops)[2].tolist() == [True, False]
    assert surety(keep=(1, 2)).against(mapped, crops)[2].tolist() == [False, False]
    assert surety(keep=(0, 1)).against(mapped, crops)[2].tolist() == [True, False]
    np.testing.assert_array_equal(surety(keep=(0, 1)).of(mapped), [2, 2])


def test_a_winner_that_its_type_does_not_hold_is_wrong_whatever_is_done() -> None:
    scores = np.float32([[0.5, 0.2], [0.5004, 0.8]])  # equal as uint8, so that the first wins
    sure, _, wrong = surety(scale="log", stored="uint8").against(scores, scores)
    assert wrong.tolist() == [True, False]
    assert sure[0] == np.inf
    assert not surety(scale="log", stored="uint8", keep="top1").against(scores, scores)[2].any(), "kept as a number"
    assert not surety(scale="log").against(scores, scores)[2].any()


def test_detections_count_where_their_crops_find_them() -> None:
    asked = Confirm.of("detections:0.95", LABELS, "tumour,stroma", 0.5)
    assert asked == Confirm("detections", 0.95, (1, 2), 0.5)
    mapped = np.float32([[0.1, 0.2, 0.9], [0.7, 0.3, 0.05], [0.2, 0.5, 0.05]])
    crops = np.float32([[0.1, 0.7, 0.2], [0.7, 0.1, 0.3], [0.2, 0.2, 0.5]])
    sure, counts, wrong = surety(asked, threshold=0.5).against(mapped, crops)
    np.testing.assert_allclose(sure, [-0.2, 0, 0.45], atol=1e-7)
    assert counts.tolist() == [True, False, True]
    assert wrong.tolist() == counts.tolist(), "all of them are missed that are not run as crops"
    assert surety(asked, threshold=0.3, keep="top1").against(mapped, crops)[1].tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (0.99, Confirm("winners", 0.99)),
        ("0.9", Confirm("winners", 0.9)),
        ("99.9%", Confirm("winners", 0.999)),
        ("detections", Confirm("detections", 0.99, (1,), 0.5)),
        ("detections:95 %", Confirm("detections", 0.95, (1,), 0.5)),
    ],
)
def test_what_is_asked_for(given, expected: Confirm) -> None:
    found = Confirm.of(given, LABELS, "tumour", 0.5)
    assert (found.what, found.classes, found.threshold) == (expected.what, expected.classes, expected.threshold)
    assert found.level == pytest.approx(expected.level)


@pytest.mark.parametrize(
    "given", [1, 0, -1, 2, "x", "", "detections:", "detections:2", "nan", float("nan"), "1e5%", "regions:0.9"]
)
def test_what_is_none(given) -> None:
    if given == "detections:":
        assert Confirm.of(given, LABELS, "tumour", 0.5).level == 0.99
        return
    with pytest.raises(BadInput, match=r"confirm"):
        Confirm.of(given, LABELS, "tumour", 0.5)


def test_detections_need_a_class() -> None:
    with pytest.raises(BadInput, match="of which class"):
        Confirm.of("detections", LABELS, None, 0.5)


def test_a_winner_is_lost_that_storage_changes() -> None:
    crops = np.float32([[0.5001, 0.2, 0.4999], [0.4999, 0.8, 0.5001]])  # 8 bits tell no two of the first and last apart
    assert surety(scale="log", stored="uint8").lost(crops).tolist() == [False, False, True]
    assert not surety(scale="log").lost(crops).any()
    assert not surety(Confirm("detections", 0.99, (1,)), threshold=0.5, stored="uint8").lost(crops).any()
