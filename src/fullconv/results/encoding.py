"""Scores as they are stored: float32, float16, or uint8 for scores of 0..1.

In uint8 a score s is stored as round(254 · s), and 255 stands for no answer; in floats NaN does.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fullconv.errors import BadInput

Array = npt.NDArray[Any]
Stored = Literal["float32", "float16", "uint8"]
STORED: tuple[Stored, ...] = ("float32", "float16", "uint8")
STEPS = 254
MISSING = 255
SLACK = 1e-6  # a softmax may exceed 1 by its rounding


def fill_value(stored: str) -> float:
    """What cells without an answer hold."""
    return MISSING if stored == "uint8" else float("nan")


def encoded(scores: Array, stored: str) -> Array:
    """float32 scores as they are stored; those that are encoded already as they are.

    Raises:
        BadInput: the type cannot hold them.
    """
    if scores.dtype == np.dtype(stored):
        return scores
    if scores.dtype.kind != "f":
        raise TypeError(f"scores are {scores.dtype}, neither numbers nor encoded as {stored}")
    if stored == "float32":
        return np.asarray(scores, np.float32)
    known = scores[~np.isnan(scores)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    if stored == "float16":
        if max(-low, high) > float(np.finfo(np.float16).max):
            raise BadInput(
                f"scores from {low:.4g} to {high:.4g} are beyond what float16 holds (±65504); store them as float32"
            )
        half: Array = scores.astype(np.float16)
        return half
    if low < -SLACK or high > 1 + SLACK:
        raise BadInput(
            f"scores from {low:.4g} to {high:.4g} are not within 0..1, which is what uint8 stores; use float16 or float32"
        )
    steps: Array = np.rint(np.clip(np.nan_to_num(scores), 0, 1) * STEPS).astype(np.uint8)
    steps[np.isnan(scores)] = MISSING
    return steps


def decoded(values: Array) -> npt.NDArray[np.float32]:
    """Stored scores as float32, NaN where there is no answer."""
    if values.dtype != np.uint8:
        return values.astype(np.float32, copy=False)
    found = values.astype(np.float32) / np.float32(STEPS)
    found[values == MISSING] = np.nan
    return found
