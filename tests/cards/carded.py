"""A small network of three classes, and a card of it."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

SIDE = 16
MEAN, STD = (0.7, 0.6, 0.5), (0.2, 0.25, 0.3)


def net(classes: int = 3) -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 6, 3, 2), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(8, classes)).eval()


def scores(crop: np.ndarray) -> np.ndarray:
    """The network's own probabilities of a crop (H, W, 3) of bytes, by PyTorch alone."""
    values = (
        torch.from_numpy(crop.copy()).permute(2, 0, 1)[None].float() / 255 - torch.tensor(MEAN)[:, None, None]
    ) / torch.tensor(STD)[:, None, None]
    with torch.no_grad():
        return torch.softmax(net()(values), 1)[0].numpy()


BARE = f'network = "net.onnx"\ninput_shape = [3, {SIDE}, {SIDE}]'
CARD = f"""
network = "net.onnx"
input_shape = [3, {SIDE}, {SIDE}]
activation = "softmax"
threshold = 0.4
licence = "CC0"
[preprocess]
scale = {1 / 255}
mean = {list(MEAN)}
std = {list(STD)}
[[classes]]
name = "tumour"
[[classes]]
name = "stroma"
background = true
[[classes]]
name = "fat"
colour = "#01e203"
"""
