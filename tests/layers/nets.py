"""Small networks whose layers are asked for, and what their own framework says there."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import nn

SIZE = (3, 64, 64)
IMAGE = np.random.default_rng(0).integers(0, 256, (101, 133, 3), np.uint8)


class Block(nn.Module):
    def __init__(self, ins: int, outs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(ins, outs, 3, stride, 1)
        self.bn = nn.BatchNorm2d(outs)
        self.down = nn.Conv2d(ins, outs, 1, stride)
        nn.init.normal_(self.bn.running_mean)
        nn.init.uniform_(self.bn.running_var, 0.5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.bn(self.conv1(x)) + self.down(x))


class Residual(nn.Module):
    """Padded, as ResNets are, with one of their gates if it is asked for."""

    def __init__(self, gated: bool = False) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 5, 2, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        self.layer1 = nn.Sequential(Block(8, 8), Block(8, 8))
        self.layer2 = nn.Sequential(Block(8, 16, 2))
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(16, 16, 1), nn.Sigmoid()) if gated else None
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.layer2(self.layer1(self.stem(x)))
        x = x if self.gate is None else x * self.gate(x)
        return self.fc(torch.flatten(self.avgpool(x), 1))


class Plain(nn.Module):
    """Without padding; strides leave pixels over at the training size."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 6, 5, 2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(6, 8, 3), nn.ReLU(), nn.AvgPool2d(3, 2)
        )
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(8 * 5 * 5, 12), nn.ReLU(), nn.Linear(12, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(x))


def made(kind: type[nn.Module], *args: Any) -> nn.Module:
    torch.manual_seed(0)
    return kind(*args).eval()


def hooked(net: nn.Module, pixels: np.ndarray) -> Mapping[str, np.ndarray]:
    """What every module of a network gives for (H, W, C) pixels on 0..255, scaled to 0..1: (channels, rows, cols) by its path."""
    found: dict[str, np.ndarray] = {}
    hooks = [
        module.register_forward_hook(lambda _, __, out, name=name: found.__setitem__(name, out.detach().numpy()[0]))
        for name, module in net.named_modules()
    ]
    with torch.no_grad(), suppress(RuntimeError):  # behind what is asked for the pixels may not go through
        net(torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float() / 255)
    for hook in hooks:
        hook.remove()
    return found
