"""Rules over maps: ``crack > 0.9``, ``crack > 0.9 and area(crack) > 5 mm²``. Parsed by a grammar of their own; nothing is evaluated as code.

    rule    = all { "or" all }
    all     = test { "and" test }
    test    = "not" test | "(" rule ")" | measure operator number [unit]
    measure = class | ("score" | "area" | "share") "(" class ")"

A class stands for its highest score. ``area`` is of the cells that it wins, in a unit (mm², µm², m², km², ha, px² or cells), ``share`` their part of
the cells with an answer (``20 %`` or ``0.2``). One class alone wins over no other: its cells are those on its side of ``ClassMap.side``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal

from fullconv.errors import BadInput
from fullconv.maps.areas import area_note, cell_area
from fullconv.maps.classmap import ClassMap
from fullconv.maps.labels import class_index
from fullconv.maps.summary import answered_of, wins_of
from fullconv.maps.threshold import least_score

Measure = Literal["score", "area", "share"]
_TOKEN = re.compile(r"""\s*(?:(?P<quoted>'[^']*'|"[^"]*")|(?P<sign>[<>=!]+|[()])|(?P<word>[^\s()<>=!'"]+))""")
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
}
_NUMBER = re.compile(r"([-+]?[0-9]{1,40}(?:\.[0-9]{0,40})?(?:[eE][-+]?[0-9]{1,3})?)(.*)", re.DOTALL)
_METRES = {"µm²": 1e-12, "mm²": 1e-6, "cm²": 1e-4, "m²": 1.0, "ha": 1e4, "km²": 1e6}
_SPELT = {"um²": "µm²", "μm²": "µm²", "cell": "cells"}
_UNITS = (*_METRES, "px²", "cells")
_OF_PLACE = {"micrometer": 1e-12, "meter": 1.0}  # square metres of a square unit of an image's
_RANGES = {"probabilities": (0.0, 1.0), "log-probabilities": (-inf, 0.0)}
_DEEPEST = 50
_WORDS = ("and", "or", "not")


@dataclass(frozen=True, slots=True)
class Comparison:
    """One comparison: a measure of a class with a number, in a unit for areas."""

    measure: Measure
    index: int
    label: str
    compare: str
    number: float
    unit: str = ""

    def __str__(self) -> str:
        name = self.label if self.measure == "score" else f"{self.measure}({self.label})"
        return f"{name} {self.compare} {self.number:g}{f' {self.unit}' if self.unit else ''}"


@dataclass(frozen=True, slots=True)
class Node:
    """``and``, ``or`` or ``not`` of parts."""

    word: str
    parts: tuple[Node | Comparison, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a rule says of a map.

    Attributes:
        rule: as it was written.
        holds: it does.
        facts: every measure that it is made of, with its value, and the cell where a score is highest.
    """

    rule: str
    holds: bool
    facts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule over the classes of a network, as ``Rule.parse`` reads it."""

    text: str
    root: Node | Comparison
    alone: bool = False  # the network has one class

    @staticmethod
    def parse(text: str, labels: Sequence[str]) -> Rule:
        """Read a rule.

        Raises:
            BadInput: it is none, or names a class that is none of the labels (the nearest are named).
        """
        return Rule(text, _Parser(text, labels).whole(), len(labels) == 1)

    @property
    def tests(self) -> Iterator[Comparison]:
        """Its comparisons, in order."""
        yield from _tests(self.root)

    def require(self, kind: str, advised: float | None = None) -> None:
        """BadInput where a number means nothing for scores of this kind (``ClassMap.score_kind``): no score, or every one, passes it.

        Args:
            advised: the least score that counts by the network's card.
        """
        if kind == "winner":
            raise BadInput(
                f"--fail-if {self.text!r}: the network gives the winner's number alone, and no scores of classes that a rule could be judged by"
            )
        for test in self.tests:
            if self.alone and test.measure != "score" and kind != "probabilities" and advised is None:
                raise BadInput(_alone(test))
            if test.measure == "area":
                low, high = 0.0, inf
            elif test.measure == "share":
                low, high = 0.0, 1.0
            else:
                if kind == "logits":
                    least_score(kind, test.number)
                low, high = _RANGES.get(kind, (-inf, inf))
            if test.compare in (">", "<="):
                never, always = test.number >= high, test.number < low
            else:
                never, always = test.number > high, test.number <= low
            if test.compare in ("<", "<="):
                never, always = always, never
            if never or always:
                what = kind if test.measure == "score" else f"{test.measure}s"
                held = "never holds" if never else "always holds"
                raise BadInput(f"--fail-if {self.text!r}: {test} {held}: {what} {_within(low, high)}")

    def judge(self, result: ClassMap) -> Verdict:
        """What it says of a map whose classes are the network's, or some of them.

        Raises:
            BadInput: no cell has an answer, a class's scores are not kept, or an area is asked for of an image whose pixels have no size.
        """
        wins = wins_of(result)
        answered = answered_of(result, int(wins.sum()))
        if not answered:
            raise BadInput(f"--fail-if {self.text!r}: cannot be judged: no cell has an answer")
        facts: list[str] = []
        values = {
            test: _measured(result, test, int(wins[_place(result, test)]), answered, facts)
            for test in dict.fromkeys(self.tests)
        }
        return Verdict(self.text, _holds(self.root, values), tuple(facts))


def _within(low: float, high: float) -> str:
    """Where numbers lie, in words."""
    if high == inf:
        return f"are {low:g} or more"
    return f"are {high:g} or less" if low == -inf else f"lie between {low:g} and {high:g}"


def _tests(part: Node | Comparison) -> Iterator[Comparison]:
    if isinstance(part, Comparison):
        yield part
        return
    for each in part.parts:
        yield from _tests(each)


def _holds(part: Node | Comparison, values: dict[Comparison, float]) -> bool:
    if isinstance(part, Comparison):
        return _COMPARE[part.compare](values[part], part.number)
    answers = [_holds(each, values) for each in part.parts]
    return not answers[0] if part.word == "not" else all(answers) if part.word == "and" else any(answers)


def _place(result: ClassMap, test: Comparison) -> int:
    """Where a class stands in a map, which may hold some of the network's."""
    record = result.record
    numbers = (
        list(range(len(result.labels))) if record is None else [record.number(i) for i in range(len(result.labels))]
    )
    if test.index not in numbers:
        raise BadInput(f"--fail-if: the map does not hold class {test.label!r}; keep it (--keep)")
    return numbers.index(test.index)


def _alone(test: Comparison) -> str:
    return (
        f"--fail-if: {test}: {test.label!r} is the one class of the map and wins every cell, and nobody says from which score on a cell is of it; "
        "test its score, give a card with a threshold, or have probabilities (--activation)"
    )


def _measured(result: ClassMap, test: Comparison, cells: int, answered: int, facts: list[str]) -> float:
    wins = "wins" if result.has_winners else f"scores {result.side:g} or more in" if result.side is not None else ""
    if test.measure != "score" and not wins:
        raise BadInput(_alone(test))
    if test.measure == "share":
        facts.append(f"{test.label!r} {wins} {cells / answered:.2%} of {answered:,} cells")
        return cells / answered
    if test.measure == "area":
        area = cells * _cell_area(result, test.unit)
        facts.append(f"{test.label!r} {wins} {area:.4g} {test.unit}")
        return area
    if result.record is not None and (result.record.keep == "top1" or result.record.stored != "float32"):
        raise BadInput("--fail-if holds scores as they are: they must be stored as float32, and not as top1 alone")
    peak = result.highest(_place(result, test))
    if peak is None:
        raise BadInput(f"--fail-if: cannot be judged: no cell has an answer of class {test.label!r}")
    box = ", ".join(f"{side:g}" for side in peak.box)
    facts.append(
        f"{test.label!r} scores {peak.score:.4g} at most, in cell ({peak.row}, {peak.col}), crop (x0, y0, x1, y1) ({box})"
    )
    return peak.score


def _cell_area(result: ClassMap, unit: str) -> float:
    """Of a cell's square, in a unit."""
    if unit == "cells":
        return 1.0
    down, right = (float(step) for step in result.grid.stride)
    if unit == "px²":
        return down * right
    metres, note = _OF_PLACE.get(result.place.unit), area_note(result)
    area = cell_area(result)
    if area is None or metres is None:
        why = note or "the image does not say how large its pixels are"
        raise BadInput(f"--fail-if: an area in {unit} cannot be judged: {why}; give it in px² or cells")
    return area * metres / _METRES[unit]


class _Parser:
    """Tokens to a tree, one function a line of the grammar."""

    def __init__(self, text: str, labels: Sequence[str]) -> None:
        self._text, self._labels = text, labels
        self._tokens: list[tuple[str, str]] = []
        end = 0
        while text[end:].strip():
            match = _TOKEN.match(text, end)
            if match is None:
                raise self._wrong(f"a quote that does not end, at {text[end:].strip()[:20]!r}")
            self._tokens.append((match.lastgroup or "", match[match.lastgroup or 0]))
            end = match.end()
        self._at = 0
        self._depth = 0

    def _wrong(self, what: str) -> BadInput:
        return BadInput(
            f"--fail-if {self._text!r}: {what}; write a class, >, >=, < or <=, and a number, 'crack > 0.9' say, with and, or, not and parentheses "
            "between, and area(crack) > 5 mm² or share(crack) > 20 %"
        )

    def _next(self) -> str:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    def _is(self, *texts: str) -> bool:
        return self._at < len(self._tokens) and self._tokens[self._at][0] != "quoted" and self._next().lower() in texts

    def _take(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1][1]

    def whole(self) -> Node | Comparison:
        found = self._rule()
        if self._next():
            raise self._wrong(f"{self._next()!r} is not expected there")
        return found

    def _rule(self) -> Node | Comparison:
        return self._joined("or", lambda: self._joined("and", self._test))

    def _joined(self, word: str, part: Callable[[], Node | Comparison]) -> Node | Comparison:
        parts = [part()]
        while self._is(word):
            self._take()
            parts.append(part())
        return parts[0] if len(parts) == 1 else Node(word, tuple(parts))

    def _test(self) -> Node | Comparison:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._wrong(f"more than {_DEEPEST} parts within each other")
        try:
            if self._is("not"):
                self._take()
                return Node("not", (self._test(),))
            if self._is("("):
                self._take()
                found = self._rule()
                self._close()
                return found
            return self._comparison()
        finally:
            self._depth -= 1

    def _close(self) -> None:
        if not self._is(")"):
            raise self._wrong("a parenthesis that does not end")
        self._take()

    def _comparison(self) -> Comparison:
        measure: Measure = "score"
        following = self._tokens[self._at + 1] if self._at + 1 < len(self._tokens) else ("", "")
        if following == ("sign", "("):
            name = self._take()
            if name.lower() not in ("score", "area", "share"):
                raise self._wrong(f"{name!r} is none of score(...), area(...) and share(...)")
            measure = "area" if name.lower() == "area" else "share" if name.lower() == "share" else "score"
            self._take()
            index = self._class()
            self._close()
        else:
            index = self._class()
        if self._next() not in _COMPARE:
            raise self._wrong(f"{self._next() or 'the end'!r} where >, >=, < or <= is expected")
        compare = self._take()
        number, unit = self._number(measure)
        return Comparison(measure, index, self._labels[index], compare, number, unit)

    def _class(self) -> int:
        """A label, by its words or quoted, or a class's number."""
        words = []
        while self._at < len(self._tokens) and self._tokens[self._at][0] != "sign" and not self._is(*_WORDS):
            quoted = self._tokens[self._at][0] == "quoted"
            words.append(self._take()[1:-1] if quoted else self._take())
        if not words:
            raise self._wrong("the name of a class is missing")
        try:
            return class_index(self._labels, " ".join(words))
        except BadInput as error:
            raise BadInput(f"--fail-if {self._text!r}: {error}") from None

    def _number(self, measure: Measure) -> tuple[float, str]:
        match = _NUMBER.fullmatch(self._next())
        if match is None or self._tokens[self._at][0] != "word":
            raise self._wrong(f"{self._next() or 'the end'!r} where a number is expected")
        self._take()
        number, unit = float(match[1]), match[2]
        if not unit and self._at < len(self._tokens) and self._tokens[self._at][0] == "word" and not self._is(*_WORDS):
            unit = self._take()
        unit = unit.replace("^2", "²").replace("2", "²")
        unit = _SPELT.get(unit, unit)
        if measure == "area":
            if unit not in _UNITS:
                raise self._wrong(f"an area needs a unit, one of {', '.join(_UNITS)}")
            return number, unit
        if unit not in ("", "%"):
            raise self._wrong(f"{unit!r} is no unit of a {measure}")
        return (number / 100 if unit else number), ""
