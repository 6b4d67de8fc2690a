"""What a network is shown when it is checked: one scene for all sizes, so that crops of it are the larger images' own."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

BRIGHTNESSES = (1.0, 255.0)  # largest pixel: networks are trained on one of these, or on something near it
_KNOTS = 9  # of the soft shapes, a side


class Scene:
    """Soft shapes under noise, 0 to 1, so that windows of every width see something; it repeats where it ends."""

    def __init__(self, channels: int, height: int, width: int) -> None:
        rng = np.random.default_rng(11)
        knots = np.arange(_KNOTS)
        y, x = np.linspace(0, _KNOTS - 1, height), np.linspace(0, _KNOTS - 1, width)
        rough = rng.random((channels, _KNOTS, _KNOTS))
        rows = np.stack([[np.interp(y, knots, column) for column in plane.T] for plane in rough])  # (C, knots, H)
        soft = np.stack([[np.interp(x, knots, row) for row in plane.T] for plane in rows])  # (C, H, W)
        self._pixels = (0.7 * soft + 0.3 * rng.random(soft.shape)).astype(np.float32)

    def piece(self, size: tuple[int, int], start: tuple[int, int] = (0, 0)) -> npt.NDArray[np.float32]:
        """(1, C, height, width) from the pixel (y, x) on."""
        have = self._pixels.shape[1:]
        rows, cols = ((first + np.arange(length)) % side for first, length, side in zip(start, size, have, strict=True))
        return np.ascontiguousarray(self._pixels[None, :, rows[:, None], cols])
