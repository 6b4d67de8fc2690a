"""Colours that people with any colour vision can tell apart.

The sequential scale is viridis (Smith & van der Walt, 2015, CC0), given by anchors and interpolated; categories
are Paul Tol's muted scheme (2021), nine colours and grey for the rest.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Colours = npt.NDArray[np.uint8]

_VIRIDIS = np.array(
    [
        (68, 1, 84), (72, 40, 120), (62, 74, 137), (49, 104, 142), (38, 130, 142),
        (31, 158, 137), (53, 183, 121), (109, 205, 89), (180, 222, 44), (253, 231, 37),
    ],
    np.float64,
)  # fmt: skip

CATEGORIES: tuple[tuple[int, int, int], ...] = (
    (51, 34, 136), (204, 102, 119), (17, 119, 51), (136, 204, 238), (221, 204, 119),
    (136, 34, 85), (68, 170, 153), (170, 68, 153), (153, 153, 51),
)  # fmt: skip
OTHER = (120, 120, 120)


def viridis(values: npt.NDArray[np.floating]) -> Colours:
    """Values in 0..1 of any shape to RGB (..., 3)."""
    at = np.clip(np.nan_to_num(values), 0, 1) * (len(_VIRIDIS) - 1)
    channels = [np.interp(at, np.arange(len(_VIRIDIS)), _VIRIDIS[:, c]) for c in range(3)]
    out: Colours = np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
    return out
