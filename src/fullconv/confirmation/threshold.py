"""Down to which surety a map's own answers may stand.

Fixed-sequence testing: from "every cell is run as its crop", where nothing is wrong, the threshold is lowered as long as the bound of what is
wrong among the answers that stand is within the share that may be. What is wrong only grows on the way down, so that the threshold may be looked
for among the surenesses that were seen: it is too low only if the sample is one that the bound rules out with its confidence.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

ALL_SURE = -1.0  # below every margin: no cell need be run as its crop


def threshold(sure: npt.NDArray[Any], wrong: npt.NDArray[np.bool_], most: int) -> float:
    """The surety up to which, itself included, cells are run as crops.

    Args:
        sure: (cells,) of the sample.
        wrong: which of them the map has wrong.
        most: how many wrong ones may stand, by ``bound.most_wrong``.
    """
    ranked = np.sort(sure[wrong])[::-1]
    return float(ranked[most]) if len(ranked) > most else ALL_SURE
