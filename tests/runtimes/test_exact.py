"""Networks without padding above and below: their rows are the whole image's, by ONNX Runtime on the network as it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from fullconv.graph.nodes import Window
from fullconv.loading import load
from fullconv.runtimes.between import lowered_between, multiplications
from fullconv.runtimes.exact import exact
from fullconv.runtimes.lowered import Lowered
from fullconv.runtimes.onnxruntime import OnnxRuntimeSession

NOISE = 2e-6


class Bottleneck(nn.Module):
    """Branches of other kernels, strides and dilations, which meet by a sum and side by side."""

    def __init__(self, ins: int, stride: int, dilation: int) -> None:
        super().__init__()
        self.a = nn.Sequential(
            nn.Conv2d(ins, 8, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3, stride, dilation, dilation)
        )
        self.b = nn.Sequential(nn.Conv2d(ins, 16, (1, 5), stride, (0, 2)), nn.ReLU6())
        self.pool = nn.AvgPool2d(3, stride, 1, count_include_pad=False)
        self.short = nn.Conv2d(ins, 16, 1, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.relu(self.a(x) + self.short(x)), self.b(x), self.pool(x)], 1)


def lowered(*layers: nn.Module) -> Lowered:
    torch.manual_seed(0)
    net = nn.Sequential(*layers, nn.Conv2d(_channels(layers), 3, 1)).eval()
    model = load(nn.Sequential(net, nn.AdaptiveAvgPool2d(1), nn.Flatten()), input_shape=(4, 32, 32), check=False)
    last = [node.outputs[0] for node in model.graph.nodes if isinstance(node.touch, Window)][-1]
    image = model.graph.image
    found = lowered_between(model.lowered({image: (1, 4, 32, 32)}), image, last, (1, 4, 96, 80))
    assert found is not None
    return found


def _channels(layers: tuple[nn.Module, ...]) -> int:
    with torch.no_grad():
        return nn.Sequential(*layers)(torch.zeros(2, 4, 32, 32)).shape[1]


CASES = {
    "plain": lambda: [nn.Conv2d(4, 8, 5, 1, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.Conv2d(8, 8, 3, 1, 2, 2)],
    "uneven": lambda: [nn.Conv2d(4, 8, (3, 7), (1, 2), (1, 3)), nn.SiLU(), nn.Conv2d(8, 8, (5, 1), 2, (0, 0))],
    "branches": lambda: [Bottleneck(4, 1, 2), Bottleneck(36, 2, 1), Bottleneck(68, 1, 1)],
    "ceil": lambda: [nn.Conv2d(4, 8, 3, 1, 1), nn.MaxPool2d(3, 2, ceil_mode=True), nn.Conv2d(8, 8, 3, 1, 1)],
}


@pytest.mark.parametrize("case", CASES)
def test_rows_are_those_of_the_whole_image(case: str) -> None:
    whole = lowered(*CASES[case]())
    found = exact(whole)
    assert found is not None
    (name,), (wanted,) = whole.inputs, whole.outputs
    image = np.random.default_rng(0).standard_normal((1, 4, 96, 80)).astype(np.float32)
    (expected,) = OnnxRuntimeSession(whole, [wanted]).run({name: image}, [wanted])
    a = -(found.first // found.step)  # the first row that reads no padding
    b = a + (image.shape[2] - found.last - a * found.step) // found.step + 1
    part = image[:, :, a * found.step + found.first : (b - 1) * found.step + found.last]
    (got,) = OnnxRuntimeSession(found.lowered, [wanted]).run({name: np.ascontiguousarray(part)}, [wanted])
    assert got.shape == expected[:, :, a:b].shape
    assert got.shape[2] > 10
    assert np.abs(got - expected[:, :, a:b]).max() <= NOISE * np.abs(expected).max()


def test_no_row_is_computed_that_is_not_read() -> None:
    """Two 3×3 convolutions: the first one's work is done for two rows more than the second one's, and padded parts' for four."""
    whole = lowered(nn.Conv2d(4, 8, 3, 1, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 1, 1))
    found = exact(whole)
    assert found is not None
    assert (found.first, found.last, found.step) == (-2, 3, 1)
    assert not found.around, "nothing goes around"
    (name,) = whole.inputs
    bare = replace(found.lowered, inputs={name: (1, 4, 24, 80)})
    assert multiplications(bare) == 80 * (22 * 4 * 8 * 9 + 20 * 8 * 8 * 9 + 20 * 8 * 3)


def test_what_cuts_a_way_around_is_told() -> None:
    found = exact(lowered(Bottleneck(4, 1, 1)))
    assert found is not None
    assert found.around
    assert multiplications(found.lowered, found.around) < multiplications(found.lowered)


def test_what_cannot_be_told_keeps_its_padding() -> None:
    assert exact(lowered(nn.Conv2d(4, 8, 3, 1, 1), nn.ConvTranspose2d(8, 8, 2, 2))) is None
