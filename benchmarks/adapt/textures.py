"""Scenes of six textures with a label a pixel, and a small padded ResNet that is trained on their crops, in a minute or two."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

import fullconv
from fullconv.model import Model

CLASSES = ("stripes", "checks", "dots", "waves", "grain", "clouds")
CROP = 32
_STEPS, _BATCH = 400, 32


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs),
        )  # fmt: skip
        self.beside = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if stride > 1 else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.body(x) + self.beside(x))


class ResNet8(nn.Module):
    """32×32 RGB to six classes: 16, 32 and 64 channels, a global mean."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.blocks = nn.Sequential(Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2))
        self.line = nn.Linear(64, len(CLASSES))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.line(self.blocks(self.stem(x)).mean(dim=(2, 3)))


def texture(kind: int, side: int, rng: np.random.Generator) -> np.ndarray:
    """(side, side, 3) of 0..1, in two colours of its own."""
    y, x = np.mgrid[:side, :side].astype(np.float32)
    turn, step = rng.uniform(0, np.pi), rng.uniform(5, 14)
    u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    phase = 2 * np.pi / step
    if kind == 0:
        grey = (np.sin(u * phase) > 0).astype(np.float32)
    elif kind == 1:
        grey = ((np.sin(u * phase) > 0) ^ (np.sin(v * phase) > 0)).astype(np.float32)
    elif kind == 2:
        grey = (np.sin(u * phase) + np.sin(v * phase) > 1).astype(np.float32)
    elif kind == 3:
        grey = 0.5 + 0.5 * np.sin(u * phase + 2 * np.sin(v * phase / 2))
    elif kind == 4:
        grey = rng.random((side, side), np.float32)
    else:
        coarse = rng.random((side // 8 + 2, side // 8 + 2), np.float32)
        grey = np.kron(coarse, np.ones((8, 8), np.float32))[:side, :side]
        grey = _smooth(grey)
    first, second = rng.random(3), rng.random(3)
    return (first + grey[..., None] * (second - first)).astype(np.float32)


def _smooth(grey: np.ndarray) -> np.ndarray:
    for axis in (0, 1):
        grey = sum(np.roll(grey, i, axis) for i in range(-4, 5)) / 9
    return np.asarray(grey)


def scene(seed: int, side: int = 288) -> tuple[np.ndarray, np.ndarray]:
    """A picture (side, side, 3) uint8 of a dozen patches, with noise and uneven light, and the class of each pixel."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, side, (12, 2))
    kinds = rng.permutation(np.arange(12) % len(CLASSES))
    y, x = np.mgrid[:side, :side]
    nearest = ((y[..., None] - points[:, 0]) ** 2 + (x[..., None] - points[:, 1]) ** 2).argmin(axis=2)
    picture = np.zeros((side, side, 3), np.float32)
    for i, kind in enumerate(kinds):
        picture[nearest == i] = texture(int(kind), side, rng)[nearest == i]
    light = 0.7 + 0.3 * np.sin(x / rng.uniform(60, 200) + y / rng.uniform(60, 200))
    noisy = picture * light[..., None] + rng.normal(0, 0.08, picture.shape)
    return (np.clip(noisy, 0, 1) * 255).astype(np.uint8), kinds[nearest]


def trained(seed: int = 0, steps: int = _STEPS) -> ResNet8:
    """The network, trained on crops of scenes, each labelled by its middle."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    scenes = [scene(1000 + i) for i in range(40)]
    net = ResNet8()
    rate, made = 3e-3, torch.optim.AdamW(net.parameters(), weight_decay=1e-3)
    plan = torch.optim.lr_scheduler.OneCycleLR(made, rate, total_steps=steps)
    for _ in range(steps):
        crops, labels = _batch(scenes, rng)
        made.zero_grad()
        nn.functional.cross_entropy(net(crops), labels).backward()
        made.step()
        plan.step()
    return net.eval()


def _batch(scenes: list[tuple[np.ndarray, np.ndarray]], rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    crops, labels = [], []
    for _ in range(_BATCH):
        picture, classes = scenes[rng.integers(len(scenes))]
        top, left = rng.integers(0, picture.shape[0] - CROP, 2)
        crops.append(picture[top : top + CROP, left : left + CROP])
        labels.append(classes[top + CROP // 2, left + CROP // 2])
    values = np.stack(crops).transpose(0, 3, 1, 2).astype(np.float32) / 255
    return torch.from_numpy(values), torch.tensor(np.array(labels, np.int64))


def model_of(net: ResNet8) -> Model:
    return fullconv.load(net, input_shape=(3, CROP, CROP))


def accuracy(model: Model, scenes: list[tuple[np.ndarray, np.ndarray]], by: str = "cast") -> float:
    """Share of cells whose winner is the class in the middle of their crop."""
    right = total = 0
    for picture, classes in scenes:
        result = fullconv.map(model, picture, preprocess="unit", by=by)
        rows, cols = (
            np.arange(n) * int(s) + CROP // 2 for n, s in zip(result.top1.shape, result.grid.stride, strict=True)
        )
        right += int((result.top1 == classes[np.ix_(rows, cols)]).sum())
        total += result.top1.size
    return right / total
