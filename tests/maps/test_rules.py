"""Rules over maps, held against what the arrays say."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fullconv.errors import BadInput
from fullconv.geometry.grid import Grid
from fullconv.geometry.place import Place
from fullconv.maps.classmap import ClassMap
from fullconv.maps.rules import Rule

LABELS = ("crack", "deep scratch", "sound", "7")


def a_map(scores: np.ndarray | None = None, place: Place | None = None) -> ClassMap:
    rng = np.random.default_rng(3)
    scores = rng.random((4, 5, 6), np.float32) * 0.9 if scores is None else scores
    four, eight = (Fraction(4), Fraction(4)), (Fraction(8), Fraction(8))
    grid = Grid(5, 6, four, eight, (Fraction(7, 2), Fraction(7, 2)), eight, (24, 28))
    return ClassMap(scores, grid, LABELS, place=place or Place(), score_kind="probabilities")


def holds(text: str, result: ClassMap) -> bool:
    rule = Rule.parse(text, LABELS)
    rule.require(result.score_kind)
    return rule.judge(result).holds


def test_a_class_is_its_highest_score_and_the_cell_is_named() -> None:
    result = a_map()
    top = float(result.scores[0].max())
    row, col = (int(i) for i in np.unravel_index(result.scores[0].argmax(), (5, 6)))
    assert holds(f"crack >= {top!r}", result)
    assert not holds(f"crack > {top!r}", result)
    verdict = Rule.parse("crack > 0.5", LABELS).judge(result)
    assert verdict.facts == (
        f"'crack' scores {top:.4g} at most, in cell ({row}, {col}), crop (x0, y0, x1, y1) ({4 * col}, {4 * row}, {4 * col + 8}, {4 * row + 8})",
    )


NUMBERS = st.integers(1, 89).map(lambda n: n / 100)


@given(a=NUMBERS, b=NUMBERS, c=NUMBERS)
def test_words_bind_as_in_logic(a: float, b: float, c: float) -> None:
    result = a_map()
    x, y, z = (float(result.scores[i].max()) > t for i, t in ((0, a), (1, b), (2, c)))
    rule = f"crack > {a} or deep scratch > {b} and not sound > {c}"
    assert holds(rule, result) is (x or (y and not z))
    assert holds(f"(crack > {a} OR 'deep scratch' > {b}) AND NOT (sound > {c})", result) is ((x or y) and not z)


def test_shares_and_areas() -> None:
    result = a_map(place=Place(pixel_size=(0.5, 0.25), unit="micrometer"))
    wins = [int(n) for n in np.bincount(result.scores.argmax(axis=0).ravel(), minlength=4)]
    share = int(wins[0]) / 30
    assert holds(f"share(crack) >= {share!r}", result)
    assert not holds(f"share(crack) > {share!r}", result)
    assert holds(f"share(crack) > {100 * share - 1} %", result)
    area = int(wins[0]) * 16 * 0.5 * 0.25
    for number, unit in (
        (area, "µm²"),
        (area, "um2"),
        (area * 1e-6, "mm^2"),
        (wins[0], "cells"),
        (wins[0] * 16, "px²"),
    ):
        assert holds(f"area(crack) > {number * 0.999!r} {unit}", result), unit
        assert not holds(f"area(crack) > {number * 1.001!r} {unit}", result), unit
    metres = replace(result, place=Place(pixel_size=(10.0, 10.0), unit="meter"))
    assert holds(f"area(crack) > {int(wins[0]) * 16 * 100 * 1e-4 * 0.999!r} ha", metres)
    with pytest.raises(BadInput, match="does not say how large its pixels are; give it in px² or cells"):
        holds("area(crack) > 5 mm²", a_map())
    mercator = Place((10.0, 10.0), "meter", (10.0, 0.0, 1e6, 0.0, -10.0, 8.4e6), "EPSG:3857")  # at 60 degrees
    with pytest.raises(BadInput, match="times the earth's"):
        holds("area(crack) > 1 ha", a_map(place=mercator))


def test_what_cannot_be_judged_is_no_pass() -> None:
    empty = a_map(np.full((4, 5, 6), np.nan, np.float32))
    for text in ("crack > 0.9", "crack < 0.9", "share(crack) > 0.5"):
        with pytest.raises(BadInput, match="cannot be judged: no cell has an answer"):
            holds(text, empty)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("crak > 0.9", "did you mean 'crack'"),
        ("crack", "'the end' where >, >=, < or <= is expected"),
        ("crack = 0.9", "'=' where >"),
        ("crack => 0.9", "'=>' where >"),
        ("crack > ", "'the end' where a number is expected"),
        ("crack > high", "'high' where a number is expected"),
        ("crack > nan", "'nan' where a number is expected"),
        ("crack > 0.9 sound > 0.1", "is no unit of a score"),
        ("crack > 0.9 mm²", "is no unit of a score"),
        ("(crack > 0.9", "a parenthesis that does not end"),
        ("crack > 0.9)", "')' is not expected there"),
        ("> 0.9", "the name of a class is missing"),
        ("", "the name of a class is missing"),
        ("'crack > 0.9", "a quote that does not end"),
        ("area(crack) > 5", "an area needs a unit"),
        ("size(crack) > 5", "is none of score"),
        ("__import__('os').system('x') > 1", "is none of score"),
        ("(" * 60 + "crack > 0.9" + ")" * 60, "more than 50 parts"),
        ("not " * 60 + "crack > 0.9", "more than 50 parts"),
    ],
)
def test_what_is_no_rule(text: str, told: str) -> None:
    with pytest.raises(BadInput) as caught:
        Rule.parse(text, LABELS)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("text", "kind", "told"),
    [
        ("crack > 1", "probabilities", "never holds"),
        ("crack >= 1.01", "probabilities", "never holds"),
        ("crack > -0.1", "probabilities", "always holds"),
        ("crack >= 0", "probabilities", "always holds"),
        ("crack < 0", "probabilities", "never holds"),
        ("crack <= -1", "probabilities", "never holds"),
        ("crack < 1.5", "probabilities", "always holds"),
        ("crack <= 1", "probabilities", "always holds"),
        ("crack > 0.1", "log-probabilities", "never holds"),
        ("crack > 0.9", "logits", "scores are logits, not probabilities"),
        ("crack > 0.9", "winner", "gives the winner.s number alone"),
        ("share(crack) > 120 %", "logits", "never holds"),
        ("area(crack) < 0 cells", "", "never holds"),
        ("sound > 0.5 and crack > 2", "probabilities", "never holds"),
    ],
)
def test_numbers_that_mean_nothing(text: str, kind: str, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        Rule.parse(text, LABELS).require(kind)


@pytest.mark.parametrize(
    ("text", "kind"),
    [("crack >= 1", "probabilities"), ("crack > 0", "probabilities"), ("crack <= 0", "probabilities"), ("crack < 1", "probabilities"),
     ("crack > 3", "logits"), ("crack > 0.9", ""), ("7 > 0.5", "probabilities"), ("crack > -0.1", "log-probabilities")],
)  # fmt: skip
def test_numbers_at_the_edge_are_taken(text: str, kind: str) -> None:
    Rule.parse(text, LABELS).require(kind)
