from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fullconv.geometry.axis import Extent, ceil_overhang, output_length
from fullconv.graph.nodes import Span


def caffe_pooled(length: int, kernel: int, stride: int, pad: int) -> int:
    """Caffe's own rule for ceil-mode pooling: round up, then drop a window that starts beyond the padded input."""
    out = -(-(length + 2 * pad - kernel) // stride) + 1
    if pad and (out - 1) * stride >= length + pad:
        out -= 1
    return out


@pytest.mark.parametrize("kernel", range(1, 8))
@pytest.mark.parametrize("stride", range(1, 9))
def test_ceil_pooling_is_floor_arithmetic_with_an_overhang(kernel: int, stride: int) -> None:
    for pad in range(kernel):
        span = Span(kernel, Fraction(stride), 1, pad, pad, ceil_overhang(kernel, stride, pad))
        assert span.overhang >= 0
        for length in range(max(1, kernel - 2 * pad), 60):
            assert output_length(span, length) == caffe_pooled(length, kernel, stride, pad), (pad, length)


spans = st.builds(
    Span,
    kernel=st.integers(1, 5),
    stride=st.integers(1, 4).map(Fraction),
    dilation=st.integers(1, 3),
    pad_before=st.integers(0, 3),
    pad_after=st.integers(0, 3),
)


def read_by(span: Span, cells: list[set[int]], length: int) -> list[set[int]]:
    """Brute force: the pixels that each output cell reads, given those of its input's cells (padding reads none)."""
    out = []
    for i in range(output_length(span, length)):
        taps = [i * int(span.stride) - span.pad_before + j * span.dilation for j in range(span.kernel)]
        out.append(set().union(*(cells[t] for t in taps if 0 <= t < length)))
    return out


@given(st.lists(spans, min_size=1, max_size=4))
def test_extent_is_the_support_of_a_cell(chain: list[Span]) -> None:
    """Oracle: which pixels an output depends on, by following every tap."""
    length = 120
    cells, extent = [{i} for i in range(length)], Extent()
    for span in chain:
        cells = read_by(span, cells, len(cells))
        extent = extent.through(span)
        if not cells:
            return
    padded = any(span.pad_before or span.pad_after for span in chain)
    for i, seen in enumerate(cells):
        first = extent.start + i * extent.stride
        last = first + extent.size - 1
        assert all(first <= pixel <= last for pixel in seen)
        if not padded:
            assert (min(seen), max(seen)) == (first, last)


@given(st.integers(1, 5), st.integers(2, 4), st.integers(0, 2), st.integers(0, 2), st.integers(2, 9))
def test_a_transposed_window_is_bounded_by_its_extent(
    kernel: int, factor: int, pad: int, behind: int, length: int
) -> None:
    span = Span(kernel, Fraction(1, factor), 1, pad, behind)
    count = (length - 1) * factor + kernel - pad - behind
    if count < 1:
        return
    assert output_length(span, length) == count
    extent = Extent().through(span)
    assert extent.stride == Fraction(1, factor)
    for o in range(count):
        reads = [i for i in range(length) for j in range(kernel) if i * factor - pad + j == o]
        start = extent.start + o * extent.stride
        for i in reads:
            assert start <= i <= start + extent.size - 1


def test_numbers_of_caffenet() -> None:
    """conv 11/4, pool 3/2, conv 5 pad 2, pool 3/2, three convs 3 pad 1, pool 3/2, fc6 6: field 355, stride 32, offset -64."""
    chain = [Span(11, Fraction(4)), Span(3, Fraction(2)), Span(5, pad_before=2, pad_after=2), Span(3, Fraction(2))]
    chain += [Span(3, pad_before=1, pad_after=1)] * 3 + [Span(3, Fraction(2)), Span(6)]
    extent = Extent()
    for span in chain:
        extent = extent.through(span)
    assert (extent.size, extent.stride, extent.start, extent.centre) == (355, 32, -64, 113)


def test_union_of_branches() -> None:
    a = Extent().through(Span(3, pad_before=1, pad_after=1))
    b = Extent().through(Span(5, pad_before=2, pad_after=2))
    assert a.union(b) == b
    with pytest.raises(ValueError, match="strides differ"):
        a.union(Extent(stride=Fraction(2)))


def test_no_room_for_a_window_leaves_no_cell() -> None:
    assert output_length(Span(5), 4) == 0
    assert np.all([output_length(Span(5), n) == n - 4 for n in range(5, 9)])
