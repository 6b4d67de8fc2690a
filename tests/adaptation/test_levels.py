"""Levels: which values are taken, and that a region's mean is the mean of its values, by NumPy on the network's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import fullconv
from fullconv.adaptation.features import NAME, Featured
from fullconv.adaptation.levels import levels_of, regions
from fullconv.model import Model
from fullconv.surgery.head import Level
from tests import helpers as h


def of(model: Model, logits: str | None = None) -> dict[str, Level]:
    full = model.cast()
    return {level.value: level for level in levels_of(full.graph, logits or full.output())}


def test_the_last_value_of_each_resolution(quick: Model) -> None:
    found = of(quick, "ip2")
    assert list(found) == ["conv1", "conv2", "conv3", "pool3"]
    assert found["conv1"].block == (8, 8)
    assert found["pool3"] == Level("pool3", 64, (1, 1), (1, 1), (1, 2, 1), (1, 2, 1))


class Shortcut(nn.Module):
    """A residual net whose shortcut picks every other cell, as those for CIFAR do."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.down = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, stride=2, padding=1)
        self.line = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(x))
        x = torch.relu(self.down(x) + x[:, :, ::2, ::2])
        return self.line(x.mean(dim=(2, 3)))


def test_what_only_moves_is_no_level() -> None:
    found = of(fullconv.load(Shortcut().eval(), input_shape=(3, 16, 16)))
    assert [(level.channels, level.block, level.window) for level in found.values()] == [
        (4, (2, 2), (8, 8)),
        (4, (1, 1), (8, 8)),
    ]


def test_a_map_of_classes_before_its_mean_tells_no_more_than_the_logits() -> None:
    text = h.data(1, 3, 16, 16) + h.conv("a", "data", 8, 3, "pad: 1") + h.conv("b", "a", 5, 3, "pad: 1")
    text += h.layer("m", "Pooling", "b", "m", "pooling_param { pool: AVE global_pooling: true }")
    assert list(of(h.model(text))) == ["a"]


def test_regions_are_a_rim_and_what_is_inside() -> None:
    assert [regions(n) for n in (1, 2, 3, 4, 8, 13)] == [(1,), (1, 1), (1, 1, 1), (1, 2, 1), (2, 4, 2), (3, 7, 3)]


@pytest.mark.parametrize("size", [(32, 32), (48, 64)])
def test_features_are_means_of_the_network_s_own_values(quick: Model, size: tuple[int, int]) -> None:
    full = quick.cast()
    levels = levels_of(full.graph, "ip2")
    featured = Featured(full, "prob", "ip2", levels)
    image = np.random.default_rng(0).uniform(-100, 100, (1, 3, *size)).astype(np.float32)
    found = featured.run(image, outputs=[NAME])[NAME]
    values = full.values(image, ["ip2", *(level.value for level in levels)])
    rows, cols = found.shape[2:]
    logits, means = featured.parted(found[0].reshape(featured.features, -1).T)
    np.testing.assert_allclose(logits, values["ip2"][0].reshape(10, -1).T, atol=1e-3)
    for level, mean in zip(levels, means, strict=True):
        whole = values[level.value][0].astype(np.float64)
        for cell in range(rows * cols):
            top, left = (
                at * step * block for at, step, block in zip(divmod(cell, cols), level.step, level.block, strict=True)
            )
            for i, j in np.ndindex(len(level.rows), len(level.cols)):
                y0, x0 = top + sum(level.rows[:i]) * level.block[0], left + sum(level.cols[:j]) * level.block[1]
                part = whole[:, y0 : y0 + level.rows[i] * level.block[0], x0 : x0 + level.cols[j] * level.block[1]]
                np.testing.assert_allclose(mean[cell, :, i, j], part.mean(axis=(1, 2)), atol=1e-4 * np.abs(whole).max())
