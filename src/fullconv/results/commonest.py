"""A coarser level of numbers that name classes, which have no mean: of each 2 × 2 cells the number that most of them hold."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def commonest(part: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(planes, rows, cols) halved; NaN is no answer. Of numbers that are as common the first in reading order; a last row or column stands for itself."""
    planes, rows, cols = part.shape
    padded = np.full((planes, rows + rows % 2, cols + cols % 2), np.nan, np.float32)
    padded[:, :rows, :cols] = part
    four = [padded[:, down::2, right::2] for down in (0, 1) for right in (0, 1)]
    votes = np.stack([sum((each == other).astype(np.int8) for other in four) for each in four])  # none for a NaN
    return np.asarray(np.take_along_axis(np.stack(four), votes.argmax(axis=0)[None], axis=0)[0])
