"""Pixels as they were read to a network's input, on the device: ``rasters.preprocess`` and ``rasters.pictures`` in torch, to the bit.

It stands in front of the network as a module, so that a compiler makes one pass over the pixels of it and of what follows.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from fullconv.rasters.pictures import GREY
from fullconv.rasters.preprocess import Preprocess


class Enter(nn.Module):
    """(H, W, planes) pixels to (1, channels, H, W) float32, 0 where ``gone`` (H, W) is true, as padding is."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, preprocess: Preprocess, planes: int, channels: int, ordered: bool) -> None:
        """Args:
        planes: channels of the pixels: as many as the network takes, one that is seen so often, or three whose luminance it takes.
        ordered: they are in the network's order already.
        """
        super().__init__()
        self._grey = [float(share) for share in GREY] if planes == 3 and channels == 1 else None
        self._channels = channels
        self._turned = preprocess.channels == "BGR" and channels == 3 == planes and not ordered
        self._scale = float(np.float32(preprocess.scale))
        self._shifted, self._divided = any(preprocess.mean), any(value != 1 for value in preprocess.std)
        for name in ("mean", "std"):
            numbers = torch.tensor(getattr(preprocess, name), dtype=torch.float32)[:, None, None]
            self.register_buffer(name, numbers, persistent=False)

    def forward(self, pixels: torch.Tensor, gone: torch.Tensor) -> torch.Tensor:
        values = pixels.permute(2, 0, 1).to(torch.float32)
        if self._grey is not None:
            red, green, blue = self._grey
            values = (values[0] * red + values[1] * green + values[2] * blue)[None]
        elif self._turned:
            values = torch.stack((values[2], values[1], values[0]))
        else:
            values = values.expand(self._channels, -1, -1)
        if self._scale != 1:
            values = values * self._scale
        if self._shifted:
            values = values - self.mean
        if self._divided:
            values = values / self.std
        return values.masked_fill(gone, 0.0)[None]
