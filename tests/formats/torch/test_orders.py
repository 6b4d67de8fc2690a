"""Random chains of layout operators before a Linear: the cast must find the weights' true order."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import nn

import fullconv
from tests.conftest import worst

CHANNELS, HEIGHT, WIDTH = 4, 6, 4


@st.composite
def chains(draw) -> list[tuple[str, tuple[int, ...]]]:
    """Permutations, splits and merges of (n, c, h, w), the batch left alone."""
    shape, steps = [CHANNELS, HEIGHT, WIDTH], []
    for _ in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(["permute", "split", "merge"]))
        if kind == "permute" and len(shape) > 1:
            order = draw(st.permutations(range(len(shape))))
            shape = [shape[i] for i in order]
            steps.append(("permute", (0, *(i + 1 for i in order))))
        elif kind == "split":
            axis = draw(st.integers(0, len(shape) - 1))
            parts = [d for d in range(2, shape[axis]) if shape[axis] % d == 0]
            if parts:
                outer = draw(st.sampled_from(parts))
                shape[axis : axis + 1] = [outer, shape[axis] // outer]
                steps.append(("view", tuple(shape)))
        elif kind == "merge" and len(shape) > 1:
            axis = draw(st.integers(0, len(shape) - 2))
            shape[axis : axis + 2] = [shape[axis] * shape[axis + 1]]
            steps.append(("view", tuple(shape)))
    return steps


class Chain(nn.Module):
    def __init__(self, steps: list[tuple[str, tuple[int, ...]]]) -> None:
        super().__init__()
        self.steps = steps
        self.conv, self.fc = nn.Conv2d(2, CHANNELS, 3), nn.Linear(CHANNELS * HEIGHT * WIDTH, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        for kind, numbers in self.steps:
            x = x.permute(numbers) if kind == "permute" else x.reshape(x.shape[0], *numbers)
        return self.fc(x.flatten(1))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(chains())
@pytest.mark.long
def test_any_chain_of_layouts(steps: list[tuple[str, tuple[int, ...]]]) -> None:
    torch.manual_seed(0)
    module = Chain(steps).eval()
    model = fullconv.load(module, input_shape=(2, HEIGHT + 2, WIDTH + 2))
    if model.plan.refusals:  # an axis of 4 × 6 positions cut into 3 × 8: no expression over c and h, and told so
        assert all("no divisors" in refusal.reason for refusal in model.plan.refusals)
        assume(False)
    assert model.plan.exactness.startswith("exact")
    image = torch.randn(1, 2, HEIGHT + 4, WIDTH + 5)
    (found,) = model.cast().run(image.numpy()).values()
    assert found.shape == (1, 3, 3, 4)
    for row, col in ((0, 0), (2, 3), (1, 2)):
        with torch.no_grad():
            crop = module(image[:, :, row : row + HEIGHT + 2, col : col + WIDTH + 2]).numpy()
        assert worst(np.ascontiguousarray(found[0, :, row, col]), crop[0]) < 1e-5


@pytest.mark.parametrize("between", [torch.relu, lambda x: torch.softmax(x, 1)])
def test_what_reads_an_order_that_no_map_has_is_a_weight_matrix_or_acts_on_each_number(between) -> None:
    """An activation stands anywhere before its Linear; what runs along the order would run along another."""
    steps = [("permute", (0, 2, 1, 3)), ("view", (6, 2, 2, 4))]

    class Between(Chain):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.conv(x).permute(0, 2, 1, 3)
            return self.fc(between(x.reshape(x.shape[0], 6, 2, 2, 4).flatten(1)))

    torch.manual_seed(0)
    module = Between(steps).eval()
    model = fullconv.load(module, input_shape=(2, HEIGHT + 2, WIDTH + 2))
    if between is not torch.relu:
        (refusal,) = model.plan.refusals
        assert "order that no map has" in refusal.reason or "height or width" in refusal.reason
        return
    image = torch.randn(1, 2, HEIGHT + 4, WIDTH + 5)
    (found,) = model.cast().run(image.numpy()).values()
    with torch.no_grad():
        crop = module(image[:, :, 2 : HEIGHT + 4, 3 : WIDTH + 5]).numpy()
    assert worst(np.ascontiguousarray(found[0, :, 2, 3]), crop[0]) < 1e-5
