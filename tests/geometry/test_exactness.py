"""Cells that the graph calls free of every cause, against brute force; and what a cause reads past the crop."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import fullconv
from fullconv.geometry.axis import output_length
from fullconv.geometry.exactness import read_past
from fullconv.graph.nodes import Span
from fullconv.maps.crops import run_crops
from fullconv.maps.mapping import run_cast
from tests import helpers as h
from tests.formats.torch.nets import SE, trunk

NETS = {
    "padding on all sides": lambda: nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(256, 5)),
    "padding before": lambda: nn.Sequential(nn.ZeroPad2d((1, 0, 2, 0)), nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 16 * 15, 5)),
    "padding behind that is read": lambda: nn.Sequential(nn.ZeroPad2d((0, 2, 0, 0)), nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 14 * 16, 5)),
    "ceil pools": lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(3, 2, ceil_mode=True), nn.Flatten(), nn.Linear(196, 5)),
    "a gate": lambda: nn.Sequential(trunk(), SE(), nn.Flatten(), nn.Linear(196, 5)),
    "nothing": lambda: nn.Sequential(trunk(), nn.Flatten(), nn.Linear(196, 5)),
}  # fmt: skip


@pytest.mark.parametrize("size", [(16, 16), (16, 24), (26, 22)])
@pytest.mark.parametrize("name", NETS)
def test_free_cells_equal_their_crops_and_others_need_not(name: str, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    model = fullconv.load(NETS[name]().eval(), input_shape=(3, 16, 16))
    full = model.cast()
    output = full.graph.outputs[0]
    image = np.random.default_rng(0).standard_normal((1, 3, *size)).astype(np.float32)
    grid = full.sampling(output).over(size)
    mapped = run_cast(full, image, output)[:, : grid.rows, : grid.cols]
    gap = np.abs(mapped - run_crops(model, image, model.graph.outputs[0], grid)).max(axis=0)
    rows, cols = model.plan.free_cells(grid)
    free = np.outer(rows, cols)
    assert gap[free].max(initial=0) < 1e-5
    if not free.all():
        assert (gap[~free] > 1e-5).mean() > 0.8  # what is not promised does differ
    if size == (16, 16):
        assert free.all()
    assert (name == "nothing") == bool(free.all() and size == (26, 22)) or size != (26, 22)


def test_context_is_in_pixels_of_the_image() -> None:
    text = (
        h.data(1, 1, 16, 16)
        + h.conv("a", "data", 2, 3, "stride: 2")
        + h.conv("b", "a", 2, 3, "pad: 1")
        + h.fc("ip", "b", 2)
    )
    (cause,) = h.model(text).plan.inexact
    assert (cause.node, cause.kind) == ("b", "padding")
    assert cause.context == (Fraction(2),) * 4
    assert h.model(text).plan.to_json()["causes"][0]["context"] == ["2", "2", "2", "2"]


def test_context_of_steps_that_differ_is_each_sides_own() -> None:
    text = (
        h.data(1, 1, 19, 19)
        + h.conv("a", "data", 2, 3, "stride_h: 2 stride_w: 3")
        + h.conv("b", "a", 2, 3, "pad: 1")
        + h.fc("ip", "b", 2)
    )
    (cause,) = h.model(text).plan.inexact
    assert cause.context == (2, 2, 3, 3)


@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 2), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.integers(1, 14))  # fmt: skip
def test_what_windows_read_past_their_input(
    kernel: int, stride: int, dilation: int, before: int, after: int, overhang: int, length: int
) -> None:
    """Oracle: every tap of every window."""
    span = Span(kernel, Fraction(stride), dilation, before, after, overhang)
    starts = [i * stride - before for i in range(output_length(span, length))]
    if not starts:
        return
    behind = max(0, starts[-1] + (kernel - 1) * dilation + 1 - length)
    assert read_past(span, length) == (before, min(after, behind), max(0, behind - after))


@given(st.integers(1, 6), st.integers(2, 4), st.integers(0, 3), st.integers(0, 3), st.integers(1, 8))
def test_what_a_transposed_window_would_read_past_its_input(
    kernel: int, factor: int, before: int, after: int, length: int
) -> None:
    span = Span(kernel, Fraction(1, factor), 1, before, after)
    count = (length - 1) * factor + kernel - before - after
    if count < factor:  # every phase is there
        return
    reads = [i for i in range(-9, length + 9) for j in range(kernel) if 0 <= i * factor - before + j < count]
    assert read_past(span, length) == (max(0, -min(reads)), max(0, max(reads) + 1 - length), 0)


def test_padding_that_a_later_step_skips_does_not_count() -> None:
    """12 cells, padded to 13, in steps of 2 by windows of 3: the last column of padding is read by none."""
    text = h.data(1, 1, 13, 13) + h.pool("p", "data", 3, 2) + h.fc("ip", "p", 2)
    assert h.model(text).plan.exactness.startswith("exact")
