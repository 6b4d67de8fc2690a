"""Cells of a finer value that stand for a coarser one's: as many for every image, and nearest to theirs."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import pytest

from fullconv.geometry.axis import output_length
from fullconv.geometry.cells import Cells
from fullconv.graph.nodes import Span

SPANS = [
    Span(kernel, Fraction(stride), dilation, before, after, overhang)
    for kernel, stride, dilation, before, after, overhang in product((1, 2, 3, 5), (1, 2, 3), (1, 2), (0, 1), (0, 1, 2), (0, 1))
]  # fmt: skip


def test_a_chain_of_windows_leaves_as_many_cells_as_its_law_says() -> None:
    for one, two in product(SPANS[::3], SPANS[1::7]):
        law = Cells().through(one)
        law = law and law.through(two)
        assert law is not None
        for length in range(40, 52):
            cells = output_length(two, output_length(one, length))
            assert (length + law.more) // law.stride + 1 == cells, (one, two, length)


@pytest.mark.parametrize("before", [Span(3, Fraction(2), 1, 1, 1), Span(2)], ids=str)
def test_the_cells_of_a_cut_are_as_many_as_the_coarser_ones(before: Span) -> None:
    fine, cuts = Cells().through(before), 0
    assert fine is not None
    for span in SPANS:
        coarse = fine.through(span)
        assert coarse is not None
        cut = fine.cut(coarse)
        if cut is None:  # more cells than there are finer ones to take
            assert span.pad_before + span.pad_after + span.overhang > span.field - 1
            continue
        cuts += 1
        first, behind, step = cut
        for length in range(40, 52):
            cells = list(range(output_length(before, length)))[first : behind or None : step]
            assert len(cells) == output_length(span, output_length(before, length)), (span, length)
        apart = coarse.centre - fine.centre - first * fine.stride
        room = (first, -behind)
        assert abs(apart) <= fine.stride / 2 or room[apart > 0] == 0, (span, cut)
    assert cuts > len(SPANS) / 3


def test_what_has_no_such_cells_has_no_cut() -> None:
    coarse = Cells(Fraction(2), Fraction(-2))
    assert Cells(Fraction(2), Fraction(-1)).cut(Cells(Fraction(3), Fraction(-2))) is None  # no multiple
    assert Cells(Fraction(2), Fraction(-1)).cut(Cells(Fraction(4), Fraction(-2))) is None  # another phase
    assert coarse.cut(Cells()) is None  # finer
    assert Cells().through(Span(2, Fraction(1, 2))) is None
    assert not coarse.counts_as(Cells())
