"""Answers that are no numbers: which layer they start at."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.errors import BadInput
from fullconv.model import Model

Array = npt.NDArray[Any]


def require_numbers(model: Model, values: Array, scores: Array, precision: str = "fp32") -> None:
    """Raise BadInput where scores are NaN, naming the first layer whose values are, or the precision in which alone they are.

    Args:
        model: the network that ran.
        values: (1, C, H, W), what it ran on, or ran on parts of.
        scores: (classes, rows, cols).
        precision: that they were computed in.
    """
    # The largest is NaN where any is: a look that makes no mask, since the engine waits for it.
    if not scores.size or not np.isnan(scores.max()):
        return
    broken = np.isnan(scores).any(axis=0)
    told = f"{int(broken.sum())} of {broken.size} cells are NaN (not a number)"
    where = first_nan(model, values)
    if where is None and precision == "fp16":
        raise BadInput(
            f"{told} in fp16, whose numbers end at 65504, and none in fp32; use --precision bf16, which has its range"
        )
    why = (
        "check its weights, and the preprocessing"
        if where
        else "the layer could not be found; check the weights and the preprocessing"
    )
    raise BadInput(f"{told}{f', from layer {where} on' if where else ''}; {why}")


def first_nan(model: Model, values: Array) -> str | None:
    """The first node whose values are NaN, by halving; a network that takes one size only runs on a part of the image."""
    if np.isnan(values).any():
        return "the input"
    if not model.is_fully_convolutional:
        _, height, width = model.image_shape
        values = np.ascontiguousarray(values[:, :, :height, :width])
    nodes = [node for node in model.graph if node.outputs]

    def broken(i: int) -> bool:
        value = nodes[i].outputs[0]
        return bool(np.isnan(model.run(values, outputs=[value])[value]).any())

    if not nodes or not broken(len(nodes) - 1):
        return None
    low, high = 0, len(nodes) - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if broken(middle) else (middle + 1, high)
    return nodes[low].name
