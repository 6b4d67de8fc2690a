"""PyTorch programs of bytes: read as what takes the same numbers as floats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import fullconv
from tests.conftest import worst
from tests.formats.torch.test_written import made

AUTO = torch.export.Dim.AUTO


class Bytes(nn.Module):
    """As deployed networks begin: bytes, channels last or first, made floats."""

    def __init__(self, last: bool, first: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.last, self.first = last, first
        self.conv, self.fc = nn.Conv2d(3, 4, 3, stride=2), nn.Linear(196, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x.permute(0, 3, 1, 2) if self.last else x)
        return self.fc(self.conv(x).relu().flatten(1))


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("first", [lambda x: x.float() / 255, lambda x: x / 127.5 - 1], ids=["to float", "divided"])
def test_bytes_that_are_made_floats_first(
    last: bool, first: Callable[[torch.Tensor], torch.Tensor], tmp_path: Path
) -> None:
    module = made(lambda: Bytes(last, first))
    crop = torch.zeros((2, 16, 16, 3) if last else (2, 3, 16, 16), dtype=torch.uint8)
    torch.export.save(torch.export.export(module, (crop,), dynamic_shapes=({0: AUTO},)), tmp_path / "net.pt2")
    model = fullconv.load(tmp_path / "net.pt2")
    assert "was of bytes" in model.notes[0]
    image = np.random.default_rng(0).integers(0, 256, (1, 3, 20, 22), np.uint8)
    for runtime in ("onnxruntime", "torch"):
        (found,) = model.cast().run(image, runtime=runtime).values()
        for row, col in ((0, 0), (2, 1)):
            crop = torch.from_numpy(image[:, :, 2 * row : 2 * row + 16, 2 * col : 2 * col + 16])
            with torch.inference_mode():
                answer = module(crop.permute(0, 2, 3, 1) if last else crop)
            assert worst(found[0, :, row, col], answer[0].numpy()) < 1e-5


def test_bytes_that_overflow_first_are_refused(tmp_path: Path) -> None:
    module = made(lambda: Bytes(False, lambda x: (x * 3).float()))
    program = torch.export.export(module, (torch.zeros(2, 3, 16, 16, dtype=torch.uint8),))
    torch.export.save(program, tmp_path / "net.pt2")
    with pytest.raises(fullconv.BadInput, match="computes with bytes"):
        fullconv.load(tmp_path / "net.pt2")
