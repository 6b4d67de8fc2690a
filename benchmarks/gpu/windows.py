"""A map as people write it by hand: windows cut from an array, stacked, normalised and given to the eager network, a batch at a time."""

from __future__ import annotations

from time import perf_counter

import numpy as np
import torch
from torch import nn


def windows(
    module: nn.Module, pixels: np.ndarray, side: int, stride: int, batch: int, device: torch.device, bf16: bool
) -> float:
    """Seconds of all windows of (H, W, 3) bytes."""
    module = module.to(device)
    mean, std = (
        torch.tensor(v, device=device)[None, :, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    corners = [
        (y, x)
        for y in range(0, pixels.shape[0] - side + 1, stride)
        for x in range(0, pixels.shape[1] - side + 1, stride)
    ]
    start = perf_counter()
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        for first in range(0, len(corners), batch):
            crops = np.stack([pixels[y : y + side, x : x + side] for y, x in corners[first : first + batch]])
            values = torch.from_numpy(crops).to(device).permute(0, 3, 1, 2).float() / 255
            module((values - mean) / std).argmax(1).cpu()
    return perf_counter() - start
