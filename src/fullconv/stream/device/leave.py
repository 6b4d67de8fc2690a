"""Scores as a store holds them, made on the device: what is kept, the winners, no answer where there is none, and ``results.encoding`` to the bit.

What would be told of them is not told here: four numbers say whether something is to be, and then the usual road says what.
"""

from __future__ import annotations

import torch
from torch import nn

from fullconv.results.encoding import MISSING, SLACK, STEPS, Stored
from fullconv.results.layout import NO_CLASS

OUTSIDE, UNASKED, ASKED = 0, 1, 2  # what a cell of a run is to its tile
_HALF = 65504.0  # the largest float16
TYPES = {"float32": torch.float32, "float16": torch.float16, "uint8": torch.uint8}


class Leave(nn.Module):
    """(classes, rows, cols) scores and (rows, cols) uint8, what each cell is, to (kept, rows, cols) as stored, (rows, cols) winners as int16,
    and what is to be looked at: whether some of the tile's scores are NaN, whether any is infinite, the least and largest that is stored.
    """

    kept: torch.Tensor

    def __init__(self, keep: str | tuple[int, ...], stored: Stored) -> None:
        super().__init__()
        self._keep, self._stored = keep, stored
        kept = torch.tensor(keep if isinstance(keep, tuple) else (), dtype=torch.int64)
        self.register_buffer("kept", kept, persistent=False)

    def forward(self, scores: torch.Tensor, which: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        scores = scores.to(torch.float32)
        asked = which == ASKED
        broken = (torch.isnan(scores).any(0) & (which != OUTSIDE)).any()
        infinite = ~torch.isfinite(scores).all()
        winners = torch.zeros_like(which, dtype=torch.int16)
        if self._keep == "top1":
            won = scores.argmax(0)
            scores = torch.gather(scores, 0, won[None])
            won = torch.where(asked, won, NO_CLASS)
            winners = torch.where(won > NO_CLASS // 2, won - NO_CLASS - 1, won).to(torch.int16)  # the bits of uint16
        elif isinstance(self._keep, tuple):
            scores = scores.index_select(0, self.kept)
        nothing = torch.isnan(scores) | ~asked
        low = torch.where(nothing, torch.inf, scores).amin()
        high = torch.where(nothing, -torch.inf, scores).amax()
        told = torch.stack((broken.to(torch.float32), infinite.to(torch.float32), low, high))
        return self._encoded(scores, nothing), winners, told

    def _encoded(self, scores: torch.Tensor, nothing: torch.Tensor) -> torch.Tensor:
        if self._stored == "uint8":
            steps = torch.round(torch.clamp(torch.nan_to_num(scores), 0, 1) * STEPS)
            return torch.where(nothing, float(MISSING), steps).to(torch.uint8)
        return torch.where(nothing, torch.nan, scores).to(TYPES[self._stored])


def is_sound(told: list[float], stored: Stored, precision: str) -> bool:
    """Whether nothing is to be said of scores of which ``Leave`` tells this."""
    broken, infinite, low, high = told
    if broken or (infinite and precision == "fp16"):
        return False
    if stored == "float32" or low > high:
        return True
    return max(-low, high) <= _HALF if stored == "float16" else low >= -SLACK and high <= 1 + SLACK
