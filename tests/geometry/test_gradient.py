"""Receptive fields against an independent oracle: the support of one output cell's gradient, by PyTorch's autograd."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import fullconv
from fullconv.geometry.field import receptive_fields
from tests.formats.torch.nets import EXACT, INEXACT, SHAPE

# Max pools pass a gradient to one cell only and dead ReLUs to none: with positive weights and averages instead, the
# support is the whole field.
_SKIPPED = ("activations", "log softmax", "a temperature", "radix attention", "layer norm")


def positive(module: nn.Module) -> nn.Module:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.abs_().mul_(0.1).add_(0.001)
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.MaxPool2d):
                mean = nn.AvgPool2d(child.kernel_size, child.stride, child.padding, child.ceil_mode)
                setattr(parent, name, mean)
    return module.eval()


NETS = {name: make for name, make in EXACT.items() if not name.startswith(_SKIPPED) and "max" not in name} | {
    name: make for name, (make, cause) in INEXACT.items() if cause in ("padding", "ceil overhang", "local pooling") and "attention" not in name
}  # fmt: skip
del NETS["global context"]  # its scores' maximum, which moves nothing, passes a gradient from anywhere
# Gates made local pool an edge's window for cells near the border: the middle cell of a large image is asked.


@pytest.mark.parametrize("name", NETS)
def test_the_field_is_the_gradients_support(name: str) -> None:
    torch.manual_seed(0)
    full = fullconv.load(positive(NETS[name]()), input_shape=SHAPE).cast()
    fields = receptive_fields(full.graph)
    module = full.module
    image = (torch.rand(1, 3, 64, 60) + 0.5).requires_grad_()
    answers = module(image)
    answers = answers if isinstance(answers, tuple) else (answers,)
    for output, answer in zip(full.graph.outputs, answers, strict=True):
        row, col = answer.shape[2] // 2, answer.shape[3] // 2
        (gradient,) = torch.autograd.grad(answer[0, :, row, col].sum(), image, retain_graph=True)
        touched = gradient[0].abs().sum(0).numpy() > 0
        field = fields[output]
        for axis, extent, place in ((1, field.y, row), (0, field.x, col)):
            reached = np.flatnonzero(touched.any(axis=axis))
            start = extent.start + place * extent.stride
            assert (reached[0], reached[-1] + 1) == (start, start + extent.size), output
